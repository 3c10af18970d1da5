//! An address to an open connection: name, TCP, TLS, handshake, each with the time that it took.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::Address;
use super::connection::{Connection, Stream};
use super::handshake::{self, Answer, Ask, Terms, Unfit};

/// Bytes of a refusal's body that are read.
const BODY: usize = 64 * 1024;
/// How long a refusal's body may take.
const BODY_TIME: Duration = Duration::from_secs(2);

/// The time of each step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Asking for the name's addresses.
    pub name: Duration,
    /// The TCP handshake.
    pub tcp: Duration,
    /// That of TLS, if it is spoken.
    pub tls: Option<Duration>,
    /// From the request to the end of the answer's head.
    pub answer: Duration,
}

impl Timing {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.name + self.tcp + self.tls.unwrap_or_default() + self.answer
    }
}

/// `3.2 ms (name 0.1, TCP 0.2, handshake 2.9)`.
impl fmt::Display for Timing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(
            out,
            "{:.1} ms (name {:.1}, TCP {:.1}",
            millis(self.total()),
            millis(self.name),
            millis(self.tcp)
        )?;
        if let Some(tls) = self.tls {
            write!(out, ", TLS {:.1}", millis(tls))?;
        }
        write!(out, ", handshake {:.1})", millis(self.answer))
    }
}

/// An open connection, and how it came about.
pub struct Dialed {
    /// The connection.
    pub connection: Connection,
    /// The request's header fields.
    pub fields: Vec<(String, String)>,
    /// The server's answer.
    pub answer: Answer,
    /// What was agreed on.
    pub terms: Terms,
    /// How long it took.
    pub timing: Timing,
}

/// Whether a host may be reached at this address.
pub type Admits<'a> = dyn Fn(&str, SocketAddr) -> bool + 'a;

/// How a server is reached.
#[derive(Clone, Copy)]
pub struct Way<'w> {
    /// TLS, where an address wants it.
    pub tls: Option<&'w Arc<ClientConfig>>,
    /// Which of the addresses of a name may be connected to; all of them without.
    pub admits: Option<&'w Admits<'w>>,
}

impl<'w> Way<'w> {
    /// The way to any address.
    pub fn open(tls: Option<&'w Arc<ClientConfig>>) -> Self {
        Self { tls, admits: None }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// Nobody was reached.
    #[error("{0} cannot be reached: {1}")]
    Unreached(String, io::Error),
    /// None of the name's addresses may be connected to.
    #[error(
        "{0} is {1}, an address of this machine or of a network behind it: --allow-connect {1} \
         lets scripts connect to it"
    )]
    Barred(String, std::net::IpAddr),
    /// TLS was not agreed on.
    #[error("no TLS with {0}: {1}")]
    Tls(String, io::Error),
    /// The server has answered with another status than 101.
    #[error("refused with {} {}", .0.status, .0.reason)]
    Refused(Answer, String),
    /// The answer is no WebSocket server's.
    #[error("the answer opens no WebSocket: {0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// Opens a connection within this time. No message may be longer than `limit`.
pub async fn dial(
    address: &Address,
    ask: &Ask,
    way: Way<'_>,
    time: Duration,
    limit: usize,
) -> Result<Dialed, NotOpened> {
    let opening = Box::pin(open(address, ask, way, limit));
    match timeout(time, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(NotOpened::Late(time)),
    }
}

/// Opens a connection on a stream that leads to the server already, within this time.
pub async fn dial_over(
    stream: Stream,
    address: &Address,
    ask: &Ask,
    time: Duration,
    limit: usize,
) -> Result<Dialed, NotOpened> {
    let shaking = Box::pin(shake(stream, address, ask, Timing::default(), limit));
    match timeout(time, shaking).await {
        Ok(opened) => opened,
        Err(_) => Err(NotOpened::Late(time)),
    }
}

async fn open(
    address: &Address,
    ask: &Ask,
    way: Way<'_>,
    limit: usize,
) -> Result<Dialed, NotOpened> {
    let mut timing = Timing::default();
    let stream = reach_encrypted(address, way, &mut timing).await?;
    shake(stream, address, ask, timing, limit).await
}

