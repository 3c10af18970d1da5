//! Hosts as `Host` and `Origin` headers name them, and patterns that a configuration names them by.
//!
//! Not by `url`, which takes more than belongs into a header: numbers for IPv4 addresses, names
//! that IDNA maps to others, percent signs. Here every host has one spelling, and another is
//! refused.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Invalid, nearest};

/// The longest name that DNS knows, RFC 1035 section 2.3.4.
const LONGEST: usize = 253;

/// A host: a name in lower case, or an address. Names are compared to the letter, so that one with
/// a dot at its end is another, as it is for browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name of DNS, in lower case.
    Name(String),
    /// An IPv4 address in four parts.
    V4(Ipv4Addr),
    /// An IPv6 address, in brackets.
    V6(Ipv6Addr),
}

impl Host {
    /// Whether this is a name of the loopback interface, one that no stranger's DNS can lead there.
    pub fn is_loopback(&self) -> bool {
        match self {
            // RFC 6761 section 6.3.
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => address.is_loopback(),
        }
    }
}

impl FromStr for Host {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest.strip_suffix(']').and_then(|text| text.parse().ok());
            return address
                .map(Self::V6)
                .ok_or_else(|| Invalid(format!("{text:?} is no IPv6 address in brackets")));
        }
        if !text.is_ascii() {
            return Err(Invalid(format!(
                "{text:?} has letters beyond ASCII: write it as browsers send it, in Punycode, \
                xn--…"
            )));
        }
        let labels = text.strip_suffix('.').unwrap_or(text).split('.');
        let last = labels.clone().next_back().unwrap_or_default();
        // As the URL standard has it: what ends in a number is an address, and then in four parts.
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || (last.starts_with("0x") && last[2..].bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !last.is_empty() && is_number {
            return match text.parse() {
                Ok(address) => Ok(Self::V4(address)),
                Err(_) => Err(Invalid(format!("{text:?} is no IPv4 address"))),
            };
        }
        let is_label = |label: &str| {
            let mut bytes = label.bytes();
            !label.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if text.len() > LONGEST || !labels.clone().all(is_label) {
            return Err(Invalid(format!("{text:?} is no host name")));
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::V4(address) => address.fmt(out),
            Self::V6(address) => write!(out, "[{address}]"),
        }
    }
}

/// A host and maybe a port, as a `Host` header has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The host, a name or an address.
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl FromStr for Authority {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host, port) = split_port(text);
        Ok(Self {
            host: host.parse()?,
            port: port.map(parse_port).transpose()?,
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(out)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

/// Refuses an IPv6 address as it is written elsewhere; here its colons would be a port's.
pub(super) fn in_brackets(text: &str) -> Result<&str, Invalid> {
    let colons = text.bytes().filter(|byte| *byte == b':').count();
    if colons > 1 && !text.contains('[') {
        let address = text.parse().unwrap_or(Ipv6Addr::LOCALHOST);
        return Err(Invalid(format!(
            "{text:?}: an IPv6 address stands in brackets here, as in [{address}]"
        )));
    }
    Ok(text)
}

/// Parts `host` and `:port`; an IPv6 address keeps its colons.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A port as it is written: digits alone, and none for show.
pub(super) fn parse_port(text: &str) -> Result<u16, Invalid> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err(Invalid(format!("{text:?} is no port"))),
    }
}

/// The hosts that a pattern matches, whatever the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    /// Exactly this host.
    One(Host),
    /// All names below this one, of any depth, but not itself.
    Below(String),
}

impl Hosts {
    pub(super) fn has(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::One(one), host) => one == host,
            (Self::Below(parent), Host::Name(name)) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            (Self::Below(_), _) => false,
        }
    }
}

impl FromStr for Hosts {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let misplaced = || {
            Invalid(format!(
                "{text:?}: * stands for what comes before a name, as in *.example.com"
            ))
        };
        let Some(parent) = text.strip_prefix("*.") else {
            return if text.contains('*') {
                Err(misplaced())
            } else {
                text.parse().map(Self::One)
            };
        };
        match parent.parse() {
            Ok(Host::Name(name)) => Ok(Self::Below(name)),
            Ok(_) => Err(misplaced()),
            Err(_) if parent.contains('*') => Err(misplaced()),
            Err(error) => Err(error),
        }
    }
}

/// Hosts that are answered, as `--allow-host` takes them: `example.com`, `*.example.com`, either
/// with a port or `:*`, `loopback`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(Matcher);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matcher {
    Any,
    Loopback,
    Hosts(Hosts, Option<u16>),
}

