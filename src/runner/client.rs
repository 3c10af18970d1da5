//! A virtual client: a stream in memory, with the handshake and the frames of a real one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role, WebSocketConfig};

use crate::websocket::handshake::accept_key;

/// The key of RFC 6455's own example: nobody between guesses anything in memory.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Bytes of an answer's head.
const HEAD: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS: usize = 100;
/// Bytes of messages that wait at a client, to be sent or to be received.
pub const WAITING: usize = 64 << 20;
/// What a message counts besides its bytes.
const OVERHEAD: usize = 64;

/// A client's connection.
#[derive(Debug, Clone)]
pub struct Client(Rc<Ends>);

#[derive(Debug)]
struct Ends {
    orders: UnboundedSender<Order>,
    inbox: Rc<Inbox>,
    protocol: String,
}

/// What a client is to do.
#[derive(Debug)]
enum Order {
    Send(Message),
    Close(Option<CloseFrame>),
    /// Without a Close.
    Drop,
}

/// What has come, and how it ended.
#[derive(Debug, Default)]
struct Inbox {
    messages: RefCell<VecDeque<Message>>,
    end: RefCell<Option<End>>,
    changed: Notify,
    /// What these count, and those that are yet to be sent.
    waiting: Cell<usize>,
}

impl Inbox {
    fn add(&self, message: &Message) {
        self.waiting.set(self.waiting.get() + weight(message));
    }

    fn remove(&self, weight: usize) {
        self.waiting.set(self.waiting.get().saturating_sub(weight));
    }
}

fn weight(message: &Message) -> usize {
    message.len() + OVERHEAD
}

/// How a connection ended, as the client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The code of the Close; 1005 if it had none, 1006 if there was none.
    pub code: u16,
    /// Its reason.
    pub reason: String,
}

/// Why a message is not sent.
#[derive(Debug)]
pub enum Unsent {
    /// The connection has ended.
    Ended(End),
    /// As much as may [wait](WAITING) does.
    Full,
}

/// An answer that opens no connection.
#[derive(Debug)]
pub struct Refused(pub String);

impl Client {
    /// Opens a connection: the handshake with these headers beside its own, which they replace.
    pub async fn open(
        mut stream: DuplexStream,
        path: String,
        headers: Vec<(String, String)>,
    ) -> Result<Self, Refused> {
        let mut request = format!("GET {path} HTTP/1.1\r\n");
        let own = [
            ("Host", "localhost"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        for (name, value) in own {
            if !headers
                .iter()
                .any(|(given, _)| given.eq_ignore_ascii_case(name))
            {
                request += &format!("{name}: {value}\r\n");
            }
        }
        for (name, value) in &headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        let written = stream.write_all(request.as_bytes()).await;
        written.map_err(|error| Refused(error.to_string()))?;
        let (protocol, rest) = answer(&mut stream).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(None)
            .max_frame_size(None);
        let socket =
            WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config)).await;
        let (orders, given) = unbounded_channel();
        let inbox = Rc::<Inbox>::default();
        spawn_local(pump(socket, given, Rc::clone(&inbox)));
        Ok(Self(Rc::new(Ends {
            orders,
            inbox,
            protocol,
        })))
    }

    /// The subprotocol that was agreed on; empty without one.
    pub fn protocol(&self) -> &str {
        &self.0.protocol
    }

    /// Sends a message.
    pub fn send(&self, message: Message) -> Result<(), Unsent> {
        if let Some(end) = self.end() {
            return Err(Unsent::Ended(end));
        }
        if self.0.inbox.waiting.get() >= WAITING {
            return Err(Unsent::Full);
        }
        self.0.inbox.add(&message);
        // Whoever would take it has told the end.
        let _ = self.0.orders.send(Order::Send(message));
        Ok(())
    }

    /// Sends a Close, with this code and reason.
    pub fn close(&self, close: Option<(u16, String)>) {
        let close = close.map(|(code, reason)| CloseFrame {
            code: code.into(),
            reason: reason.into(),
        });
        let _ = self.0.orders.send(Order::Close(close));
    }

    /// Ends without a Close, as a client does whose network is gone.
    pub fn drop_connection(&self) {
        let _ = self.0.orders.send(Order::Drop);
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.0.inbox.end.borrow().clone()
    }

    /// The next message, or how the connection ended if there is none any more.
    pub async fn next(self) -> Result<Message, End> {
        let inbox = &self.0.inbox;
        loop {
            if let Some(message) = inbox.messages.borrow_mut().pop_front() {
                inbox.remove(weight(&message));
                return Ok(message);
            }
            if let Some(end) = self.end() {
                return Err(end);
            }
            inbox.changed.notified().await;
        }
    }

    /// Ready when the connection has ended.
    pub async fn ended(self) -> End {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            self.0.inbox.changed.notified().await;
        }
    }
}

/// Reads the answer to the handshake: the subprotocol, and what came behind it.
async fn answer(stream: &mut DuplexStream) -> Result<(String, Vec<u8>), Refused> {
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await;
        let is_over = !matches!(read, Ok(1..));
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&bytes);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if !is_over && bytes.len() < HEAD => continue,
            Ok(httparse::Status::Partial) => {
                return Err(Refused(
                    "the server ended the connection without an answer".into(),
                ));
            }
            Err(error) => return Err(Refused(format!("the answer is no HTTP: {error}"))),
        };
        let status = response.code.unwrap_or(0);
        if status != 101 {
            let words = response.reason.unwrap_or("");
            let said = String::from_utf8_lossy(&bytes[length..]);
            let said = said.trim().lines().next().unwrap_or("").to_owned();
            let colon = if said.is_empty() { "" } else { ": " };
            return Err(Refused(format!("{status} {words}{colon}{said}")));
        }
        let header = |name: &str| {
            let mut headers = response.headers.iter();
            let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        if header("Sec-WebSocket-Accept") != Some(&accept_key(KEY.as_bytes())) {
            return Err(Refused("101 with a wrong Sec-WebSocket-Accept".into()));
        }
        let protocol = header("Sec-WebSocket-Protocol").unwrap_or("").to_owned();
        return Ok((protocol, bytes.split_off(length)));
    }
}

/// Reads and writes for a client until its connection ends: one that nobody asks answers Pings all
/// the same.
async fn pump(
    mut socket: WebSocketStream<DuplexStream>,
    mut orders: UnboundedReceiver<Order>,
    inbox: Rc<Inbox>,
) {
    let mut end = End {
        code: 1006,
        reason: String::new(),
    };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                // A failure shows where it is read.
                Some(Order::Send(message)) => {
                    let weight = weight(&message);
                    let _ = socket.send(message).await;
                    inbox.remove(weight);
                }
                Some(Order::Close(close)) => drop(socket.close(close).await),
                Some(Order::Drop) | None => break,
            },
            message = socket.next() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    inbox.add(&message);
                    inbox.messages.borrow_mut().push_back(message);
                    inbox.changed.notify_waiters();
                }
                Some(Ok(Message::Close(close))) => {
                    end = match close {
                        Some(close) => End {
                            code: close.code.into(),
                            reason: close.reason.to_string(),
                        },
                        None => End { code: 1005, reason: String::new() },
                    };
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    *inbox.end.borrow_mut() = Some(end);
    inbox.changed.notify_waiters();
}
