//! Dates: seconds since 1970 as text and back, in UTC.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use rhai::EvalAltResult;

use crate::machine::error::throw;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Bytes of a pattern and of a date in text, which people write.
const LONGEST: usize = 1024;

/// The time so many seconds after 1970 began.
pub fn at(seconds: i64) -> Result<Timestamp> {
    Timestamp::from_second(seconds).or_else(|_| out_of_range(seconds))
}

/// The same with a fraction.
pub fn at_fraction(seconds: f64) -> Result<Timestamp> {
    // Microseconds: a float of today has no more.
    let micros = (seconds * 1e6).round();
    if micros.is_finite() && micros.abs() < 1e18 {
        Timestamp::from_microsecond(micros as i64).or_else(|_| out_of_range(seconds))
    } else {
        out_of_range(seconds)
    }
}

fn out_of_range<T>(seconds: impl std::fmt::Display) -> Result<T> {
    throw("time", format!("no date is {seconds} seconds from 1970"))
}

/// Formats seconds from 1970 as RFC 3339 has it: `2015-10-21T07:28:00Z`.
pub fn rfc3339(seconds: i64) -> Result<String> {
    by_pattern(at(seconds)?, "%Y-%m-%dT%H:%M:%SZ")
}

/// `2015-10-21T07:28:00.250Z`: milliseconds are cut, as JavaScript does, so that no time is in the
/// future.
pub fn rfc3339_with_milliseconds(seconds: f64) -> Result<String> {
    by_pattern(at_fraction(seconds)?, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

/// As `strftime` does it.
pub fn by_pattern(time: Timestamp, pattern: &str) -> Result<String> {
    bounded("pattern", pattern)?;
    BrokenDownTime::from(time)
        .to_string(pattern)
        .or_else(|error| {
            throw(
                "time",
                format!("the pattern {pattern:?} cannot be used: {error}"),
            )
        })
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`.
pub fn http(seconds: f64) -> Result<String> {
    // The first second of the year 10000.
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return throw(
            "time",
            format!("HTTP has no date that is {seconds} seconds from 1970"),
        );
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64);
    Ok(httpdate::fmt_http_date(time))
}

/// The seconds since 1970 of a date as RFC 3339 or HTTP has it.
pub fn parse(text: &str) -> Result<f64> {
    bounded("date", text)?;
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(seconds(time));
    }
    match httpdate::parse_http_date(text) {
        Ok(time) => Ok(time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64()),
        Err(_) => throw(
            "time",
            format!("{text:?} is no date of RFC 3339 or HTTP: 2015-10-21T07:28:00Z is one"),
        ),
    }
}

/// The seconds since 1970 of a date in this pattern.
pub fn parse_by_pattern(text: &str, pattern: &str) -> Result<f64> {
    bounded("date", text)?;
    bounded("pattern", pattern)?;
    let parsed = BrokenDownTime::parse(pattern, text).and_then(|parts| {
        if parts.timestamp().is_some() || parts.offset().is_some() {
            return parts.to_timestamp();
        }
        let time = parts.to_time().or_else(|error| match parts.hour() {
            Some(_) => Err(error),
            None => Ok(jiff::civil::Time::midnight()),
        })?;
        Offset::UTC.to_timestamp(parts.to_date()?.to_datetime(time))
    });
    parsed.map(seconds).or_else(|error| {
        throw(
            "time",
            format!("{text:?} is no date in the pattern {pattern:?}: {error}"),
        )
    })
}

fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9
}

fn bounded(what: &str, text: &str) -> Result<()> {
    if text.len() > LONGEST {
        return throw("time", format!("a {what} has at most {LONGEST} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of other programs: `date -u -d @… +…`, and JavaScript's `toISOString`.
    #[test]
    fn times_are_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (253_402_207_200, "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds).unwrap(), text);
            assert_eq!(parse(text).unwrap(), seconds as f64);
        }
        for (seconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (1_445_412_480.25, "2015-10-21T07:28:00.250Z"),
            (-0.5, "1969-12-31T23:59:59.500Z"),
            (1_795_803_708.944_574_5, "2026-11-27T18:21:48.944Z"),
            (1_795_803_708.999_9, "2026-11-27T18:21:48.999Z"),
        ] {
            assert_eq!(rfc3339_with_milliseconds(seconds).unwrap(), text);
        }
        let pattern = "%Y %m %d %H:%M:%S %j %a %A %b %B %F %T %s %y %e %I %p %% %Z %z %U ü";
        assert_eq!(
            by_pattern(at(1_445_412_480).unwrap(), pattern).unwrap(),
            "2015 10 21 07:28:00 294 Wed Wednesday Oct October 2015-10-21 07:28:00 1445412480 15 \
            21 07 AM % UTC +0000 42 ü"
        );
        for (seconds, text) in [
            (0.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_445_412_480.9, "Wed, 21 Oct 2015 07:28:00 GMT"),
            (253_402_300_799.0, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http(seconds).unwrap(), text);
            assert_eq!(parse(text).unwrap(), seconds.floor());
        }
    }

    #[test]
    fn dates_are_read() {
        for text in [
            "2015-10-21T07:28:00Z",
            "2015-10-21T07:28:00.000Z",
            "2015-10-21T09:28:00+02:00",
            "2015-10-21T02:58:00-04:30",
            "2015-10-21 07:28:00z",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
        ] {
            assert_eq!(parse(text).unwrap(), 1_445_412_480.0, "{text}");
        }
        assert_eq!(parse("2015-10-21T07:28:00.5Z").unwrap(), 1_445_412_480.5);
        for (text, pattern, seconds) in [
            ("21.10.2015", "%d.%m.%Y", 1_445_385_600.0),
            ("21.10.2015 07:28", "%d.%m.%Y %H:%M", 1_445_412_480.0),
            (
                "2015-10-21 09:28 +0200",
                "%Y-%m-%d %H:%M %z",
                1_445_412_480.0,
            ),
            ("1445412480", "%s", 1_445_412_480.0),
            ("Oct 21 2015", "%b %d %Y", 1_445_385_600.0),
        ] {
            assert_eq!(parse_by_pattern(text, pattern).unwrap(), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2015",
            "2015-10-21",
            "2015-10-21T07:28:00",
            "2015-02-30T00:00:00Z",
            "2015-10-21T25:00:00Z",
            "Wed, 32 Oct 2015 07:28:00 GMT",
            &"2".repeat(10_000),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (text, pattern) in [
            ("21.10.2015", "%d.%m"),
            ("21.10", "%d.%m"),
            ("x", "%d"),
            ("31.02.2015", "%d.%m.%Y"),
            ("2015", "%"),
        ] {
            assert!(parse_by_pattern(text, pattern).is_err(), "{text}");
        }
        for pattern in ["%", "%!", "%é", &"%d".repeat(10_000)] {
            assert!(by_pattern(at(0).unwrap(), pattern).is_err(), "{pattern}");
        }
        for seconds in [i64::MAX, i64::MIN, 1 << 40] {
            assert!(rfc3339(seconds).is_err());
        }
        for seconds in [f64::NAN, f64::INFINITY, f64::MAX, -1e300, 1e12] {
            assert!(rfc3339_with_milliseconds(seconds).is_err());
            assert!(http(seconds).is_err());
        }
        assert!(http(-1.0).is_err() && http(253_402_300_800.0).is_err());
    }
}