impl HostPattern {
    /// The default pattern: names of the loopback interface, with any port.
    pub const LOOPBACK: Self = Self(Matcher::Loopback);

    /// Whether the pattern stands for this host, asked for by a scheme with this default port. One
    /// without a port stands for every port.
    pub fn has(&self, authority: &Authority, default_port: u16) -> bool {
        match &self.0 {
            Matcher::Any => true,
            Matcher::Loopback => authority.host.is_loopback(),
            Matcher::Hosts(hosts, port) => {
                let asked = authority.port.unwrap_or(default_port);
                hosts.has(&authority.host) && port.is_none_or(|port| port == asked)
            }
        }
    }

    /// The pattern of a server for everybody: every host, and a request that names none.
    pub const ANY: Self = Self(Matcher::Any);

    /// The name that this pattern is if it may be a slip for a word, `loopbak`: hosts of one label
    /// are rare.
    pub fn slip(&self) -> Option<(&str, &'static str)> {
        match &self.0 {
            Matcher::Hosts(Hosts::One(Host::Name(name)), None) if !name.contains('.') => {
                let word = nearest(name, ["loopback", "localhost"])?;
                (name != word).then_some((name, word))
            }
            _ => None,
        }
    }

    /// Whether the pattern stands for whatever a request says, or does not say.
    pub fn is_any(&self) -> bool {
        self.0 == Matcher::Any
    }
}

impl FromStr for HostPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "*" => return Ok(Self(Matcher::Any)),
            "loopback" => return Ok(Self::LOOPBACK),
            _ if text.contains('/') => {
                return Err(Invalid(format!(
                    "{text:?}: a host has no scheme and no path, as in example.com"
                )));
            }
            _ => {}
        }
        let (hosts, port) = split_port(in_brackets(text)?);
        let port = port.filter(|port| *port != "*").map(parse_port);
        Ok(Self(Matcher::Hosts(hosts.parse()?, port.transpose()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn names_of_loopback_are_those_that_dns_cannot_take_away() {
        for name in [
            "localhost",
            "LOCALHOST",
            "a.b.localhost",
            "127.0.0.1",
            "127.255.0.9",
            "[::1]",
        ] {
            assert!(host(name).is_loopback(), "{name}");
        }
        for name in [
            "localhost.",
            "localhost.example.com",
            "xlocalhost",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "[::2]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "localhost.localdomain",
        ] {
            assert!(!host(name).is_loopback(), "{name}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a,b",
            "a/b",
            "user@a",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "127.0.0.01",
            "1.2.3.4.",
            "[::1",
            "::1",
            "[::1%1]",
            "[127.0.0.1]",
            "bücher.example",
            "a:b",
            "a%2eb",
            "*",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        for text in [
            "a:", "a:0", "a:080", "a:65536", "a:+1", "a:1:2", "[::1]:", "[::1]x:1", ":1",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text}");
        }
        assert!("a".repeat(254).parse::<Host>().is_err());
    }

    #[test]
    fn patterns_stand_for_hosts() {
        let cases = [
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com:81", true),
            ("example.com", "example.com.", false),
            ("example.com", "www.example.com", false),
            ("example.com:443", "example.com:443", true),
            ("example.com:443", "example.com", false),
            ("example.com:80", "example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "a.example.com.evil.io", false),
            ("*.example.com:*", "a.example.com:8080", true),
            ("[::1]:80", "[0:0::1]:80", true),
            ("loopback", "x.localhost:1", true),
            ("loopback", "example.com", false),
            ("*", "anything", true),
        ];
        for (pattern, authority, expected) in cases {
            let (pattern, authority): (HostPattern, Authority) =
                (pattern.parse().unwrap(), authority.parse().unwrap());
            assert_eq!(
                pattern.has(&authority, 80),
                expected,
                "{pattern:?} {authority}"
            );
        }
    }

    #[test]
    fn a_wrong_pattern_says_what_is_wrong() {
        let cases = [
            ("https://example.com", "no scheme"),
            ("example.com/", "no path"),
            ("a*.example.com", "*.example.com"),
            ("192.168.1.*", "*.example.com"),
            ("*.1.2.3.4", "*.example.com"),
            ("*.*.com", "*.example.com"),
            ("bücher.example", "Punycode"),
            ("example.com:http", "\"http\" is no port"),
            ("::1", "as in [::1]"),
            ("2001:db8::7", "as in [2001:db8::7]"),
            ("::1:9998", "in brackets"),
            ("", "is no host name"),
        ];
        for (pattern, expected) in cases {
            let error = pattern.parse::<HostPattern>().unwrap_err().to_string();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }
}
