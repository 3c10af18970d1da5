//! Extension negotiation: `Sec-WebSocket-Extensions` to an agreement about permessage-deflate. RFC
//! 6455 section 9.1 and RFC 7692 sections 5 and 7.1.
//!
//! Three things can be wrong with the header. What is no list of extensions at all is the client's
//! fault ([`Malformed`]); an offer that says what it must not say is declined, and the next one is
//! looked at; and an extension that nobody here knows is passed over. If nothing is left, the
//! connection goes on without.

use std::borrow::Cow;
use std::fmt;

use super::handshake::{is_token, quoted};
use crate::config::Deflate;

/// The one extension that is spoken here.
const DEFLATE: &str = "permessage-deflate";
/// Its parameter by which the server forgets every message.
pub const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
/// The same for the client.
pub const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
/// The window of the server, as a power of two.
pub const SERVER_BITS: &str = "server_max_window_bits";
/// The same of the client.
pub const CLIENT_BITS: &str = "client_max_window_bits";
/// The largest window of deflate, 32 KiB, as a power of two: what holds where nothing else is said.
pub const MAX_BITS: u8 = 15;
/// The smallest window that may be agreed on, 256 bytes.
pub const MIN_BITS: u8 = 8;

/// The header is not a list of extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Sec-WebSocket-Extensions header is malformed")]
pub struct Malformed;

/// One element of the header: an extension that the client would like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'h> {
    /// Name of the extension, a token.
    pub name: &'h str,
    /// Names and values in order, the quotes taken off.
    pub params: Vec<(&'h str, Option<Cow<'h, str>>)>,
}

/// The offers of a header's values, in the client's order of preference; a repeated header
/// continues the list.
pub fn parse<'h>(values: impl Iterator<Item = &'h str>) -> Result<Vec<Offer<'h>>, Malformed> {
    let mut offers = Vec::new();
    for value in values {
        let mut rest = Rest(value);
        rest.trim();
        while !rest.0.is_empty() {
            // Empty elements are allowed in every list, RFC 9110 section 5.6.1.2.
            if !rest.skip(',') {
                offers.push(rest.offer()?);
                if !rest.0.is_empty() && !rest.skip(',') {
                    return Err(Malformed);
                }
            }
        }
    }
    Ok(offers)
}

/// Unparsed rest of a header's value. Each byte is looked at once or twice, whatever the value is.
struct Rest<'h>(&'h str);

impl<'h> Rest<'h> {
    fn offer(&mut self) -> Result<Offer<'h>, Malformed> {
        let name = self.token()?;
        let mut params = Vec::new();
        while self.skip(';') {
            let name = self.token()?;
            let value = if self.skip('=') {
                Some(self.value()?)
            } else {
                None
            };
            params.push((name, value));
        }
        Ok(Offer { name, params })
    }

    fn token(&mut self) -> Result<&'h str, Malformed> {
        self.trim();
        let end = self.0.find([',', ';', '=', '"', ' ', '\t']);
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        self.trim();
        if is_token(token) {
            Ok(token)
        } else {
            Err(Malformed)
        }
    }

    fn value(&mut self) -> Result<Cow<'h, str>, Malformed> {
        self.trim();
        if !self.0.starts_with('"') {
            return self.token().map(Cow::Borrowed);
        }
        let (value, rest) = quoted(self.0).ok_or(Malformed)?;
        self.0 = rest;
        self.trim();
        Ok(Cow::Owned(value))
    }

    /// Takes this sign, and spaces around it, if it is next.
    fn skip(&mut self, sign: char) -> bool {
        self.trim();
        let Some(rest) = self.0.strip_prefix(sign) else {
            return false;
        };
        self.0 = rest;
        self.trim();
        true
    }

    fn trim(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }
}

