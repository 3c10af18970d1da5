//! Where scripts may connect to, as `--allow-connect` says it.
//!
//! A name that is allowed may lead anywhere, and whoever answers for it may change where: so what
//! it leads to is looked at as well. Public addresses are fine; those of this machine and of
//! networks behind it are reached only where they are named themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Invalid;

/// A host, an address or a network, with a port if only that is meant: `example.com`,
/// `localhost:9000`, `10.0.0.0/8`, `[::1]:80`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    place: Place,
    port: Option<u16>,
    /// Whether it does not matter where its name leads.
    is_trusted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In lower case.
    Name(String),
    Network(IpNet),
}

/// All that are allowed; none by default.
#[derive(Debug, Clone, Default)]
pub struct Destinations(Arc<[Destination]>);

impl Destinations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the host of a URL may be asked for: a name, or an address.
    pub fn names(&self, host: &str, port: u16) -> bool {
        if let Ok(address) = host.parse() {
            return self.covers(SocketAddr::new(address, port));
        }
        self.0.iter().any(|one| one.is_named(host, port))
    }

    /// Whether a host that is named may be reached at this address.
    pub fn admits(&self, host: &str, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_here = ip.is_loopback() && is_localhost(host);
        let mut all = self.0.iter();
        is_here
            || is_public(ip)
            || self.covers(address)
            || all.any(|one| one.is_trusted && one.is_named(host, address.port()))
    }

    fn covers(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.0.iter().any(|one| {
            let is_in = matches!(&one.place, Place::Network(network) if network.contains(&ip));
            is_in && one.is_at(address.port())
        })
    }
}

impl From<Vec<Destination>> for Destinations {
    fn from(all: Vec<Destination>) -> Self {
        Self(all.into())
    }
}

impl Destination {
    /// A host wherever it is, since somebody has asked for just that.
    pub fn trusted(host: &str, port: u16) -> Self {
        let place = match host.parse::<IpAddr>() {
            Ok(address) => Place::Network(address.into()),
            Err(_) => Place::Name(host.to_owned()),
        };
        Self {
            place,
            port: Some(port),
            is_trusted: true,
        }
    }

    fn is_named(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_it = matches!(&self.place, Place::Name(name) if name.eq_ignore_ascii_case(host));
        is_it && self.is_at(port)
    }

    fn is_at(&self, port: u16) -> bool {
        self.port.is_none_or(|only| only == port)
    }
}

impl FromStr for Destination {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid(format!(
                "{text:?} is no host: write example.com, localhost:9000, 10.0.0.0/8 or [::1]:80"
            ))
        };
        let network = |text: &str| -> Option<IpNet> {
            let address = text.parse::<IpAddr>().ok();
            address.map(IpNet::from).or_else(|| text.parse().ok())
        };
        if let Some(network) = network(text) {
            let place = Place::Network(network);
            return Ok(Self {
                place,
                port: None,
                is_trusted: false,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or_else(wrong)?))
            }
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let place = match network(bare.unwrap_or(host)) {
            Some(network) => Place::Network(network),
            None if is_name(host) => Place::Name(host.to_ascii_lowercase()),
            None => return Err(wrong()),
        };
        Ok(Self {
            place,
            port,
            is_trusted: false,
        })
    }
}

fn is_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends_in_letter = text
        .bytes()
        .last()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    // 1.2.3 and 127.1 are addresses to some, and names to nobody.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    ends_in_letter && !is_number && !text.starts_with('.') && text.bytes().all(is_fine)
}