/// The handshake.
async fn shake(
    mut stream: Stream,
    address: &Address,
    ask: &Ask,
    mut timing: Timing,
    limit: usize,
) -> Result<Dialed, NotOpened> {
    let lost = |error| NotOpened::Unreached(address.authority(), error);
    let key = handshake::key();
    let fields = ask.fields(address, &key);
    let begun = Instant::now();
    stream
        .write_all(&handshake::request(address, &fields))
        .await
        .map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut bytes = Vec::new();
    let (answer, length) = loop {
        if let Some(found) = Answer::parse(&bytes).map_err(NotOpened::Broken)? {
            break found;
        }
        if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
            return Err(match bytes.is_empty() {
                true => lost(io::Error::other(
                    "it has closed the connection without an answer",
                )),
                false => NotOpened::Broken("it ends within its head".into()),
            });
        }
    };
    timing.answer = begun.elapsed();
    let early = bytes.split_off(length);
    match ask.check(&answer, &key) {
        Ok(terms) => Ok(Dialed {
            connection: Connection::new(stream, terms.deflate, early, limit),
            fields,
            answer,
            terms,
            timing,
        }),
        Err(Unfit::Refused) => {
            let body = body(&answer, early, &mut stream).await;
            Err(NotOpened::Refused(answer, body))
        }
        Err(Unfit::Broken(why)) => Err(NotOpened::Broken(why)),
    }
}

/// A stream to the server, encrypted where the address says so; without a handshake.
pub async fn reach_encrypted(
    address: &Address,
    way: Way<'_>,
    timing: &mut Timing,
) -> Result<Stream, NotOpened> {
    let mut stream = reach(address, way, timing).await?;
    if address.secure {
        let begun = Instant::now();
        let broken = |error| NotOpened::Tls(address.authority(), error);
        let Some(config) = way.tls else {
            return Err(broken(io::Error::other("it was not set up")));
        };
        let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other);
        let name = name.map_err(broken)?;
        let connector = TlsConnector::from(Arc::clone(config));
        stream = match stream {
            Stream::Plain(plain) => {
                let encrypted = connector.connect(name, plain).await.map_err(broken)?;
                Stream::Tls(Box::new(encrypted))
            }
            encrypted => encrypted,
        };
        timing.tls = Some(begun.elapsed());
    }
    Ok(stream)
}

/// Connects to the first of the name's addresses that answers: to that address, so that what was
/// looked at is what is reached.
async fn reach(address: &Address, way: Way<'_>, timing: &mut Timing) -> Result<Stream, NotOpened> {
    let unreached = |error| NotOpened::Unreached(address.authority(), error);
    let begun = Instant::now();
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let found: Vec<_> = found.map_err(unreached)?.collect();
    timing.name = begun.elapsed();
    let begun = Instant::now();
    let may = |place: &SocketAddr| {
        way.admits
            .is_none_or(|admits| admits(&address.host, *place))
    };
    if let Some(first) = found.first()
        && !found.iter().any(may)
    {
        return Err(NotOpened::Barred(address.host.clone(), first.ip()));
    }
    let mut last = io::Error::other("the name has no address");
    for place in found.into_iter().filter(may) {
        match TcpStream::connect(place).await {
            Ok(stream) => {
                // Messages are to leave when they are sent.
                let _ = stream.set_nodelay(true);
                timing.tcp = begun.elapsed();
                return Ok(Stream::Plain(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(unreached(last))
}

/// A refusal's body, as far as it comes soon.
async fn body(answer: &Answer, mut bytes: Vec<u8>, stream: &mut Stream) -> String {
    let length = answer.values("content-length").next();
    let length = length.and_then(|length| length.parse().ok());
    let most = length.unwrap_or(BODY).min(BODY);
    let reading = async {
        while bytes.len() < most {
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                break;
            }
        }
    };
    let _ = timeout(BODY_TIME, reading).await;
    bytes.truncate(most);
    let mut codings = answer.values("transfer-encoding");
    if codings.any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        bytes = unchunked(&bytes);
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// The bytes of a chunked body, as far as they are there: RFC 9112 section 7.1.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(bytes) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let rest = &bytes[start..];
        out.extend_from_slice(&rest[..size.min(rest.len())]);
        if size == 0 || rest.len() < size.saturating_add(2) {
            break;
        }
        bytes = &rest[size + 2..];
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn chunks_are_put_together() {
        let whole = b"4\r\nWiki\r\n6\r\npedia \r\n0\r\n\r\n";
        assert_eq!(super::unchunked(whole), b"Wikipedia ");
        assert_eq!(super::unchunked(&whole[..7]), b"Wiki");
        assert_eq!(super::unchunked(b"nonsense"), b"");
    }
}
