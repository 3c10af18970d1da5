//! Admission by the names that a request gives: the host that it is for, and the origin of the page
//! that has sent it.
//!
//! A browser says both truthfully, whatever page it shows. `Host` tells a page that has made its
//! own name lead here (DNS rebinding), `Origin` one that connects from elsewhere (cross-site
//! WebSocket hijacking). Host is judged first: a page behind a rebound name has an origin that
//! equals its host.

use std::net::IpAddr;

use super::refusals::Kind;
use super::respond::Refusal;
use crate::config::{Admission, Authority, HostPattern, Origin, OriginPattern, Proxy, Site};

/// The Host, origins and scheme of a request.
#[derive(Debug)]
pub struct Asked<'r> {
    /// The `Host` header; requests of HTTP/1.0 may have none.
    pub host: Option<&'r str>,
    /// The host that a trusted proxy was asked for.
    pub forwarded: Option<&'r Authority>,
    /// Every `Origin` header.
    pub origins: &'r [&'r str],
    /// Whether it came encrypted, to us or to a trusted proxy.
    pub secure: bool,
}

/// The reason why a request is denied, for the log; the peer gets the `Refusal`.
#[derive(Debug, PartialEq, Eq)]
pub enum Denial {
    /// It is for a host that is not ours; the reason, and what would let it in.
    Host(String),
    /// It is sent by a page that may not connect; the reason, and what would let it in.
    Origin(String),
}

impl Denial {
    /// Its kind, and the sentence for the log.
    pub fn parts(&self) -> (Kind, &str) {
        match self {
            Self::Host(why) => (Kind::Host, why),
            Self::Origin(why) => (Kind::Origin, why),
        }
    }
}

impl From<&Denial> for Refusal {
    fn from(denial: &Denial) -> Self {
        let told = match denial {
            Denial::Host(_) => "nothing is served under this host name",
            Denial::Origin(_) => "pages of this origin may not connect",
        };
        Self::new(403, told).named(denial.parts().0.id())
    }
}

/// The rules of a configuration, those that hold when nothing is said filled in.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'c> {
    hosts: &'c [HostPattern],
    origins: &'c [OriginPattern],
    is_default: bool,
}

impl<'c> Rules<'c> {
    /// Nothing said: this machine's names, and this machine's pages, of which those from the disk
    /// are `null`. Who names hosts or proxies has strangers for users, and sandboxed frames of
    /// strangers are `null`, too: then it is only the pages of the same place.
    pub fn of(admission: &'c Admission, proxy: &Proxy) -> Self {
        let is_default = admission.origins.is_empty();
        let origins: &[OriginPattern] = if !is_default {
            &admission.origins
        } else if admission.hosts.is_empty() && proxy.trusted.is_empty() {
            &[OriginPattern::LOOPBACK, OriginPattern::NULL]
        } else {
            &[OriginPattern::SAME]
        };
        let hosts: &[HostPattern] = if admission.hosts.is_empty() {
            &[HostPattern::LOOPBACK]
        } else {
            &admission.hosts
        };
        Self {
            hosts,
            origins,
            is_default,
        }
    }

    /// Whether a page without an origin is let in though nobody has said so.
    pub fn has_null_by_default(&self) -> bool {
        self.is_default && self.origins.contains(&OriginPattern::NULL)
    }

    /// Judges a request: its origin if it may pass and has one that can be read.
    pub fn judge(&self, asked: &Asked<'_>) -> Result<Option<Origin>, Denial> {
        let origin = self.judge_origin(asked);
        match (self.judge_host(asked), origin) {
            (Ok(()), origin) => origin,
            (Err(host), Err(Denial::Origin(why))) => {
                // Both at once: each alone would be found by one more attempt.
                let (_, host) = host.parts();
                Err(Denial::Host(format!("{host}; and {why}")))
            }
            (Err(host), _) => Err(host),
        }
    }

    fn judge_origin(&self, asked: &Asked<'_>) -> Result<Option<Origin>, Denial> {
        let takes_all = self.origins.contains(&OriginPattern::ANY);
        let text = match asked.origins {
            [] => return Ok(None),
            _ if takes_all && asked.origins.len() > 1 => return Ok(None),
            [text] => text,
            _ => {
                return Err(Denial::Origin(
                    "there are several Origin headers, which pass with --allow-origin '*' alone"
                        .into(),
                ));
            }
        };
        let Ok(origin) = text.parse::<Origin>() else {
            return if takes_all {
                Ok(None)
            } else {
                Err(Denial::Origin(malformed(text)))
            };
        };
        let host = asked.host.and_then(|text| text.parse::<Authority>().ok());
        let own = asked.forwarded.or(host.as_ref());
        let own = own.map(|host| Site::of_request(host, asked.secure));
        if self
            .origins
            .iter()
            .any(|pattern| pattern.has(&origin, own.as_ref()))
        {
            return Ok(Some(origin));
        }
        let beside = if self.is_default {
            "; the flag replaces the default list, whose pages of this machine are --allow-origin \
            loopback"
        } else {
            ""
        };
        Err(Denial::Origin(format!(
            "pages of {origin} may not connect, unless --allow-origin {origin} is given{beside}"
        )))
    }

