//! Clients that a window of the console runs side by side: each is a connection of its own to a
//! handler, with headers, an origin and subprotocols, which no page can set by itself.
//!
//! Their streams are in memory; all the rest is as for anybody who comes over the network from
//! where the console's user is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::question::{Answer, message, text};
use crate::client::{Address, Ask, Connection, Dialed, Incoming, NotOpened, Stream, dial_over};
use crate::config::limits::WEBSOCKET;
use crate::observe::live::{now, of_bytes};
use crate::websocket::close::code;
use crate::websocket::frame::Data;
use crate::websocket::{Close, Message};

/// Clients of a window at once.
const CLIENTS: usize = 8;
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the pipe between a client and the server.
const PIPE: usize = 64 << 10;
/// What a client is to send, and has not taken yet.
const ORDERS: usize = 16;
/// Bytes that the server has not taken, from which on a client takes nothing more to send.
const BEHIND: usize = 1 << 20;
/// Bytes of a message that are shown.
const SHOWN: usize = 16 << 10;
/// Characters of a refusal's body that are shown.
const BODY: usize = 500;

/// The way in for clients that are not on the network.
pub struct Door {
    /// The Host that the console was asked for by.
    pub host: String,
    /// The credentials that it was asked for with, if any were.
    pub authorization: Option<String>,
    /// Takes the server's end of a stream in.
    pub enter: Box<dyn Fn(DuplexStream)>,
}

/// The clients of one window.
#[derive(Default)]
pub struct Clients {
    all: RefCell<BTreeMap<u64, Sender<Order>>>,
    /// Handshakes that go on.
    opening: Cell<usize>,
    last: Cell<u64>,
    news: Rc<News>,
}

/// What a client is to do.
enum Order {
    Send(Message<'static>),
    Close(Close),
}

/// What has happened since the window was told the last time.
#[derive(Default)]
struct News {
    rows: RefCell<Vec<Value>>,
    /// Rows that there was no room for.
    missed: Cell<u64>,
}

impl News {
    /// Rows between two times at which it is told: the share of what a console is told in a second.
    const MOST: usize = 50;

    fn add(&self, client: u64, mut row: Value) {
        let mut rows = self.rows.borrow_mut();
        // An end is told in any case; there are no more of them than clients.
        if rows.len() >= Self::MOST && row["kind"] != "ended" {
            return self.missed.set(self.missed.get() + 1);
        }
        row["client"] = json!(client);
        row["time"] = json!(now());
        rows.push(row);
    }

    fn message(&self, client: u64, way: &str, message: &Message<'_>) {
        let (kind, bytes) = message.parts();
        let mut row = of_bytes(bytes, kind == Data::Text, SHOWN);
        row["opcode"] = json!(if kind == Data::Text { 1 } else { 2 });
        row["way"] = json!(way);
        self.add(client, row);
    }

    fn control(&self, client: u64, opcode: u8, payload: &[u8]) {
        let mut row = of_bytes(payload, false, SHOWN);
        row["opcode"] = json!(opcode);
        row["way"] = json!("in");
        self.add(client, row);
    }

    fn close(&self, client: u64, way: &str, close: &Close) {
        self.add(
            client,
            json!({
                "opcode": 8, "way": way, "code": close.code, "text": close.reason,
                "size": close.reason.len(),
            }),
        );
    }
}

impl Clients {
    /// What has happened since this was asked the last time, to be told.
    pub fn news(&self) -> Option<Value> {
        let rows = self.news.rows.take();
        let missed = self.news.missed.take();
        let is_any = missed > 0 || !rows.is_empty();
        is_any.then(|| json!({ "push": "clients", "missed": missed, "rows": rows }))
    }

    /// Opens a connection.
    pub async fn dial(&self, door: &Door, question: &Value) -> Answer {
        self.all
            .borrow_mut()
            .retain(|_, orders| !orders.is_closed());
        if self.all.borrow().len() + self.opening.get() >= CLIENTS {
            return Err(format!("{CLIENTS} clients are open already: close one"));
        }
        let path = text(question, "path")?;
        if !path.starts_with('/') {
            return Err("a path begins with /".into());
        }
        let address = Address::parse(&format!("ws://localhost{path}"));
        let address = address.map_err(|_| format!("{path:?} is no path"))?;
        let ask = ask(door, question)?;
        self.opening.set(self.opening.get() + 1);
        let opened = self.open(door, &address, &ask).await;
        self.opening.set(self.opening.get() - 1);
        let Dialed {
            connection,
            terms,
            timing,
            ..
        } = opened.map_err(|error| said(&error))?;
        let client = self.last.get() + 1;
        self.last.set(client);
        let (orders, given) = channel(ORDERS);
        self.all.borrow_mut().insert(client, orders);
        let news = Rc::clone(&self.news);
        tokio::task::spawn_local(run(client, connection, given, news));
        Ok(json!({
            "client": client, "protocol": terms.protocol, "compresses": terms.deflate.is_some(),
            "milliseconds": timing.total().as_secs_f64() * 1000.0,
        }))
    }

