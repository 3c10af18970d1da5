//! Extensions as scripts see them, and what they may wish for compression.

use std::ops::RangeInclusive;

use rhai::{Dynamic, EvalAltResult, Map};

use super::options::no_option;
use crate::machine::error::throw;
use crate::websocket::extensions::{self, Preferences};

/// An extension of RFC 6455 section 9.1, as a map.
pub fn extension<'n>(
    name: &str,
    params: impl Iterator<Item = (&'n str, Option<Dynamic>)>,
) -> Dynamic {
    let params = params.map(|(name, value)| (name, value.unwrap_or(Dynamic::UNIT)));
    let params = Dynamic::from_map(map(params));
    Dynamic::from_map(map([("name", name.into()), ("params", params)].into_iter()))
}

/// Option names that `deflate` accepts.
const OPTIONS: [&str; 6] = [
    "threshold",
    "level",
    extensions::SERVER_NO_CONTEXT,
    extensions::CLIENT_NO_CONTEXT,
    extensions::SERVER_BITS,
    extensions::CLIENT_BITS,
];

/// What is wanted of compression.
pub fn wishes(options: &Map) -> Result<Preferences, Box<EvalAltResult>> {
    let mut wishes = Preferences::default();
    for (name, value) in options {
        let number = |bounds: RangeInclusive<u32>| match value.as_int().map(u32::try_from) {
            Ok(Ok(number)) if bounds.contains(&number) => Ok(number),
            _ => throw(
                "deflate",
                format!(
                    "{name} is a number from {} to {}, not {value}",
                    bounds.start(),
                    bounds.end()
                ),
            ),
        };
        let flag = || {
            value
                .as_bool()
                .or_else(|_| throw("deflate", format!("{name} is true or false, not {value}")))
        };
        let bits = || {
            let bounds = extensions::MIN_BITS.into()..=extensions::MAX_BITS.into();
            number(bounds).map(|bits| bits as u8)
        };
        match name.as_str() {
            "threshold" => wishes.threshold = Some(number(0..=u32::MAX)? as usize),
            "level" => wishes.level = Some(number(1..=9)?),
            extensions::SERVER_NO_CONTEXT => wishes.server_context = Some(!flag()?),
            extensions::CLIENT_NO_CONTEXT => wishes.client_context = Some(!flag()?),
            extensions::SERVER_BITS => wishes.server_bits = Some(bits()?),
            extensions::CLIENT_BITS => wishes.client_bits = Some(bits()?),
            _ => return throw("deflate", no_option(name, &OPTIONS)),
        }
    }
    Ok(wishes)
}

/// A map of these.
pub fn map<'n>(pairs: impl Iterator<Item = (&'n str, Dynamic)>) -> Map {
    pairs.map(|(name, value)| (name.into(), value)).collect()
}