    /// The host of the request, which a page cannot choose; and the one that a proxy names must be
    /// ours as well.
    fn judge_host(&self, asked: &Asked<'_>) -> Result<(), Denial> {
        let denied = |host: &Authority| {
            let host = &host.host;
            Denial::Host(format!(
                "{host} is no name of this server, unless --allow-host {host} is given"
            ))
        };
        let port = if asked.secure { 443 } else { 80 };
        let is_ours = |host: &Authority| self.hosts.iter().any(|pattern| pattern.has(host, port));
        if let Some(host) = asked.forwarded.filter(|host| !is_ours(host)) {
            return Err(denied(host));
        }
        let takes_all = self.hosts.iter().any(HostPattern::is_any);
        match asked.host.map(|text| (text, text.parse::<Authority>())) {
            Some((_, Ok(host))) if is_ours(&host) => Ok(()),
            Some((_, Ok(host))) => Err(denied(&host)),
            _ if takes_all => Ok(()),
            Some((text, Err(_))) => {
                let text: String = text.chars().take(SHOWN).collect();
                Err(Denial::Host(format!(
                    "{text:?} is no host name, and passes with --allow-host '*' alone"
                )))
            }
            None => Err(Denial::Host(
                "a request without a Host header passes with --allow-host '*' alone".into(),
            )),
        }
    }
}

/// Returns why a malformed origin is denied, what it may have been meant to be, and what would let
/// it in.
fn malformed(text: &str) -> String {
    if text.is_empty() {
        return "the Origin header is empty, which passes with --allow-origin '*' alone".into();
    }
    let shown: String = text.chars().take(SHOWN).collect();
    let meant = format!("http://{shown}");
    let hint = match meant.parse::<Origin>() {
        Ok(_) => format!(" (a page of {meant} sends {meant})"),
        Err(_) => String::new(),
    };
    format!("the origin {shown:?} is malformed{hint}, and passes with --allow-origin '*' alone")
}

/// Letters of a malformed name that are logged.
const SHOWN: usize = 80;

/// A server that others than this machine can reach, and nothing is said about who may connect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} can be reached from other machines, so say who may connect: by which names this server is \
    called with --allow-host, and whose \
     pages may connect with --allow-origin; for example --allow-host example.com --allow-origin \
     https://example.com, or '*' for each to let \
     everybody in"
)]
pub struct Unstated(IpAddr);

/// Whether it is said who may connect, where others than this machine can. Peers of Unix-domain
/// sockets are of this machine.
pub fn check_bind(
    admission: &Admission,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<(), Unstated> {
    let is_stated = !admission.hosts.is_empty() && !admission.origins.is_empty();
    let mut addresses = addresses.into_iter();
    match addresses.find(|address| !address.to_canonical().is_loopback()) {
        Some(address) if !is_stated => Err(Unstated(address)),
        _ => Ok(()),
    }
}

/// A developer's seat that other machines can reach, and that asks for no password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--dev shows whoever connects what the handlers do and where they fail, and {0} can be reached \
    from other machines: leave --dev out, listen \
     on loopback, or ask for a password with --basic-auth-file FILE"
)]
pub struct Exposed(IpAddr);