/// Parameters of permessage-deflate that this side is ready to agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Bytes from which a message is compressed.
    pub threshold: usize,
    /// 1, quick, to 9, small.
    pub level: u32,
    /// Whether the server keeps its window between messages where the client allows it.
    pub server_context: bool,
    /// Whether the client may keep its window between messages.
    pub client_context: bool,
    /// The server's window at the most, as a power of two, [`MIN_BITS`] to [`MAX_BITS`].
    pub server_bits: u8,
    /// The client's window at the most, where the client lets itself be told.
    pub client_bits: u8,
    /// Whether the client is understood even if it keeps its window where it may not, unless its
    /// offer names a parameter of its own and so shows that it knows them.
    pub is_forgiven: bool,
}

impl From<&Deflate> for Parameters {
    fn from(settings: &Deflate) -> Self {
        Self {
            threshold: settings.threshold,
            level: settings.level,
            server_context: settings.server_context,
            client_context: settings.client_context,
            server_bits: MAX_BITS,
            client_bits: MAX_BITS,
            is_forgiven: false,
        }
    }
}

/// A handler's overrides of the server's permessage-deflate configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Whether compression is declined.
    pub refused: bool,
    /// Instead of [`Parameters::threshold`].
    pub threshold: Option<usize>,
    /// Instead of [`Parameters::level`].
    pub level: Option<u32>,
    /// Instead of [`Parameters::server_context`].
    pub server_context: Option<bool>,
    /// Instead of [`Parameters::client_context`].
    pub client_context: Option<bool>,
    /// Instead of [`Parameters::server_bits`].
    pub server_bits: Option<u8>,
    /// Instead of [`Parameters::client_bits`].
    pub client_bits: Option<u8>,
}

impl Parameters {
    /// These terms as a handler wants them.
    pub fn with(self, wishes: &Preferences) -> Self {
        Self {
            threshold: wishes.threshold.unwrap_or(self.threshold),
            level: wishes.level.unwrap_or(self.level),
            server_context: wishes.server_context.unwrap_or(self.server_context),
            client_context: wishes.client_context.unwrap_or(self.client_context),
            server_bits: wishes.server_bits.unwrap_or(self.server_bits),
            client_bits: wishes.client_bits.unwrap_or(self.client_bits),
            is_forgiven: self.is_forgiven,
        }
    }

    /// Bytes of what the client said that it may refer to in its next message.
    pub fn history(&self) -> usize {
        if self.client_context || self.is_forgiven {
            1 << self.client_bits
        } else {
            0
        }
    }
}

/// Negotiated parameters of permessage-deflate for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// Parameters in force: no more than both sides are ready for.
    pub terms: Parameters,
    /// Whether the answer names the server's window.
    names_server_bits: bool,
    /// Whether the answer names the client's window, which it may only where the offer does.
    names_client_bits: bool,
}

impl Agreed {
    /// Name and parameters of the answer.
    pub fn params(&self) -> impl Iterator<Item = (&'static str, Option<u8>)> {
        let terms = self.terms;
        [
            (!terms.server_context).then_some((SERVER_NO_CONTEXT, None)),
            (!terms.client_context).then_some((CLIENT_NO_CONTEXT, None)),
            self.names_server_bits
                .then_some((SERVER_BITS, Some(terms.server_bits))),
            self.names_client_bits
                .then_some((CLIENT_BITS, Some(terms.client_bits))),
        ]
        .into_iter()
        .flatten()
    }

    /// The extension's name.
    pub fn name(&self) -> &'static str {
        DEFLATE
    }
}

/// The answer's header value.
impl fmt::Display for Agreed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())?;
        for (name, value) in self.params() {
            write!(out, "; {name}")?;
            if let Some(value) = value {
                write!(out, "={value}")?;
            }
        }
        Ok(())
    }
}

