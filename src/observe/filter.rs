//! `--log-level`: which events are logged, by level and by the part of the server that they are of.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::event::{Target, short};
use crate::config::nearest;

/// The crate's own name, which stands for all of them.
const ALL: &str = "wsh_server";

/// Levels by their names, from silence to noise.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The levels of pywebsocket that have other names here.
const OLD_LEVELS: [(&str, LevelFilter); 3] = [
    ("fine", LevelFilter::TRACE),
    ("warning", LevelFilter::WARN),
    ("critical", LevelFilter::ERROR),
];

/// The log filter, such as `info`, `http=debug` or `warn,script=info`. A part that is not named has
/// the level that stands alone, or `info`.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    targets: Targets,
}

impl Filter {
    /// Returns the `tracing` filter that decides about each event.
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut general = None;
        let mut parts: Vec<(&str, LevelFilter)> = Vec::new();
        for item in text.split(',').map(str::trim) {
            match item.split_once('=') {
                None if item.is_empty() => {
                    return Err("an item is empty: a filter is a level such as info, or \
                        TARGET=LEVEL items with commas"
                        .into());
                }
                None => {
                    let level = level_alone(item)?;
                    if general.replace(level).is_some() {
                        return Err(format!(
                            "{item} is a second level for everything: write TARGET={item}"
                        ));
                    }
                }
                Some((target, level)) => {
                    let (target, level) =
                        (self::target(target.trim())?, self::level(level.trim())?);
                    if parts.iter().any(|(known, _)| *known == target) {
                        return Err(format!("{target} has two levels"));
                    }
                    parts.push((target, level));
                }
            }
        }
        let mut targets = Targets::new().with_default(general.unwrap_or(LevelFilter::INFO));
        for (name, level) in parts {
            let target = Target::ALL.into_iter().find(|target| target.name() == name);
            targets = targets.with_target(target.map_or(ALL, Target::path), level);
        }
        // The client of NATS tells of its connections by itself: what counts is an event of ours.
        targets = targets.with_target("async_nats", LevelFilter::OFF);
        Ok(Self {
            text: text.to_owned(),
            targets,
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// A target by its name, or as log lines have it: `http`, `wsh_server::http`.
fn target(name: &str) -> Result<&'static str, String> {
    let names = || Target::ALL.into_iter().map(Target::name);
    if let Some(known) = names().find(|known| *known == short(name)) {
        return Ok(known);
    }
    if name == ALL {
        return Ok(ALL);
    }
    // A module inside a part is near to it.
    let path = name.strip_prefix(ALL).unwrap_or(name);
    let outermost = path.trim_start_matches(':').split(':').next();
    Err(match nearest(outermost.unwrap_or_default(), names()) {
        Some(meant) => format!("there is no target {name:?}; did you mean {meant}?"),
        None => {
            let names: Vec<_> = names().collect();
            format!(
                "there is no target {name:?}; there are {}",
                names.join(", ")
            )
        }
    })
}

fn level(name: &str) -> Result<LevelFilter, String> {
    let lower = name.to_ascii_lowercase();
    let known = LEVELS.iter().chain(&OLD_LEVELS);
    if let Some((_, level)) = known.clone().find(|(known, _)| *known == lower) {
        return Ok(*level);
    }
    Err(match nearest(name, known.map(|(known, _)| *known)) {
        Some(meant) => format!("there is no level {name:?}; did you mean {meant}?"),
        None => {
            let names: Vec<_> = LEVELS.iter().map(|(name, _)| *name).collect();
            format!("there is no level {name:?}; there are {}", names.join(", "))
        }
    })
}

/// A level without a target, whose place a target may have taken.
fn level_alone(name: &str) -> Result<LevelFilter, String> {
    level(name).map_err(|error| match target(name) {
        Ok(target) => format!("{target} is a target: write {target}=debug, or another level"),
        Err(_) => error,
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_and_targets_decide() {
        let cases = [
            ("info", "wsh_server::http", Level::INFO, true),
            ("info", "wsh_server::http", Level::DEBUG, false),
            ("http=debug", "wsh_server::http::files", Level::DEBUG, true),
            ("http=debug", "wsh_server::script", Level::INFO, true),
            ("http=debug", "wsh_server::script", Level::DEBUG, false),
            ("warn,script=trace", "wsh_server::http", Level::INFO, false),
            (
                "warn, script = TRACE",
                "wsh_server::script::call",
                Level::TRACE,
                true,
            ),
            (
                "wsh_server::websocket=debug",
                "wsh_server::websocket",
                Level::DEBUG,
                true,
            ),
            (
                "error,wsh_server=debug",
                "wsh_server::http",
                Level::DEBUG,
                true,
            ),
            ("server=off", "wsh_server::server", Level::ERROR, false),
            ("print=off", "wsh_server::print", Level::ERROR, false),
            ("access=off", "wsh_server::access", Level::INFO, false),
            ("critical", "wsh_server::http", Level::WARN, false),
            ("fine", "wsh_server::http", Level::TRACE, true),
            ("warning", "wsh_server::http", Level::WARN, true),
        ];
        for (text, target, level, expected) in cases {
            let filter: Filter = text.parse().expect(text);
            let enabled = filter.targets().would_enable(target, &level);
            assert_eq!(enabled, expected, "{text} for {target} at {level}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_was_probably_meant() {
        let cases = [
            ("inof", "did you mean info?"),
            ("debgu", "did you mean debug?"),
            ("WARM", "did you mean warn?"),
            ("loud", "there are off, error, warn, info, debug, trace"),
            ("5", "there is no level"),
            ("", "an item is empty"),
            ("info,", "an item is empty"),
            ("info,,http=debug", "an item is empty"),
            ("http", "write http=debug"),
            ("http=", "there is no level \"\""),
            ("=debug", "there is no target \"\""),
            ("http=dbug", "did you mean debug?"),
            ("htpp=debug", "did you mean http?"),
            ("hyper=debug", "there are server, http"),
            ("wsh_server::htp=debug", "did you mean http?"),
            ("wsh_server::http::nothing=debug", "did you mean http?"),
            ("a=b=c", "there is no target \"a\""),
            ("info,debug", "second level"),
            ("http=info,http=debug", "http has two levels"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Filter>().expect_err(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
