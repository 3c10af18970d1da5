//! One connection of a replay: a task that takes what comes while others are looked at.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::{Connection, Ended, Incoming};
use crate::recording::Ending;
use crate::websocket::{Close, Message};

/// Messages that wait to be looked at; beyond it the stream is not read.
const WAITING: usize = 1024;

/// What a connection has told.
#[derive(Debug)]
pub enum Told {
    /// A message.
    Message(Message<'static>),
    /// The server's Close.
    Closed(u16, Box<str>),
    /// The end without one.
    Lost(Ended),
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(_) => out.write_str("a message came"),
            Self::Closed(code, reason) if reason.is_empty() => {
                write!(out, "the server closed with {code}")
            }
            Self::Closed(code, reason) => write!(out, "the server closed with {code}, {reason}"),
            Self::Lost(why) => why.fmt(out),
        }
    }
}

enum Order {
    Send(Message<'static>),
    Close(Option<Close>),
}

/// A connection.
pub struct Party {
    orders: mpsc::Sender<Order>,
    told: mpsc::Receiver<Told>,
}

impl Party {
    /// Takes over an open connection.
    pub fn new(connection: Connection) -> Self {
        let (orders, inbox) = mpsc::channel(WAITING);
        let (teller, told) = mpsc::channel(WAITING);
        tokio::spawn(talk(connection, inbox, teller));
        Self { orders, told }
    }

    /// Sends a message. If the connection is gone, what is awaited next says so.
    pub async fn send(&mut self, message: Message<'static>) {
        let _ = self.orders.send(Order::Send(message)).await;
    }

    /// Closes as it was closed then.
    pub async fn close(&mut self, ending: Option<&Ending>) {
        let close = match ending {
            Some(ending) => Close::checked(ending.code.into(), &ending.reason).ok(),
            None => Some(Close::new(1000, "")),
        };
        let _ = self.orders.send(Order::Close(close)).await;
    }

    /// What comes next; `None` if nothing does within this time.
    pub async fn told(&mut self, time: Duration) -> Option<Told> {
        timeout(time, self.told.recv()).await.ok().flatten()
    }
}

async fn talk(
    mut connection: Connection,
    mut orders: mpsc::Receiver<Order>,
    teller: mpsc::Sender<Told>,
) {
    let mut is_ordered = true;
    loop {
        let told = tokio::select! {
            incoming = connection.next() => match incoming {
                Ok(Incoming::Message(message)) => Told::Message(message),
                Ok(Incoming::Close(close)) => match close {
                    Some(close) => Told::Closed(close.code, close.reason),
                    None => Told::Closed(1005, "".into()),
                },
                Ok(Incoming::Ping(_) | Incoming::Pong(_)) => continue,
                Err(ended) => Told::Lost(ended),
            },
            order = orders.recv(), if is_ordered => {
                match order {
                    Some(Order::Send(message)) => connection.send(&message),
                    Some(Order::Close(close)) => connection.close(close.as_ref()),
                    None => {
                        is_ordered = false;
                        connection.close(Some(&Close::new(1000, "")));
                    }
                }
                continue;
            }
        };
        let is_last = !matches!(told, Told::Message(_));
        let has_listener = teller.send(told).await.is_ok();
        if is_last || !has_listener {
            return connection.finish().await;
        }
    }
}
