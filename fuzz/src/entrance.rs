//! What strangers and proxies say about who they are.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use wsh_server::config::limits::HEAD;
use wsh_server::config::{Admission, Proxy};
use wsh_server::http::Client;
use wsh_server::http::admission::{Asked, Rules};
use wsh_server::http::forwarded;
use wsh_server::http::head::Head;
use wsh_server::server::proxy_protocol;

/// Lines: the host, the origin, and what a proxy says in each form.
pub fn entrance(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split(['\r', '\n', '\0']);
    let mut line = || lines.next().unwrap_or_default();
    let (host, origin) = (line(), line());
    let may = |admission: &Admission| {
        let asked = Asked {
            host: Some(host),
            forwarded: None,
            origins: &[origin],
            secure: false,
        };
        Rules::of(admission, &Proxy::default())
            .judge(&asked)
            .is_ok()
    };
    if may(&Admission::default()) {
        assert!(is_loopback(host), "the host {host:?}");
        let scheme = origin
            .split_once("://")
            .map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        let is_own = scheme.is_some_and(|(scheme, rest)| {
            matches!(&*scheme, "http" | "https") && is_loopback(rest)
        });
        assert!(is_own || origin == "null", "the origin {origin:?}");
    }
    let one = Admission {
        hosts: vec!["*".parse().expect("a pattern")],
        origins: vec!["https://admin.example.com".parse().expect("a pattern")],
        credentials: None,
    };
    let wanted = ["https://admin.example.com", "https://admin.example.com:443"];
    let is_wanted = wanted.contains(&&*origin.to_ascii_lowercase());
    assert_eq!(may(&one), is_wanted, "the origin {origin:?}");

    let (forwarded, others) = (line(), line());
    for (name, own, made_up) in [
        (
            "Forwarded",
            "for=192.0.2.1;proto=https;host=example.com",
            forwarded,
        ),
        ("X-Forwarded-For", "192.0.2.1", others),
    ] {
        let _ = said(name, made_up);
        if let Some(said) = said(name, &format!("{made_up}, {own}")) {
            let said = said.expect("what a proxy has written is well-formed");
            assert_eq!(said.address, "192.0.2.1:0".parse().ok(), "{made_up:?}");
            assert_eq!(said.secure.is_some(), name == "Forwarded", "{made_up:?}");
        }
    }
}

/// By the letter: a name of this machine, and maybe a port.
fn is_loopback(authority: &str) -> bool {
    let authority = authority.to_ascii_lowercase();
    let end = if authority.starts_with('[') {
        authority.find(']').map_or(0, |at| at + 1)
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (name, port) = authority.split_at(end);
    let is_port =
        port.is_empty() || (port.len() > 1 && port[1..].bytes().all(|byte| byte.is_ascii_digit()));
    let inner = name.trim_matches(['[', ']']);
    let is_name = name == "localhost" || name.ends_with(".localhost");
    let is_four = name
        .parse::<Ipv4Addr>()
        .is_ok_and(|address| address.octets()[0] == 127);
    let is_six = name != inner && inner.parse() == Ok(Ipv6Addr::LOCALHOST);
    is_port && (is_name || is_four || is_six)
}

/// What a trusted proxy says in this header; `None` if it cannot be sent.
fn said(name: &str, value: &str) -> Option<Result<forwarded::Forwarded, forwarded::Malformed>> {
    let bytes = format!("GET / HTTP/1.1\r\n{name}: {value}\r\n\r\n").into_bytes();
    let length = bytes.len();
    // A value that is not text is one unreadable element.
    let head = Head::parse(bytes, length, &HEAD).ok()?;
    let client = Client {
        address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
        ..Client::default()
    };
    Some(forwarded::read(
        &head,
        &client,
        &["loopback".parse().expect("a peer")],
    ))
}

/// The first bytes of a connection from a proxy.
pub fn proxy_header(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let mut rest = bytes;
    let header = runtime
        .expect("a runtime")
        .block_on(proxy_protocol::header(&mut rest));
    let Ok(header) = header else { return };
    assert_eq!([&header[..], rest].concat(), bytes, "nothing is lost");
    let Some(told) = proxy_protocol::parse(&header) else {
        return;
    };
    let Some(text) = header
        .strip_suffix(b"\r\n")
        .filter(|_| header.starts_with(b"PROXY "))
    else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let words: Vec<_> = text.split(' ').collect();
    let written = words
        .get(2)
        .and_then(|word| word.parse::<std::net::IpAddr>().ok());
    if let Some(address) = told.address {
        assert_eq!(Some(address.ip()), written, "{text:?}");
        assert!(
            matches!(words[1], "TCP4" | "TCP6") && !told.secure,
            "{text:?}"
        );
    }
}
