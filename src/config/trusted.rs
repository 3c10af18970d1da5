//! Peers whose word about somebody else is taken.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Invalid, nearest};

/// A trusted proxy, as `--trusted-proxy` takes it: `10.0.0.0/8`, an address alone, `loopback`, or
/// `unix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted(Matcher);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matcher {
    /// Every peer of a Unix-domain socket.
    Unix,
    /// Addresses of the loopback interface.
    Loopback,
    /// Addresses of this network.
    Network(IpNet),
}

impl Trusted {
    /// Addresses of the loopback interface.
    pub const LOOPBACK: Self = Self(Matcher::Loopback);
    /// Every peer of a Unix-domain socket.
    pub const UNIX: Self = Self(Matcher::Unix);

    /// Whether this peer is meant; those of Unix-domain sockets have no address.
    pub fn has(&self, peer: Option<IpAddr>) -> bool {
        // ::ffff:10.0.0.1 is 10.0.0.1.
        match (&self.0, peer.map(|peer| peer.to_canonical())) {
            (Matcher::Unix, None) => true,
            (Matcher::Loopback, Some(peer)) => peer.is_loopback(),
            (Matcher::Network(network), Some(peer)) => network.contains(&peer),
            _ => false,
        }
    }
}

impl FromStr for Trusted {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "unix" => return Ok(Self(Matcher::Unix)),
            "loopback" => return Ok(Self(Matcher::Loopback)),
            _ => {}
        }
        let wrong = || {
            Invalid(match nearest(text, ["unix", "loopback"]) {
                Some(word) => format!("{text:?} is no address; did you mean {word}?"),
                None => format!(
                    "{text:?} is neither an address, nor a network as 10.0.0.0/8 is, nor loopback, \
                    nor unix"
                ),
            })
        };
        // By std's reading of addresses, which takes none with leading zeros.
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let network = match prefix {
            None => IpNet::from(address),
            Some(prefix) => Some(prefix)
                .filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|prefix| prefix.parse().ok())
                .and_then(|prefix| IpNet::new(address, prefix).ok())
                .ok_or_else(wrong)?,
        };
        let meant = network.trunc();
        if meant != network {
            return Err(Invalid(format!(
                "{text:?} has bits behind its prefix: {meant} is meant, or {address}"
            )));
        }
        Ok(Self(Matcher::Network(network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("loopback", "127.9.9.9", true),
            ("loopback", "::1", true),
            ("loopback", "10.0.0.1", false),
            ("unix", "127.0.0.1", false),
        ];
        for (text, peer, expected) in cases {
            let trusted: Trusted = text.parse().unwrap();
            assert_eq!(trusted.has(peer.parse().ok()), expected, "{text} {peer}");
            assert_eq!(trusted.has(None), text == "unix", "{text}");
        }
    }

    #[test]
    fn a_wrong_network_says_what_is_wrong() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "example.com",
            "10.0.0.0/8/8",
        ] {
            let error = text.parse::<Trusted>().unwrap_err().to_string();
            assert!(error.contains("neither an address"), "{text}: {error}");
        }
        let error = "10.0.0.1/8".parse::<Trusted>().unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/8 is meant"), "{error}");
    }
}
