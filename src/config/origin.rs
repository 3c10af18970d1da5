//! Origins, RFC 6454: what a page is known by. Parsed and compared as scheme, host and port, never
//! as text.

use std::fmt;
use std::str::FromStr;

use super::host::{Authority, Host, Hosts, in_brackets, parse_port, split_port};
use super::{Invalid, nearest};

/// An origin as browsers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `null`: a page from the disk, in a sandboxed frame, or behind certain redirects.
    Null,
    /// `file://`: a page from the disk, in some browsers.
    File,
    /// Any other origin: scheme, host and port.
    Site(Site),
}

/// Scheme, host and port, the default port of a scheme filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

impl Site {
    /// Returns the origin of a page that was served where this request goes to.
    pub fn of_request(authority: &Authority, secure: bool) -> Self {
        let scheme = if secure { "https" } else { "http" };
        Self {
            scheme: scheme.to_owned(),
            host: authority.host.clone(),
            port: authority.port.or_else(|| default_port(scheme)),
        }
    }

    fn is_loopback(&self) -> bool {
        matches!(&*self.scheme, "http" | "https") && self.host.is_loopback()
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        // Those of extensions and applications have no ports.
        _ => None,
    }
}

/// A scheme, RFC 3986 section 3.1, in lower case.
fn parse_scheme(text: &str) -> Result<String, Invalid> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Invalid(format!("{text:?} is no scheme, as https is")))
    }
}

impl FromStr for Origin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "null" => return Ok(Self::Null),
            "file://" => return Ok(Self::File),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or_else(|| without_scheme(text))?;
        let scheme = parse_scheme(scheme)?;
        let Authority { host, port } = authority.parse()?;
        let port = port.or_else(|| default_port(&scheme));
        Ok(Self::Site(Site { scheme, host, port }))
    }
}

fn without_scheme(text: &str) -> Invalid {
    Invalid(format!(
        "{text:?}: an origin has a scheme, as in https://example.com"
    ))
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::File => out.write_str("file://"),
            Self::Site(Site { scheme, host, port }) => {
                write!(out, "{scheme}://{host}")?;
                let port = port.filter(|port| Some(*port) != default_port(scheme));
                port.map_or(Ok(()), |port| write!(out, ":{port}"))
            }
        }
    }
}