/// The first of these offers that can be agreed to, within these terms.
pub fn negotiate(offers: &[Offer<'_>], terms: &Parameters) -> Option<Agreed> {
    offers
        .iter()
        .filter(|offer| offer.name == DEFLATE)
        .find_map(|offer| agree(offer, *terms))
}

/// `None` declines the offer: a parameter is unknown, comes twice, or has a value that it must not
/// have (RFC 7692 section 7.1).
fn agree(offer: &Offer<'_>, mut terms: Parameters) -> Option<Agreed> {
    let mut seen: [Option<&str>; 4] = [None; 4];
    let mut offers_client_bits = false;
    let mut offers_server_bits = false;
    for (at, (name, value)) in offer.params.iter().enumerate() {
        // Four names, none of them twice: a fifth parameter is wrong whatever it is.
        let place = seen.get_mut(at)?;
        *place = Some(*name);
        if seen[..at].contains(&Some(*name)) {
            return None;
        }
        match (*name, value.as_deref()) {
            (SERVER_NO_CONTEXT, None) => terms.server_context = false,
            (CLIENT_NO_CONTEXT, None) => terms.client_context = false,
            (SERVER_BITS, Some(value)) => {
                offers_server_bits = true;
                terms.server_bits = terms.server_bits.min(window_bits(value)?);
            }
            (CLIENT_BITS, value) => {
                offers_client_bits = true;
                let hint = value.map_or(Some(MAX_BITS), window_bits)?;
                terms.client_bits = terms.client_bits.min(hint);
            }
            _ => return None,
        }
    }
    let names_its_own = |name: &str| seen.contains(&Some(name));
    terms.is_forgiven &= !names_its_own(CLIENT_NO_CONTEXT) && !names_its_own(CLIENT_BITS);
    let names_client_bits = offers_client_bits && terms.client_bits < MAX_BITS;
    if !offers_client_bits {
        // A client that does not offer it cannot be told (section 7.1.2.2): it may use all of its
        // window.
        terms.client_bits = MAX_BITS;
    }
    Some(Agreed {
        names_server_bits: offers_server_bits || terms.server_bits < MAX_BITS,
        names_client_bits,
        terms,
    })
}

/// 8 to 15 in decimal without leading zeros, section 7.1.2.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    ((MIN_BITS..=MAX_BITS).contains(&bits) && value.len() == if bits < 10 { 1 } else { 2 })
        .then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Parameters {
        Parameters::from(&Deflate::default())
    }

    /// The answer to a header, `""` if nothing is agreed on.
    fn answer(header: &str, terms: &Parameters) -> String {
        let offers = parse([header].into_iter()).expect("a list of extensions");
        negotiate(&offers, terms).map_or(String::new(), |agreed| agreed.to_string())
    }

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn every_legal_offer_is_accepted() {
        let offers = [
            ("", ""),
            ("server_no_context_takeover", ""),
            ("client_no_context_takeover", ""),
            ("client_no_context_takeover; server_no_context_takeover", ""),
            ("client_max_window_bits", ""),
            ("client_max_window_bits=15", ""),
            (
                "client_max_window_bits=\"10\"",
                "; client_max_window_bits=10",
            ),
            ("client_max_window_bits=8", "; client_max_window_bits=8"),
            ("server_max_window_bits=15", "; server_max_window_bits=15"),
            ("server_max_window_bits=9", "; server_max_window_bits=9"),
            ("server_max_window_bits=8", "; server_max_window_bits=8"),
            (
                "server_max_window_bits=\"1\\2\"",
                "; server_max_window_bits=12",
            ),
            (
                "client_max_window_bits=11;server_max_window_bits=10\t; client_no_context_takeover \
                ;server_no_context_takeover",
                "; server_max_window_bits=10; client_max_window_bits=11",
            ),
        ];
        for (params, more) in offers {
            let separator = if params.is_empty() { "" } else { "; " };
            let header = format!("permessage-deflate{separator}{params}");
            assert_eq!(
                answer(&header, &terms()),
                format!("{PLAIN}{more}"),
                "{header}"
            );
        }
    }

    /// Robustness rows D03 and D04.
    #[test]
    fn illegal_offers_are_declined_and_the_next_is_taken() {
        let illegal = [
            "server_max_window_bits",
            "server_max_window_bits=0",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=010",
            "server_max_window_bits=+9",
            "server_max_window_bits=-9",
            "server_max_window_bits=1e9",
            "server_max_window_bits=264",
            "server_max_window_bits=99999999999999999999",
            "server_max_window_bits=\"8 \"",
            "server_max_window_bits=\"\"",
            "client_max_window_bits=0",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=\" 9\"",
            "client_max_window_bits=true",
            "server_no_context_takeover=true",
            "client_no_context_takeover=1",
            "client_no_context_takeover=\"\"",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits=10; server_max_window_bits=10",
            "x-unknown",
            "Server_No_Context_Takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; \
            client_max_window_bits; more",
        ];
        for params in illegal {
            let header = format!("permessage-deflate; {params}");
            assert_eq!(answer(&header, &terms()), "", "{header}");
            let second = format!("{header}, permessage-deflate; server_max_window_bits=9");
            assert_eq!(
                answer(&second, &terms()),
                format!("{PLAIN}; server_max_window_bits=9"),
                "{second}"
            );
        }
    }

    #[test]
    fn the_first_offer_that_will_do_is_taken() {
        for (header, more) in [
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                "; server_max_window_bits=10",
            ),
            (
                "permessage-deflate, permessage-deflate; server_max_window_bits=10",
                "",
            ),
            ("x-webkit-deflate-frame, permessage-deflate", ""),
            (
                "permessage-bzip2; a=1, ,, x; y=\"z, \\\" permessage-deflate\", permessage-deflate",
                "",
            ),
        ] {
            assert_eq!(
                answer(header, &terms()),
                format!("{PLAIN}{more}"),
                "{header}"
            );
        }
        for header in [
            "",
            ",",
            " , ,",
            "x-unknown",
            "permessage-compress; method=deflate",
            "Permessage-Deflate",
        ] {
            assert_eq!(answer(header, &terms()), "", "{header}");
        }
        let lines = [
            "x-unknown; level=9",
            "x-unknown; level=9, permessage-deflate",
        ];
        let offers = parse(lines.into_iter()).expect("two lists");
        assert_eq!(offers.len(), 3);
        assert!(negotiate(&offers, &terms()).is_some());
    }

    #[test]
    fn contexts_and_windows_are_kept_as_far_as_both_allow() {
        let generous = Parameters {
            server_context: true,
            client_context: true,
            ..terms()
        };
        let narrow = Parameters {
            server_bits: 9,
            client_bits: 10,
            ..generous
        };
        for (header, terms, expected) in [
            ("permessage-deflate", generous, "permessage-deflate"),
            (
                "permessage-deflate; client_max_window_bits",
                generous,
                "permessage-deflate",
            ),
            (
                "permessage-deflate; client_max_window_bits=9",
                generous,
                "permessage-deflate; client_max_window_bits=9",
            ),
            (
                "permessage-deflate; server_no_context_takeover",
                generous,
                "permessage-deflate; server_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                generous,
                "permessage-deflate; client_no_context_takeover",
            ),
            // The server may name its own window unasked, the client's not (D04).
            (
                "permessage-deflate",
                narrow,
                "permessage-deflate; server_max_window_bits=9",
            ),
            (
                "permessage-deflate; client_max_window_bits; server_max_window_bits=12",
                narrow,
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
            ),
            (
                "permessage-deflate; client_max_window_bits=9; server_max_window_bits=8",
                narrow,
                "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
            ),
        ] {
            assert_eq!(answer(header, &terms), expected, "{header}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused() {
        for header in [
            "; b",
            "=",
            ";;;,,,",
            "a; b=",
            "a; b=\"",
            "a; b=\"\\\"",
            "a; b=\"\\",
            "a b",
            "a; b c",
            "a; =1",
            "a;",
            "a; b;",
            "a=1",
            "\"a\"",
            "a; b=\"c\" d",
            "a; b=\"c\"d",
            "a; \"b\"",
            "a; b=c=d",
            "a/b",
            "a; b=c/d",
            "é",
            "a; b; , c",
        ] {
            assert_eq!(parse([header].into_iter()), Err(Malformed), "{header}");
        }
        let offers =
            parse(["constructor, __proto__; a=\"b, \\c\\\\\""].into_iter()).expect("a list");
        assert_eq!(offers[1].params, [("a", Some("b, c\\".into()))]);
    }
}
