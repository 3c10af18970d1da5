//! A network that is worse than the one that is there: what `--link` and `request.link` say of it.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::Invalid;

/// How a connection's bytes travel, in both directions alike.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Link {
    /// Time from one end to the other.
    pub latency: Duration,
    /// The most that chance adds to it; the order stays.
    pub jitter: Duration,
    /// Bytes a second; `None` is no bound.
    pub rate: Option<u64>,
    /// Every so often, nothing passes for so long.
    pub stall: Option<(Duration, Duration)>,
    /// When the connection ends without a Close: time since it opened,
    pub cut_after: Option<Duration>,
    /// or bytes that the client was sent since.
    pub cut_bytes: Option<u64>,
    /// Whether that end is a reset.
    pub reset: bool,
    /// What the jitter follows from; by chance without.
    pub seed: Option<u64>,
}

/// The longest time of a link, a day: longer ones are taken for a mistake in the unit.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Link {
    /// What is wrong with it, if anything is.
    pub fn problem(&self) -> Option<&'static str> {
        let (every, lasts) = self.stall.unwrap_or_default();
        let times = [self.latency, self.jitter, every, lasts];
        let is_cut = self.cut_after.is_some() || self.cut_bytes.is_some();
        if times
            .iter()
            .chain(&self.cut_after)
            .any(|time| *time > LONGEST)
        {
            Some("a link's times are a day at the most")
        } else if self.rate == Some(0) {
            Some("rate is one byte a second or more: a link that lets nothing through is a stall")
        } else if self.stall.is_some() && (every.is_zero() || lasts >= every) {
            Some("stall is every so many seconds for fewer")
        } else if self.reset && !is_cut {
            Some("reset is how cut_after and cut_bytes end a connection: give one of them")
        } else {
            None
        }
    }
}

impl FromStr for Link {
    type Err = Invalid;

    /// Reads `latency=100ms,jitter=20ms,rate=50KiB,stall=10s/2s,cut_after=30s,reset`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut link = Self::default();
        for item in text.split(',') {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let wrong = |wanted: &str| Invalid(format!("{item:?}: {wanted}"));
            let time = |text: &str| {
                let read = humantime::parse_duration(text).ok();
                let read = read.or_else(|| Some(Duration::from_secs(text.parse().ok()?)));
                read.ok_or_else(|| wrong("a time is 100ms, 2s or seconds"))
            };
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| wrong("a whole number is wanted"))
            };
            let size = || {
                let size = value.parse::<ByteSize>();
                size.map(|size| size.as_u64())
                    .map_err(|_| wrong("a size is 50KiB or bytes"))
            };
            match name.trim() {
                "latency" => link.latency = time(value)?,
                "jitter" => link.jitter = time(value)?,
                "rate" => link.rate = Some(size()?),
                "stall" => {
                    let (every, lasts) = value
                        .split_once('/')
                        .ok_or_else(|| wrong("every so often for so long: stall=10s/2s"))?;
                    link.stall = Some((time(every)?, time(lasts)?));
                }
                "cut_after" => link.cut_after = Some(time(value)?),
                "cut_bytes" => link.cut_bytes = Some(size()?),
                "reset" if value.is_empty() => link.reset = true,
                "seed" => link.seed = Some(number()?),
                _ => {
                    return Err(wrong(
                        "latency, jitter, rate, stall, cut_after, cut_bytes, reset and seed are \
                         what a link has",
                    ));
                }
            }
        }
        match link.problem() {
            Some(problem) => Err(Invalid(problem.to_owned())),
            None => Ok(link),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_it_is_written() {
        let text = "latency=100ms,jitter=20ms,rate=50KiB,stall=10s/2s,cut_after=30,cut_bytes=1000,\
            reset,seed=7";
        let link = Link {
            latency: Duration::from_millis(100),
            jitter: Duration::from_millis(20),
            rate: Some(51_200),
            stall: Some((Duration::from_secs(10), Duration::from_secs(2))),
            cut_after: Some(Duration::from_secs(30)),
            cut_bytes: Some(1000),
            reset: true,
            seed: Some(7),
        };
        assert_eq!(text.parse(), Ok(link));
        for text in [
            "",
            "latency",
            "latency=fast",
            "speed=1",
            "rate=0",
            "rate=-1",
            "stall=2s",
            "stall=2s/2s",
            "reset",
            "reset=yes",
            "seed=x",
            "latency=2days",
        ] {
            assert!(text.parse::<Link>().is_err(), "{text:?}");
        }
    }
}
