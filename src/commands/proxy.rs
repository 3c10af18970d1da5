//! `proxy`: between a client and its server. Bytes go through as they are, or through a handler;
//! what the client says and gets is shown and recorded.

mod relay;

use std::cell::RefCell;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::print;
use crate::client::{
    Address, Answer, Ask, Frames, Incoming, Stream, Timing, Trust, Way, compression,
    reach_encrypted,
};
use crate::config::limits::RECORDINGS;
use crate::observe::event::By;
use crate::recording::{Beat, Ending, Head, Side, Writer};
use crate::websocket::Message;
use relay::Relay;

/// Bytes of a head.
const HEAD: usize = 64 * 1024;
/// Header fields of a request.
const FIELDS: usize = 100;
/// Bytes of the longest message that is shown and recorded; longer ones go through, too.
const LONGEST: usize = 64 * 1024 * 1024;
/// Bytes that are read at once.
const READ: usize = 16 * 1024;
/// Characters of a message that are shown.
const SHOWN: usize = 500;

/// What `proxy` is told.
#[derive(Debug)]
pub struct Proxy {
    /// The server.
    pub server: Address,
    /// The port for clients.
    pub port: u16,
    /// Headers that are sent instead of the client's of that name.
    pub ask: Ask,
    /// Whom it trusts.
    pub trust: Trust,
    /// Time for a handshake.
    pub timeout: Duration,
    /// The folder for recordings.
    pub folder: Option<PathBuf>,
    /// Whether no messages are shown.
    pub quiet: bool,
    /// The handler that messages go through.
    pub handler: Option<PathBuf>,
}

/// What all connections have in common.
struct Between {
    options: Proxy,
    tls: Option<Arc<ClientConfig>>,
    /// The port of the handler's server, which stands in for the real one, and its host.
    relay: Option<(u16, String)>,
}