/// Whether a developer's seat is where only its developer sits.
pub fn check_dev(
    admission: &Admission,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<(), Exposed> {
    let mut addresses = addresses.into_iter();
    match addresses.find(|address| !address.to_canonical().is_loopback()) {
        Some(address) if admission.credentials.is_none() => Err(Exposed(address)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(hosts: &[&str], origins: &[&str]) -> Admission {
        Admission {
            hosts: hosts.iter().map(|text| text.parse().unwrap()).collect(),
            origins: origins.iter().map(|text| text.parse().unwrap()).collect(),
            credentials: None,
        }
    }

    /// Returns the verdict on a plain request with this Host and these origins: `ok`, `host` or
    /// `origin`.
    fn judge(admission: &Admission, host: &str, origins: &[&str]) -> &'static str {
        judge_forwarded(admission, &Proxy::default(), host, None, origins, false)
    }

    fn judge_forwarded(
        admission: &Admission,
        proxy: &Proxy,
        host: &str,
        forwarded: Option<&str>,
        origins: &[&str],
        secure: bool,
    ) -> &'static str {
        let forwarded = forwarded.map(|host| host.parse().unwrap());
        let asked = Asked {
            host: Some(host).filter(|host| !host.is_empty()),
            forwarded: forwarded.as_ref(),
            origins,
            secure,
        };
        match Rules::of(admission, proxy).judge(&asked) {
            Ok(_) => "ok",
            Err(Denial::Host(_)) => "host",
            Err(Denial::Origin(_)) => "origin",
        }
    }

    #[test]
    fn nothing_said_is_this_machine() {
        let default = Admission::default();
        for host in [
            "localhost",
            "localhost:9998",
            "app.localhost",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:9998",
        ] {
            assert_eq!(judge(&default, host, &[]), "ok", "{host}");
        }
        for host in [
            "attacker.example:9998",
            "localhost.evil.io",
            "localhost.",
            "10.0.0.1",
            "0.0.0.0:9998",
            "[::]:9998",
            "",
            "a..b",
            "127.1",
        ] {
            assert_eq!(judge(&default, host, &[]), "host", "{host}");
        }
        for origin in [
            "null",
            "http://localhost",
            "https://localhost:5173",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
            "http://a.localhost",
        ] {
            assert_eq!(
                judge(&default, "localhost:9998", &[origin]),
                "ok",
                "{origin}"
            );
        }
        for origin in [
            "https://example.com",
            "http://localhost.evil.io",
            "file://",
            "",
            "ftp://localhost",
            "http://a:b",
        ] {
            assert_eq!(
                judge(&default, "localhost:9998", &[origin]),
                "origin",
                "{origin}"
            );
        }
        let twice = ["http://localhost", "http://localhost"];
        assert_eq!(judge(&default, "localhost", &twice), "origin");
    }

    #[test]
    fn the_host_is_judged_first() {
        let host = "attacker.example:9998";
        let origin = "http://attacker.example:9998";
        assert_eq!(judge(&Admission::default(), host, &[origin]), "host");
        let any_origin = admission(&[], &["*"]);
        assert_eq!(judge(&any_origin, host, &[origin]), "host");
    }

    #[test]
    fn b04_who_is_turned_away_learns_all_that_would_let_it_in() {
        let default = Admission::default();
        let why = |host, origins: &[&str]| {
            let asked = Asked {
                host: Some(host),
                forwarded: None,
                origins,
                secure: false,
            };
            let proxy = Proxy::default();
            let denial = Rules::of(&default, &proxy).judge(&asked).unwrap_err();
            denial.parts().1.to_owned()
        };
        let both = why("a.example:81", &["http://b.example"]);
        for flag in [
            "--allow-host a.example ",
            "--allow-origin http://b.example ",
        ] {
            assert!(both.contains(flag), "{both}");
        }
        for (origin, words) in [
            ("localhost:1234", "a page of http://localhost:1234 sends"),
            ("", "empty"),
            ("http://a:b", "malformed"),
        ] {
            let why = why("localhost", &[origin]);
            assert!(
                why.contains(words) && why.contains("--allow-origin '*'"),
                "{why}"
            );
        }
    }

    #[test]
    fn what_is_said_replaces_what_is_not() {
        let stated = admission(&[], &["https://app.example.com"]);
        assert_eq!(
            judge(&stated, "localhost", &["https://app.example.com"]),
            "ok"
        );
        assert_eq!(judge(&stated, "localhost", &[]), "ok");
        for origin in ["http://localhost", "null"] {
            assert_eq!(judge(&stated, "localhost", &[origin]), "origin", "{origin}");
        }
        let stated = admission(&["example.com"], &[]);
        assert_eq!(
            judge(&stated, "example.com:8080", &["http://example.com:8080"]),
            "ok"
        );
        for origin in ["http://localhost", "null", "http://example.com"] {
            assert_eq!(
                judge(&stated, "example.com:8080", &[origin]),
                "origin",
                "{origin}"
            );
        }
        assert_eq!(judge(&stated, "localhost", &[]), "host");
        let all = admission(&["*"], &["*"]);
        for host in ["anything", "", "a..b"] {
            assert_eq!(
                judge(&all, host, &["https://anywhere.example"]),
                "ok",
                "{host}"
            );
        }
        // B04: clients that are no browsers send what is no origin.
        for origins in [&["http://a:b"][..], &["localhost:1234"], &[""], &["a", "b"]] {
            assert_eq!(judge(&all, "anything", origins), "ok", "{origins:?}");
        }
    }

    #[test]
    fn the_same_place_is_the_one_that_the_client_knows() {
        let stated = admission(&["example.com", "localhost"], &["same"]);
        let proxy = Proxy {
            trusted: vec!["loopback".parse().unwrap()],
            protocol: false,
        };
        let cases = [
            ("example.com", None, false, "http://example.com", "ok"),
            ("example.com", None, true, "http://example.com", "origin"),
            ("example.com", None, true, "https://example.com", "ok"),
            (
                "example.com",
                None,
                true,
                "https://example.com:8443",
                "origin",
            ),
            (
                "localhost:9998",
                Some("example.com"),
                true,
                "https://example.com",
                "ok",
            ),
            (
                "localhost:9998",
                Some("example.com"),
                true,
                "http://localhost:9998",
                "origin",
            ),
            (
                "localhost:9998",
                Some("example.com:8443"),
                true,
                "https://example.com:8443",
                "ok",
            ),
            // A page behind a rebound name may send this header, but not choose its Host.
            (
                "attacker.example",
                Some("example.com"),
                true,
                "https://example.com",
                "host",
            ),
            (
                "example.com",
                Some("attacker.example"),
                true,
                "https://attacker.example",
                "host",
            ),
        ];
        for (host, forwarded, secure, origin, expected) in cases {
            let found = judge_forwarded(&stated, &proxy, host, forwarded, &[origin], secure);
            assert_eq!(found, expected, "{host} {forwarded:?} {secure} {origin}");
        }
        // A proxy is named: strangers come, and `null` may be one of them.
        for (origin, expected) in [
            ("null", "origin"),
            ("http://localhost:9998", "ok"),
            ("http://localhost", "origin"),
        ] {
            let found = judge_forwarded(
                &Admission::default(),
                &proxy,
                "localhost:9998",
                None,
                &[origin],
                false,
            );
            assert_eq!(found, expected, "{origin}");
        }
    }

    #[test]
    fn a_default_port_is_the_one_that_is_not_written() {
        for (secure, pattern, expected) in [
            (true, "example.com:443", "ok"),
            (true, "example.com:80", "host"),
            (false, "example.com:80", "ok"),
            (false, "example.com:443", "host"),
        ] {
            let (stated, proxy) = (admission(&[pattern], &[]), Proxy::default());
            let found = judge_forwarded(&stated, &proxy, "example.com", None, &[], secure);
            assert_eq!(found, expected, "{secure} {pattern}");
        }
    }

    #[test]
    fn a_denial_names_the_flag_that_takes_it_back() {
        let deny = |admission: &Admission, host, origins: &[&str]| {
            let asked = Asked {
                host: Some(host),
                forwarded: None,
                origins,
                secure: false,
            };
            match Rules::of(admission, &Proxy::default()).judge(&asked) {
                Err(Denial::Host(why) | Denial::Origin(why)) => why,
                Ok(_) => panic!("it may pass"),
            }
        };
        let default = Admission::default();
        let why = deny(&default, "localhost", &["https://App.example.com:443"]);
        assert!(
            why.contains(" --allow-origin https://app.example.com is "),
            "{why}"
        );
        assert!(why.contains("--allow-origin loopback"), "{why}");
        let why = deny(&default, "Attacker.example:81", &[]);
        assert!(
            why.ends_with("--allow-host attacker.example is given"),
            "{why}"
        );
        let why = deny(&admission(&[], &["same"]), "localhost", &["null"]);
        assert!(why.ends_with("--allow-origin null is given"), "{why}");
        let why = deny(&default, "localhost", &[&"\n".repeat(500)]);
        assert!(why.len() < 300 && !why.contains('\n'), "{why}");
    }

    #[test]
    fn beyond_loopback_it_must_be_said_who_may_connect() {
        let check = |admission: &Admission, addresses: &[&str]| {
            check_bind(
                admission,
                addresses.iter().map(|text| text.parse().unwrap()),
            )
        };
        let default = Admission::default();
        assert_eq!(check(&default, &["127.0.0.1", "::1"]), Ok(()));
        assert_eq!(check(&default, &[]), Ok(()));
        for address in [
            "0.0.0.0",
            "::",
            "192.0.2.1",
            "2001:db8::1",
            "::ffff:192.0.2.1",
        ] {
            let error = check(&default, &["127.0.0.1", address])
                .unwrap_err()
                .to_string();
            for part in [
                address,
                "--allow-host example.com --allow-origin https://example.com",
            ] {
                assert!(error.contains(part), "{error}");
            }
            assert!(check(&admission(&["a"], &[]), &[address]).is_err());
            assert!(check(&admission(&[], &["same"]), &[address]).is_err());
            assert_eq!(check(&admission(&["a"], &["same"]), &[address]), Ok(()));
        }
    }
}
