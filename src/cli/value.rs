//! Values of flags as people write them: sizes, times.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use crate::config::{Interface, Metrics, Record};

/// Bytes: `16MiB`, `64 KiB`, or a plain number of them.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: ByteSize = text
            .parse()
            .map_err(|_| "a size is a number with or without a unit, such as 16MiB or 64KiB")?;
        usize::try_from(size.as_u64())
            .ok()
            .filter(|bytes| (1..=usize::MAX / 4).contains(bytes))
            .map(Self)
            .ok_or("a size is at least one byte, and fits the memory".into())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0.is_multiple_of(unit) {
                return write!(out, "{}{name}", self.0 / unit);
            }
        }
        write!(out, "{}", self.0)
    }
}

/// A time of any fineness: `500ms`, `1m 30s`, or a plain number of seconds.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.parse::<u32>().ok();
        if plain == Some(0) {
            return Err("the least is 1ms; this cannot be off".into());
        }
        plain
            .map(|seconds| Duration::from_secs(seconds.into()))
            .or_else(|| humantime::parse_duration(text).ok())
            .filter(|time| (Duration::from_millis(1)..=DAY).contains(time))
            .map(Self)
            .ok_or(
                "a time is a number with a unit, such as 500ms, 20s or 2m, and a day at most"
                    .into(),
            )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(out)
    }
}

const DAY: Duration = Duration::from_hours(24);

/// Whole seconds, for what the connections' coarse clock measures: `20s`, `2m`, or a plain number.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub u32);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Err("the least is 1s; this cannot be off".into());
        }
        let Time(time) = text.parse()?;
        if time.subsec_nanos() != 0 {
            return Err("this time is measured in whole seconds: the least is 1s".into());
        }
        u32::try_from(time.as_secs())
            .map(Self)
            .map_err(|_| "this time is too long".into())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Time(Duration::from_secs(self.0.into())).fmt(out)
    }
}

/// Whole seconds between two of something, or `0` for none at all.
#[derive(Debug, Clone, Copy)]
pub struct Interval(pub Option<Seconds>);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(seconds) => Ok(Self(Some(seconds))),
                Err(error) => Err(format!("{error}; 0 is off")),
            },
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => seconds.fmt(out),
            None => out.write_str("0"),
        }
    }
}

/// What is recorded: a folder, or `DIR=/PATH`.
#[derive(Debug, Clone)]
pub struct Recorded(pub Record);

impl FromStr for Recorded {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (folder, path) = match text.split_once("=/") {
            Some((folder, path)) => (folder, Some(format!("/{path}"))),
            None => (text, None),
        };
        if folder.is_empty() {
            return Err("a folder is wanted, or DIR=/PATH".into());
        }
        Ok(Self(Record {
            folder: folder.into(),
            path,
        }))
    }
}

/// Where metrics are served: a port of loopback, or `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct MetricsPort(pub Metrics);

impl FromStr for MetricsPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WRONG: &str =
            "a port, such as 9464, or HOST:PORT, such as 0.0.0.0:9464 or [::1]:9464, is wanted";
        let (host, port) = match text.rsplit_once(':') {
            None => (Interface::Loopback, text),
            Some((host, port)) => {
                let alone = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'));
                let is_address = alone.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
                let is_name = !host.is_empty() && !host.contains([':', '/', '[', ']', ' ', '*']);
                if !is_address && !is_name {
                    return Err(WRONG.into());
                }
                (Interface::Named(alone.unwrap_or(host).to_owned()), port)
            }
        };
        let port = port.parse().map_err(|_| WRONG)?;
        Ok(Self(Metrics { host, port }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_a_port_and_maybe_a_host() {
        let named = |host: &str| Interface::Named(host.to_owned());
        for (text, host, port) in [
            ("9464", Interface::Loopback, 9464),
            ("0", Interface::Loopback, 0),
            ("0.0.0.0:9464", named("0.0.0.0"), 9464),
            ("[::]:1", named("::"), 1),
            ("metrics.internal:80", named("metrics.internal"), 80),
        ] {
            let MetricsPort(metrics) = text.parse().expect(text);
            assert_eq!(metrics, Metrics { host, port }, "{text}");
        }
        for text in [
            "",
            ":1",
            "host:",
            "::1",
            "::1:80",
            "http://host:80",
            "*:80",
            "65536",
            "host",
        ] {
            assert!(text.parse::<MetricsPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_come_back_as_they_are_shown() {
        for text in ["16MiB", "64KiB", "1000"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["500ms", "20s", "1m 30s"] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
        assert_eq!("90".parse::<Seconds>().unwrap().to_string(), "1m 30s");
    }

    #[test]
    fn what_is_no_size_or_time_is_refused() {
        for text in ["", "-1", "0", "16 parrots", "99999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "-1", "0", "soon", "2days", "inf"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        assert!("1500ms".parse::<Seconds>().is_err());
        for (error, least) in [
            ("0".parse::<Time>().err(), "1ms"),
            ("0".parse::<Seconds>().err(), "1s"),
            ("500ms".parse::<Seconds>().err(), "1s"),
            ("500ms".parse::<Interval>().err(), "0 is off"),
        ] {
            let error = error.expect("an error");
            assert!(error.contains(least), "{error}");
        }
        assert_eq!("0".parse::<Interval>().unwrap().to_string(), "0");
        assert_eq!("20".parse::<Interval>().unwrap().to_string(), "20s");
    }
}