/// Names that are this machine wherever they are asked for: RFC 6761 section 6.3.
fn is_localhost(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether everybody reaches the same at this address, by IANA's registries of special ones.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = match a {
        0 | 10 | 127 => true,
        100 => b & 0xc0 == 64,
        169 => b == 254,
        172 => b & 0xf0 == 16,
        192 => matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        198 => b & 0xfe == 18 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        _ => a >= 224,
    };
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // NAT64 and 6to4 lead to the address of version 4 that is in them.
        (0x64, 0xff9b) => (c, d, e, f) == (0, 0, 0, 0) && v4(g, h),
        (0x2002, _) => v4(b, c),
        // Teredo and other protocols' own, documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, _) => false,
        // What else is given to anybody.
        (0x2000..=0x3ffe, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Destinations {
        let all = texts.iter().map(|text| text.parse().expect(text));
        Destinations::from(all.collect::<Vec<Destination>>())
    }

    #[test]
    fn a_host_is_named_by_itself_and_its_port() {
        let known = all(&[
            "Example.com",
            "localhost:9000",
            "10.0.0.0/8",
            "[::1]:80",
            "fd00::/8",
        ]);
        for (host, port) in [
            ("example.com", 443),
            ("EXAMPLE.com.", 1),
            ("localhost", 9000),
            ("10.1.2.3", 80),
            ("::1", 80),
            ("fd00::7", 5),
            ("::ffff:10.0.0.1", 80),
        ] {
            assert!(known.names(host, port), "{host} {port}");
        }
        for (host, port) in [
            ("www.example.com", 443),
            ("example.com.evil.org", 443),
            ("localhost", 9001),
            ("127.0.0.1", 9000),
            ("11.0.0.1", 80),
            ("::1", 81),
            ("", 80),
        ] {
            assert!(!known.names(host, port), "{host} {port}");
        }
        assert!(!all(&[]).names("example.com", 443));
    }

    #[test]
    fn what_a_name_leads_to_is_public_or_named() {
        let known = all(&[
            "example.com",
            "localhost",
            "inside.example",
            "10.1.0.0/16:80",
        ]);
        for (host, address) in [
            ("example.com", "93.184.216.34:443"),
            ("example.com", "[2606:2800:220:1:248:1893:25c8:1946]:443"),
            ("example.com", "[64:ff9b::5db8:d822]:443"),
            ("localhost", "127.0.0.1:9000"),
            ("localhost", "[::1]:9000"),
            ("inside.example", "10.1.2.3:80"),
            ("inside.example", "[::ffff:10.1.2.3]:80"),
        ] {
            let address = address.parse().expect(address);
            assert!(known.admits(host, address), "{host} {address}");
        }
        for address in [
            "127.0.0.1:80",
            "0.0.0.0:80",
            "10.2.0.1:80",
            "10.1.2.3:81",
            "100.64.0.1:80",
            "169.254.169.254:80",
            "172.16.0.1:80",
            "172.31.255.1:80",
            "192.168.1.1:80",
            "192.0.0.192:80",
            "198.18.0.1:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::]:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[fe80::1]:80",
            "[fd00::1]:80",
            "[fec0::1]:80",
            "[ff02::1]:80",
            "[64:ff9b::7f00:1]:80",
            "[64:ff9b:1::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[2001::1]:80",
            "[2001:db8::1]:80",
            "[::127.0.0.1]:80",
        ] {
            let address = address.parse().expect(address);
            assert!(!known.admits("example.com", address), "{address}");
        }
    }

    #[test]
    fn who_is_trusted_is_reached_wherever_it_is() {
        let known = Destinations::from(vec![Destination::trusted("Inside", 80)]);
        assert!(known.names("inside", 80) && !known.names("inside", 81));
        let (here, there) = ("127.0.0.1:80", "127.0.0.1:81");
        assert!(known.admits("inside", here.parse().expect("an address")));
        assert!(!known.admits("inside", there.parse().expect("an address")));
        assert!(!known.admits("other", here.parse().expect("an address")));
        assert!(!known.names("127.0.0.1", 80));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "http://example.com",
            "example.com/path",
            "example.com:0",
            "example.com:http",
            "127.1",
            "10.0.0.0/33",
            "a b",
            ".example.com",
            ":80",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text:?}");
        }
    }
}