/// Origins that are let in, as `--allow-origin` takes them: `https://example.com`,
/// `https://*.example.com`, either with a port or `:*`, `same`, `loopback`, `null`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern(Matcher);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matcher {
    Any,
    Same,
    Loopback,
    Null,
    File,
    Sites {
        scheme: String,
        hosts: Hosts,
        port: Ports,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ports {
    Any,
    One(Option<u16>),
}

impl OriginPattern {
    /// Pages from everywhere.
    pub const ANY: Self = Self(Matcher::Any);
    /// Pages of this machine.
    pub const LOOPBACK: Self = Self(Matcher::Loopback);
    /// Pages without an origin.
    pub const NULL: Self = Self(Matcher::Null);
    /// Pages from where the request goes to.
    pub const SAME: Self = Self(Matcher::Same);

    /// Whether the pattern stands for this origin of a request to `own`.
    pub fn has(&self, origin: &Origin, own: Option<&Site>) -> bool {
        match (&self.0, origin) {
            (Matcher::Any, _) | (Matcher::Null, Origin::Null) | (Matcher::File, Origin::File) => {
                true
            }
            (Matcher::Same, Origin::Site(site)) => Some(site) == own,
            (Matcher::Loopback, Origin::Site(site)) => site.is_loopback(),
            (
                Matcher::Sites {
                    scheme,
                    hosts,
                    port,
                },
                Origin::Site(site),
            ) => {
                *scheme == site.scheme
                    && hosts.has(&site.host)
                    && (*port == Ports::Any || *port == Ports::One(site.port))
            }
            _ => false,
        }
    }
}

impl FromStr for OriginPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "*" => return Ok(Self(Matcher::Any)),
            "same" => return Ok(Self::SAME),
            "loopback" => return Ok(Self::LOOPBACK),
            "null" => return Ok(Self::NULL),
            "file://" => return Ok(Self(Matcher::File)),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or_else(|| {
            Invalid(match nearest(text, ["same", "loopback", "null"]) {
                Some(word) => format!("{text:?} is no origin; did you mean {word}?"),
                None => format!(
                    "{text:?}: an origin has a scheme, as in https://example.com; the words are \
                    same, loopback, null and *"
                ),
            })
        })?;
        if authority.contains('/') {
            return Err(Invalid(format!(
                "{text:?}: an origin has no path, not even a slash at its end, as in \
                https://example.com"
            )));
        }
        let scheme = parse_scheme(scheme)?;
        if matches!(&*scheme, "ws" | "wss") {
            return Err(Invalid(format!(
                "{text:?}: an origin is where a page comes from: write http or https"
            )));
        }
        let (hosts, port) = split_port(in_brackets(authority)?);
        let hosts = hosts.parse()?;
        let port = match port {
            Some("*") => Ports::Any,
            Some(port) => Ports::One(Some(parse_port(port)?)),
            None => Ports::One(default_port(&scheme)),
        };
        Ok(Self(Matcher::Sites {
            scheme,
            hosts,
            port,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, origin: &str, expected: bool) {
        let parsed: OriginPattern = pattern.parse().unwrap();
        // A request to https://example.com.
        let own = Site::of_request(&"example.com".parse().unwrap(), true);
        let has = origin
            .parse()
            .is_ok_and(|origin| parsed.has(&origin, Some(&own)));
        assert_eq!(has, expected, "{pattern} {origin}");
    }

    /// Row O02: what is let in is exactly one tuple.
    #[test]
    fn a_look_alike_is_another_origin() {
        let allowed = "https://admin.example.com";
        check(allowed, allowed, true);
        check(allowed, "https://admin.example.com:443", true);
        check(allowed, "HTTPS://Admin.Example.COM", true);
        for origin in [
            "http://admin.example.com",
            "https://admin.example.com:8443",
            "https://admin.example.com:80",
            "https://admin.example.com.",
            "https://admin.example.com.evil.io",
            "https://admin.example.com.evil.io:443",
            "https://evil.io",
            "https://example.com",
            "https://x.admin.example.com",
            "https://xadmin.example.com",
            "https://admin-example.com",
            "https://adminXexample.com",
            "https://admin.example.co",
            "https://admin.example.com@evil.io",
            "https://evil.io@admin.example.com",
            "https://user:pass@admin.example.com",
            "https://evil.io#admin.example.com",
            "https://evil.io/admin.example.com",
            "https://evil.io?admin.example.com",
            "https://evil.io\\admin.example.com",
            "https://admin.example.com/",
            "https://admin.example.com:",
            "https://admin.example.com:0443",
            "https://admin.example.com:a",
            "https://admin.example.com:99999",
            "https://admin%2eexample.com",
            "https://admin.example.com%00.evil.io",
            "https://admin.еxample.com",
            "https://admin.xn--xample-2of.com",
            "https:admin.example.com",
            "https:/admin.example.com",
            "https:///admin.example.com",
            "://admin.example.com",
            "//admin.example.com",
            "admin.example.com",
            "https://admin.example.com https://evil.io",
            "https://evil.io https://admin.example.com",
            "https://admin.example.com, https://evil.io",
            " https://admin.example.com",
            "http://a:b",
            "null",
            "Null",
            "file://",
            "",
            "*",
            "same",
            "loopback",
        ] {
            check(allowed, origin, false);
        }
    }

    #[test]
    fn a_wildcard_stands_for_whole_labels() {
        let allowed = "https://*.example.com";
        for origin in ["https://a.example.com", "https://a.b.example.com"] {
            check(allowed, origin, true);
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "https://a.example.com.evil.io",
            "https://a.example.com:8443",
            "http://a.example.com",
            "https://*.example.com",
            "https://evil.io/.example.com",
            "https://evil.io#.example.com",
        ] {
            check(allowed, origin, false);
        }
        check("http://localhost:*", "http://localhost", true);
        check("http://localhost:*", "http://localhost:5173", true);
        check("http://localhost:*", "https://localhost:5173", false);
        check("https://*.example.com:*", "https://a.example.com:1", true);
    }

    #[test]
    fn words_stand_for_kinds_of_origins() {
        check("same", "https://example.com", true);
        check("same", "https://example.com:443", true);
        check("same", "http://example.com", false);
        check("same", "https://example.com:444", false);
        check("same", "https://www.example.com", false);
        check("same", "null", false);
        check("loopback", "http://localhost:5173", true);
        check("loopback", "https://[::1]", true);
        check("loopback", "http://localhost.evil.io", false);
        check("loopback", "tauri://localhost", false);
        check("loopback", "null", false);
        check("null", "null", true);
        check("null", "file://", false);
        check("file://", "file://", true);
        check("*", "https://anywhere.example", true);
        check("*", "null", true);
        check("*", "not an origin", false);
        check(
            "chrome-extension://abcdefgh",
            "chrome-extension://abcdefgh",
            true,
        );
        check(
            "chrome-extension://abcdefgh",
            "chrome-extension://abcdefgx",
            false,
        );
    }

    #[test]
    fn an_origin_is_shown_as_the_flag_takes_it() {
        for text in [
            "https://a.example",
            "http://a:8080",
            "http://[::1]:81",
            "null",
            "file://",
        ] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.to_string(), text);
            let pattern: OriginPattern = text.parse().unwrap();
            assert!(pattern.has(&origin, None));
        }
    }

    #[test]
    fn a_wrong_pattern_says_what_is_wrong() {
        let cases = [
            ("example.com", "has a scheme"),
            ("https://example.com/", "no path"),
            ("https://example.com/chat", "no path"),
            ("wss://example.com", "write http or https"),
            ("https://a*.example.com", "*.example.com"),
            ("https://*", "*.example.com"),
            ("https://bücher.example", "Punycode"),
            ("https://example.com:https", "is no port"),
            ("1http://example.com", "is no scheme"),
            ("https://u@example.com", "is no host name"),
        ];
        for (pattern, expected) in cases {
            let error = pattern.parse::<OriginPattern>().unwrap_err().to_string();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }
}