    async fn open(&self, door: &Door, address: &Address, ask: &Ask) -> Result<Dialed, NotOpened> {
        let (near, far) = tokio::io::duplex(PIPE);
        (door.enter)(far);
        let near = Stream::Memory(near);
        dial_over(near, address, ask, PATIENCE, WEBSOCKET.message).await
    }

    /// Has a client send a message.
    pub fn send(&self, question: &Value) -> Answer {
        let (kind, bytes) = message(question)?;
        let message = match kind {
            Data::Text => Message::Text(String::from_utf8_lossy(&bytes).into_owned().into()),
            _ => Message::Binary(bytes.into()),
        };
        self.order(question, Order::Send(message))
    }

    /// Has a client begin to close its connection.
    pub fn close(&self, question: &Value) -> Answer {
        let code = question["code"].as_i64().unwrap_or(1000);
        let reason = question["reason"].as_str().unwrap_or_default();
        self.order(question, Order::Close(Close::checked(code, reason)?))
    }

    fn order(&self, question: &Value, order: Order) -> Answer {
        let client = question["client"].as_u64();
        let client = client.ok_or("client is missing: its number")?;
        let all = self.all.borrow();
        let orders = all.get(&client).filter(|orders| !orders.is_closed());
        let orders = orders.ok_or_else(|| format!("client {client} is not open"))?;
        let given = orders.try_send(order);
        given
            .map(|()| Value::Null)
            .map_err(|_| "the server has not taken yet what it was sent before".into())
    }
}

/// What a handshake asks for.
fn ask(door: &Door, question: &Value) -> Result<Ask, String> {
    let mut ask = Ask {
        compress: question["compress"] == true,
        ..Ask::default()
    };
    let lines = question["headers"].as_str().unwrap_or_default().lines();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        ask.header(line)?;
    }
    let has = |ask: &Ask, name: &str| {
        let mut names = ask.headers.iter().map(|(name, _)| name);
        names.any(|known| known.eq_ignore_ascii_case(name))
    };
    if let Some(origin) = question["origin"].as_str().filter(|text| !text.is_empty()) {
        ask.header(&format!("Origin: {origin}"))?;
    }
    if let Some(offered) = question["protocol"].as_str() {
        let names = offered.split([',', ' ']).filter(|name| !name.is_empty());
        ask.subprotocols.extend(names.map(str::to_owned));
    }
    if let Some(wrong) = ask.wrong_subprotocol() {
        return Err(format!("{wrong:?} is no subprotocol: it is a token"));
    }
    if !has(&ask, "host") {
        ask.headers.push(("Host".into(), door.host.clone()));
    }
    if let Some(authorization) = &door.authorization
        && !has(&ask, "authorization")
    {
        let known = ("Authorization".into(), authorization.clone());
        ask.headers.push(known);
    }
    Ok(ask)
}

/// Why there is no connection, with what the server has said.
fn said(error: &NotOpened) -> String {
    match error {
        NotOpened::Refused(_, body) if !body.is_empty() => {
            let body: String = body.chars().take(BODY).collect();
            format!("{error}: {body}")
        }
        error => error.to_string(),
    }
}

/// Runs a client to its end, or to that of its window.
async fn run(client: u64, mut connection: Connection, mut orders: Receiver<Order>, news: Rc<News>) {
    let end = loop {
        let has_room = connection.unsent() < BEHIND;
        tokio::select! {
            order = orders.recv(), if has_room => match order {
                Some(Order::Send(message)) if !connection.has_closed() => {
                    news.message(client, "out", &message);
                    connection.send(&message);
                }
                Some(Order::Close(close)) if !connection.has_closed() => {
                    news.close(client, "out", &close);
                    connection.close(Some(&close));
                }
                Some(_) => {}
                None => {
                    let close = Close::new(code::GOING_AWAY, "");
                    connection.close(Some(&close));
                    break close;
                }
            },
            came = connection.next() => match came {
                Ok(Incoming::Message(message)) => news.message(client, "in", &message),
                Ok(Incoming::Ping(payload)) => news.control(client, 9, &payload),
                Ok(Incoming::Pong(payload)) => news.control(client, 10, &payload),
                Ok(Incoming::Close(close)) => {
                    let close = close.unwrap_or_else(|| Close {
                        code: code::NO_STATUS,
                        reason: "".into(),
                    });
                    news.close(client, "in", &close);
                    break close;
                }
                Err(ended) => break Close {
                    code: code::ABNORMAL,
                    reason: ended.to_string().into(),
                },
            },
        }
    };
    // Nobody gives it anything to do any more, from here on.
    orders.close();
    let row = json!({ "kind": "ended", "code": end.code, "reason": end.reason });
    news.add(client, row);
    connection.finish().await;
}
