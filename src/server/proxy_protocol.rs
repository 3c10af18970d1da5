//! The PROXY protocol, versions 1 and 2: before anything else a proxy says whose connection it
//! passes on.
//!
//! Only what belongs to the header is read, so that the next reader, TLS or HTTP, finds the stream
//! at its beginning.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::Proxy;
use crate::http::{Client, Kind, log_refusal};

/// The shortest header: `PROXY UNKNOWN` and its line end. A version 2 header has 16 bytes before
/// its variable part.
const SHORTEST: usize = 15;
/// Before the variable part of version 2.
const FIXED: usize = 16;
/// The longest line of version 1.
const LONGEST_LINE: usize = 107;
/// The longest variable part of version 2 that is taken: addresses and some fields; certificates
/// would be more.
const LONGEST_FIELDS: usize = 4096;

/// The client of a connection, by the word of the proxy if the configuration asks for it and the
/// peer is trusted. `None`: the connection is to be closed, and that has been logged.
pub async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    client: Client,
    proxy: &Proxy,
    time: Duration,
) -> Option<Client> {
    let peer = client.address.map(|address| address.ip());
    if !proxy.protocol || !proxy.trusted.iter().any(|trusted| trusted.has(peer)) {
        return Some(client);
    }
    let why = match tokio::time::timeout(time, header(stream)).await {
        // Whoever only looks whether the port is open.
        Ok(Ok(bytes)) if bytes.is_empty() => return None,
        Ok(Ok(bytes)) => match parse(&bytes) {
            Some(told) => {
                return Some(Client {
                    address: told.address.or(client.address),
                    secure: told.secure || client.secure,
                    ..client
                });
            }
            None => "its PROXY protocol header is malformed".to_owned(),
        },
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            "it sent no PROXY protocol header, which --proxy-protocol asks of it".to_owned()
        }
        Ok(Err(error)) => format!("its PROXY protocol header ended early: {error}"),
        Err(_) => format!("no PROXY protocol header within {time:?}"),
    };
    log_refusal(Kind::ProxyProtocol, &client, None, &why);
    None
}

/// The bytes of a header, and none behind it; nothing at all if the peer ends at once.
pub async fn header<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![0; SHORTEST];
    // What is no header is noticed by what it begins with, which may be all that comes.
    let mut filled = 0;
    while filled < SHORTEST {
        match stream.read(&mut bytes[filled..]).await? {
            0 if filled == 0 => return Ok(Vec::new()),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        let begins = |start: &[u8]| {
            let length = filled.min(start.len());
            bytes[..length] == start[..length]
        };
        if !begins(b"PROXY ") && !begins(b"\r\n\r\n\0\r\nQUIT\n") {
            return Err(invalid());
        }
    }
    if bytes[0] == b'P' {
        // Its end is known when it is there.
        while !bytes.ends_with(b"\r\n") {
            if bytes.len() == LONGEST_LINE {
                return Err(invalid());
            }
            bytes.push(stream.read_u8().await?);
        }
        return Ok(bytes);
    }
    bytes.push(stream.read_u8().await?);
    let length = usize::from(u16::from_be_bytes([bytes[FIXED - 2], bytes[FIXED - 1]]));
    if length > LONGEST_FIELDS {
        return Err(invalid());
    }
    bytes.resize(FIXED + length, 0);
    stream.read_exact(&mut bytes[FIXED..]).await?;
    Ok(bytes)
}

/// The contents of a PROXY protocol header.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The client; `None` for the proxy's own connections, as health checks are.
    pub address: Option<SocketAddr>,
    /// Whether the client came to the proxy encrypted.
    pub secure: bool,
}

/// Parses the bytes of a whole header; `None` if they are malformed.
pub fn parse(bytes: &[u8]) -> Option<Header> {
    let (header, length) = ProxyHeader::parse(bytes, ParseConfig::default()).ok()?;
    (length == bytes.len()).then(|| Header {
        address: header.proxied_address().map(|address| address.source),
        secure: header.ssl().is_some_and(|ssl| ssl.client_ssl()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    /// A header of version 2: command, family, and what follows.
    fn v2(command: u8, family: u8, fields: &[u8]) -> Vec<u8> {
        let length = (fields.len() as u16).to_be_bytes();
        [V2, &[command, family], &length, fields].concat()
    }

    /// Returns the header's contents, and the bytes left for the next reader; `Err` says why the
    /// connection is closed.
    fn take(bytes: &[u8]) -> Result<(Option<Header>, Vec<u8>), io::ErrorKind> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let mut stream = bytes;
            let header = header(&mut stream).await.map_err(|error| error.kind())?;
            Ok((parse(&header), stream.to_vec()))
        })
    }

    #[test]
    fn a_header_is_taken_and_no_byte_more() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];
        let six = [
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0; 16],
            &[0x12, 0x67, 0x01, 0xbb],
        ]
        .concat();
        // PP2_TYPE_SSL with PP2_CLIENT_SSL and a verification result.
        let with_tls = [&four[..], &[0x20, 0, 5, 1, 0, 0, 0, 0]].concat();
        let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
        let cases: &[(&[u8], Option<&str>, bool)] = &[
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n",
                Some("192.0.2.1:4711"),
                false,
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n",
                Some("[2001:db8::1]:4711"),
                false,
            ),
            (b"PROXY UNKNOWN\r\n", None, false),
            (longest.as_bytes(), None, false),
            (&v2(0x21, 0x11, &four), Some("192.0.2.1:4711"), false),
            (&v2(0x21, 0x21, &six), Some("[2001:db8::1]:4711"), false),
            (&v2(0x21, 0x11, &with_tls), Some("192.0.2.1:4711"), true),
            (&v2(0x20, 0x00, &[]), None, false),
            (&v2(0x20, 0x11, &four), None, false),
            (&v2(0x21, 0x31, &[0; 216]), None, false),
        ];
        for (bytes, address, secure) in cases {
            for rest in ["", "GET / HTTP/1.1\r\n"] {
                let (told, left) = take(&[bytes, rest.as_bytes()].concat()).expect("a header");
                let address = address.map(|address| address.parse().expect("an address"));
                let expected = Header {
                    address,
                    secure: *secure,
                };
                assert_eq!(told, Some(expected), "{}", bytes.escape_ascii());
                assert_eq!(left, rest.as_bytes(), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_no_header_ends_the_connection() {
        let closed = [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"G",
            b"PROXI TCP4",
            b"\x16\x03\x01\x02\0\x01",
            b"PROXY TCP4 192.0.2.1",
            &V2[..11],
            &v2(0x21, 0x11, &[0; 12])[..20],
            &v2(0x21, 0x11, &[0; 5000]),
        ];
        for bytes in closed {
            assert!(take(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        let line = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
        assert_eq!(take(&line), Err(io::ErrorKind::InvalidData));
        assert_eq!(take(b""), Ok((None, Vec::new())));
        let malformed = [
            &b"PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n"[..],
            b"PROXY TCP4 2001:db8::1 ::1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 99999 443\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n",
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 4]),
            &v2(0x21, 0x44, &[0; 12]),
        ];
        for bytes in malformed {
            let (told, _) = take(bytes).expect("as long as a header");
            assert_eq!(told, None, "{}", bytes.escape_ascii());
        }
    }
}