/// Serves until it is ended.
pub fn proxy(options: Proxy) -> Result<ExitCode> {
    if let Some(folder) = &options.folder {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("--record {}: no such folder", folder.display()))?;
    }
    let relay = options.handler.as_ref().map(|file| {
        let Proxy {
            server,
            trust,
            timeout,
            ..
        } = &options;
        Relay::new(file, server, trust, *timeout)
    });
    let relay = relay.transpose()?;
    // With a handler it is the handler's connection that is encrypted.
    let tls = match options.server.secure && relay.is_none() {
        true => Some(options.trust.config()?),
        false => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let port = options.port;
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener
            .with_context(|| format!("cannot listen on port {port}: give --port another"))?;
        let own = listener.local_addr()?.port();
        print(&format!(
            "ready: ws://localhost:{own} leads to {}\n",
            options.server
        ));
        let shared = Rc::new(Between {
            options,
            tls,
            relay: relay
                .as_ref()
                .map(|relay| (relay.address.port(), relay.host.clone())),
        });
        let serving = async {
            match relay {
                Some(relay) => relay.run().await,
                None => std::future::pending().await,
            }
        };
        let mut serving = std::pin::pin!(serving);
        let mut number = 0;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => {
                        number += 1;
                        tokio::task::spawn_local(serve(Rc::clone(&shared), client, number));
                    }
                    // There are no descriptors for now.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                ended = &mut serving => return ended,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}

/// A client from its first byte to its last.
async fn serve(between: Rc<Between>, mut client: TcpStream, number: u64) {
    if let Err(why) = pass(&between, &mut client, number).await {
        print(&format!("#{number} {why}\n"));
        let body = format!("{why}\n");
        let answer = format!(
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = client.write_all(answer.as_bytes()).await;
        let _ = client.shutdown().await;
    }
}

/// Passes a handshake on, and then everything else; `Err` if there was no handshake.
async fn pass(between: &Between, client: &mut TcpStream, number: u64) -> Result<(), String> {
    let Between { options, tls, .. } = between;
    let late = |_| format!("no handshake within {:?}", options.timeout);
    let reading = request(client, &options.server, &options.ask);
    let (asked, behind) = timeout(options.timeout, reading).await.map_err(late)??;
    let reached = between.reached(&asked.address);
    let opening = async {
        let mut timing = Timing::default();
        let mut server = reach_encrypted(&reached, Way::open(tls.as_ref()), &mut timing)
            .await
            .map_err(|error| error.to_string())?;
        let lost = |error: io::Error| format!("the server is gone: {error}");
        server
            .write_all(&between.bytes(&asked))
            .await
            .map_err(lost)?;
        server.write_all(&behind).await.map_err(lost)?;
        server.flush().await.map_err(lost)?;
        let mut bytes = Vec::new();
        loop {
            if let Some((answer, length)) = Answer::parse(&bytes)? {
                return Ok::<_, String>((server, answer, bytes, length));
            }
            if server.read_buf(&mut bytes).await.map_err(lost)? == 0 {
                return Err("the server has closed without an answer".to_owned());
            }
        }
    };
    let (mut server, answer, bytes, length) =
        timeout(options.timeout, opening).await.map_err(late)??;
    print(&format!(
        "#{number} {} {} for {}\n",
        answer.status, answer.reason, asked.address
    ));
    // From here on the client has its answer, whatever happens.
    if client.write_all(&bytes).await.is_err() {
        return Ok(());
    }
    if answer.status != 101 {
        let _ = tokio::io::copy_bidirectional(client, &mut server).await;
        return Ok(());
    }
    let tap = Tap::new(options, number, &asked, &answer);
    tap.borrow_mut().sees(Side::Client, &behind);
    tap.borrow_mut().sees(Side::Server, &bytes[length..]);
    join(client, server, &tap).await;
    tap.borrow_mut().ends();
    Ok(())
}

impl Between {
    /// Where a connection to this address of the server really leads.
    fn reached(&self, address: &Address) -> Address {
        match self.relay {
            None => address.clone(),
            Some((port, _)) => Address {
                secure: false,
                host: "127.0.0.1".to_owned(),
                port,
                ..address.clone()
            },
        }
    }

    /// A request as it is sent there.
    fn bytes(&self, asked: &Asked) -> Vec<u8> {
        let mut text = format!("GET {} HTTP/1.1\r\n", asked.address.target);
        for (name, value) in &asked.fields {
            let value = match &self.relay {
                Some((_, host)) if name.eq_ignore_ascii_case("host") => host,
                _ => value,
            };
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        text.into_bytes()
    }
}

/// A client's request as it goes to the server.
struct Asked {
    address: Address,
    fields: Vec<(String, String)>,
}

/// Reads a request, and what is behind it.
async fn request(
    client: &mut TcpStream,
    server: &Address,
    ask: &Ask,
) -> Result<(Asked, Vec<u8>), String> {
    let mut bytes = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Request::new(&mut headers);
        let status = parsed.parse(&bytes).map_err(|error| error.to_string())?;
        if let httparse::Status::Complete(length) = status {
            let asked = rewritten(&parsed, server, ask)?;
            return Ok((asked, bytes.split_off(length)));
        }
        let count = client.read_buf(&mut bytes).await;
        if bytes.len() > HEAD || !matches!(count, Ok(1..)) {
            return Err("the client has sent no request".to_owned());
        }
    }
}

/// The request with the server's name, and the headers that were given.
fn rewritten(
    parsed: &httparse::Request<'_, '_>,
    server: &Address,
    ask: &Ask,
) -> Result<Asked, String> {
    let value = |name: &str| {
        let mut fields = parsed.headers.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
        String::from_utf8_lossy(field.map_or(b"", |field| field.value)).into_owned()
    };
    if !value("upgrade").eq_ignore_ascii_case("websocket") {
        return Err("this is a proxy for WebSockets: open it with new WebSocket(…)".to_owned());
    }
    // A page elsewhere that has its own name lead here is not let through.
    let host = value("host");
    let name = host
        .rsplit_once(':')
        .map_or(host.as_str(), |(name, _)| name);
    if !matches!(name, "localhost" | "127.0.0.1" | "[::1]") && !name.ends_with(".localhost") {
        return Err(format!("the Host {host:?} is not this machine's"));
    }
    let mut fields = vec![("Host".to_owned(), server.authority())];
    let is_given = |name: &str| {
        let mut given = ask.headers.iter();
        given.any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    for field in parsed.headers.iter() {
        if !field.name.eq_ignore_ascii_case("host") && !is_given(field.name) {
            let value = String::from_utf8_lossy(field.value).into_owned();
            fields.push((field.name.to_owned(), value));
        }
    }
    fields.extend(ask.headers.iter().cloned());
    let mut address = server.clone();
    if address.target == "/" {
        address.target = parsed.path.unwrap_or("/").to_owned();
    }
    Ok(Asked { address, fields })
}

/// Carries bytes both ways until both have ended.
async fn join(client: &mut TcpStream, server: Stream, tap: &RefCell<Tap>) {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = tokio::io::split(server);
    tokio::join!(
        carry(from_client, to_server, Side::Client, tap),
        carry(from_server, to_client, Side::Server, tap),
    );
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    by: Side,
    tap: &RefCell<Tap>,
) {
    let mut bytes = vec![0; READ];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        tap.borrow_mut().sees(by, &bytes[..count]);
        if to.write_all(&bytes[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// What is made of the bytes that go through.
struct Tap {
    number: u64,
    quiet: bool,
    /// Of each side; `None` once its bytes are not understood.
    client: Option<Frames>,
    server: Option<Frames>,
    record: Option<Writer>,
    ending: Option<Ending>,
}

impl Tap {
    fn new(options: &Proxy, number: u64, asked: &Asked, answer: &Answer) -> RefCell<Self> {
        let deflate = compression(answer);
        let record = options.folder.as_ref().and_then(|folder| {
            let started = SystemTime::now();
            let mut facts = serde_json::Map::new();
            facts.insert("recorder".to_owned(), json!("proxy"));
            let head = Head {
                url: asked.address.to_string(),
                started,
                request: asked.fields.clone(),
                answer: answer.headers.clone(),
                secrets: false,
                facts,
            };
            let name = crate::recording::name("proxy", started, number);
            let created = Writer::create(&folder.join(name), head, RECORDINGS);
            if let Err(error) = &created {
                print(&format!("#{number} is not recorded: {error}\n"));
            }
            created.ok()
        });
        RefCell::new(Self {
            number,
            quiet: options.quiet,
            client: Some(Frames::of_client(deflate, LONGEST)),
            server: Some(Frames::new(deflate, Vec::new(), LONGEST)),
            record,
            ending: None,
        })
    }

    fn sees(&mut self, by: Side, bytes: &[u8]) {
        let frames = match by {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let Some(mut known) = frames.take() else {
            return;
        };
        known.input().extend_from_slice(bytes);
        let known = loop {
            match known.next() {
                Ok(None) => break Some(known),
                Ok(Some(incoming)) => self.shows(by, &incoming),
                Err(breach) => {
                    self.says(by, &format!("{breach}: passed on, and not shown any more"));
                    break None;
                }
            }
        };
        match by {
            Side::Client => self.client = known,
            Side::Server => self.server = known,
        }
    }

    fn records(&mut self, by: Side, incoming: &Incoming) {
        let (Some(record), now) = (&mut self.record, SystemTime::now()) else {
            return;
        };
        let written = match incoming {
            Incoming::Message(message) => record.message(by, now, message),
            Incoming::Ping(payload) => record.beat(by, now, Beat::Ping, payload),
            Incoming::Pong(payload) => record.beat(by, now, Beat::Pong, payload),
            Incoming::Close(_) => Ok(()),
        };
        if let Err(error) = written {
            print(&format!("#{} recording has ended: {error}\n", self.number));
            self.record = None;
        }
    }

    fn shows(&mut self, by: Side, incoming: &Incoming) {
        self.records(by, incoming);
        let text = match incoming {
            Incoming::Message(message) => {
                if self.quiet {
                    return;
                }
                match message {
                    Message::Text(text) => text.to_string(),
                    Message::Binary(bytes) => format!(
                        "binary, {} bytes: {}",
                        bytes.len(),
                        data_encoding::HEXLOWER.encode(&bytes[..bytes.len().min(64)])
                    ),
                }
            }
            Incoming::Ping(payload) => format!("ping, {} bytes", payload.len()),
            Incoming::Pong(payload) => format!("pong, {} bytes", payload.len()),
            Incoming::Close(close) => {
                let (code, reason) = match close {
                    Some(close) => (close.code, &*close.reason),
                    None => (1005, ""),
                };
                self.ending.get_or_insert_with(|| Ending {
                    code,
                    reason: reason.to_owned(),
                    by: match by {
                        Side::Client => By::Client,
                        Side::Server => By::Server,
                    },
                });
                format!("close {code} {reason}").trim_end().to_owned()
            }
        };
        self.says(by, &text);
    }

    fn says(&self, by: Side, text: &str) {
        let mark = match by {
            Side::Client => '>',
            Side::Server => '<',
        };
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        let shown = shown.replace(|letter: char| letter.is_control(), " ");
        print(&format!("#{} {mark} {shown}{more}\n", self.number));
    }

    fn ends(&mut self) {
        let ending = self.ending.take().unwrap_or(Ending {
            code: 1006,
            reason: String::new(),
            by: By::Nobody,
        });
        if let Some(record) = &mut self.record {
            let _ = record.close(SystemTime::now(), &ending);
        }
        // Whoever reads this finds the whole recording.
        print(&format!("#{} ended: {}\n", self.number, ending.code));
    }
}
