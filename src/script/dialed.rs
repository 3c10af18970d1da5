//! Connections that a script has dialed: each is pumped by a task of its worker, which keeps what
//! comes until the script takes it, and sends what the script says.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::client::{Connection, Dialed, Egress, Ended, Incoming, Permit};
use crate::config::limits::WEBSOCKET;
use crate::websocket::{Close, Message, ReadyState, close};

/// A dialed connection, as scripts have it: `dialed`.
pub struct Line {
    /// Its number among those of its owner.
    pub id: i64,
    /// Where it leads.
    pub url: String,
    /// The subprotocol that was agreed on, or none.
    pub protocol: String,
    /// The header fields of the server's answer.
    pub headers: Vec<(String, String)>,
    /// Until it has ended.
    connection: RefCell<Option<Connection>>,
    inbox: RefCell<VecDeque<Message<'static>>>,
    /// Bytes of the inbox.
    unread: Cell<usize>,
    end: RefCell<Option<Close>>,
    heard: Cell<Instant>,
    /// Its Close was asked for: there is a bound to what follows.
    closing: Notify,
    /// Something has come or gone, for whoever waits in a call.
    changed: Notify,
    /// The pump's.
    pump: Cell<Option<Waker>>,
    /// Of the task that calls its owner's hooks.
    owner: Cell<Option<Waker>>,
    /// Its end was told to a hook.
    is_told: Cell<bool>,
    egress: Arc<Egress>,
    permit: Permit,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Line").field(&self.url).finish()
    }
}

impl Line {
    /// Begins to pump an open connection.
    pub fn begin(
        id: i64,
        url: String,
        dialed: Dialed,
        egress: Arc<Egress>,
        permit: Permit,
    ) -> Rc<Self> {
        let line = Rc::new(Self {
            id,
            url,
            protocol: dialed.terms.protocol.unwrap_or_default(),
            headers: dialed.answer.headers,
            connection: RefCell::new(Some(dialed.connection)),
            inbox: RefCell::default(),
            unread: Cell::new(0),
            end: RefCell::default(),
            heard: Cell::new(Instant::now()),
            closing: Notify::new(),
            changed: Notify::new(),
            pump: Cell::default(),
            owner: Cell::default(),
            is_told: Cell::new(false),
            egress,
            permit,
        });
        tokio::task::spawn_local(pump(Rc::clone(&line)));
        line
    }

    /// Queues a message; after a Close of either side it goes nowhere.
    pub fn send(&self, message: &Message<'_>) {
        if let Some(connection) = &mut *self.connection.borrow_mut() {
            connection.send(message);
        }
        self.wake();
    }

    /// Queues a Close, once.
    pub fn close(&self, close: Option<&Close>) {
        if let Some(connection) = &mut *self.connection.borrow_mut()
            && !connection.has_closed()
        {
            connection.close(close);
            self.closing.notify_one();
        }
        self.wake();
    }

    /// Its owner is gone.
    pub fn leave(&self) {
        self.close(Some(&Close::new(close::code::GOING_AWAY, "")));
    }

    /// Whether it is open.
    pub fn state(&self) -> ReadyState {
        match &*self.connection.borrow() {
            None => ReadyState::Closed,
            Some(connection) if connection.has_closed() => ReadyState::Closing,
            Some(_) => ReadyState::Open,
        }
    }

    /// Bytes that the network has not taken yet.
    pub fn buffered(&self) -> usize {
        let connection = self.connection.borrow();
        connection.as_ref().map_or(0, Connection::unsent)
    }

    /// Whether the next message may be sent: not too much is unsent.
    pub fn has_room(&self) -> bool {
        self.buffered() < WEBSOCKET.send_queue
    }

    /// Ready when there is room.
    pub async fn room(self: Rc<Self>) {
        while !self.has_room() {
            self.changed.notified().await;
        }
    }

    /// The next message; `None` when it has ended, and all that came was taken.
    pub async fn next(self: Rc<Self>) -> Option<Message<'static>> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            if self.end.borrow().is_some() {
                return None;
            }
            self.changed.notified().await;
        }
    }

    /// A message that has come.
    pub fn take(&self) -> Option<Message<'static>> {
        let message = self.inbox.borrow_mut().pop_front()?;
        self.unread.set(self.unread.get() - worth(&message));
        self.wake();
        Some(message)
    }

    /// How it has ended, once.
    fn take_end(&self) -> Option<Close> {
        let end = self.end.borrow().clone();
        end.filter(|_| !self.is_told.replace(true))
    }

    /// Whether there is something for these hooks; its owner is woken when there is.
    fn has_news(&self, hooks: Hooks, context: &Context<'_>) -> bool {
        self.owner.set(Some(context.waker().clone()));
        match self.inbox.borrow().is_empty() {
            false => hooks.messages,
            true => hooks.ends && self.end.borrow().is_some() && !self.is_told.get(),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.pump.take() {
            waker.wake();
        }
    }

    /// Moves what there is to move; ready with the end.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Close> {
        self.pump.set(Some(context.waker().clone()));
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else {
            return Poll::Ready(lost(""));
        };
        let end = loop {
            if self.unread.get() >= WEBSOCKET.read_ahead {
                break match pin!(connection.flush()).poll(context) {
                    Poll::Ready(Err(ended)) => Some(broken(&ended)),
                    _ => None,
                };
            }
            match pin!(connection.next()).poll(context) {
                Poll::Ready(Ok(incoming)) => {
                    self.heard.set(Instant::now());
                    if let Some(close) = self.comes(incoming) {
                        break Some(close);
                    }
                }
                Poll::Ready(Err(ended)) => break Some(broken(&ended)),
                Poll::Pending => break None,
            }
        };
        let held = connection.held() + self.unread.get();
        let end = end.or_else(|| {
            if self.egress.holds(&self.permit, held) {
                return None;
            }
            // What was too much is not told, however fast it came.
            if let Some(message) = self.inbox.borrow_mut().pop_back() {
                self.unread.set(self.unread.get() - worth(&message));
            }
            let why = "the handler's dialed connections hold too much (--max-dialed-size)";
            Some(lost(why))
        });
        self.changed.notify_waiters();
        match end {
            Some(end) => Poll::Ready(end),
            None => Poll::Pending,
        }
    }

    /// Keeps what has come; the end, if that is it.
    fn comes(&self, incoming: Incoming) -> Option<Close> {
        match incoming {
            Incoming::Message(message) => {
                self.unread.set(self.unread.get() + worth(&message));
                self.inbox.borrow_mut().push_back(message);
                self.tell();
                None
            }
            Incoming::Close(close) => Some(close.unwrap_or_else(|| Close {
                code: close::code::NO_STATUS,
                reason: "".into(),
            })),
            Incoming::Ping(_) | Incoming::Pong(_) => None,
        }
    }

    fn tell(&self) {
        self.changed.notify_waiters();
        if let Some(waker) = self.owner.take() {
            waker.wake();
        }
    }

    /// Ready when the other side has not answered our Close in time.
    async fn closed_in_vain(&self) -> Close {
        self.closing.notified().await;
        sleep(seconds(WEBSOCKET.close)).await;
        lost("")
    }

    /// Ready when nothing has come for too long, Pings notwithstanding. What is not read is not
    /// missed.
    async fn silence(&self) -> Close {
        loop {
            sleep(seconds(WEBSOCKET.ping)).await;
            let is_full = self.unread.get() >= WEBSOCKET.read_ahead;
            let heard = self.heard.get();
            if is_full || heard.elapsed() < seconds(WEBSOCKET.ping) {
                continue;
            }
            if let Some(connection) = &mut *self.connection.borrow_mut() {
                connection.ping(&[]);
            }
            self.wake();
            sleep(seconds(WEBSOCKET.pong)).await;
            if self.heard.get() == heard && self.unread.get() < WEBSOCKET.read_ahead {
                return lost("nothing has come for too long");
            }
        }
    }
}

/// Pumps a line to its end.
async fn pump(line: Rc<Line>) {
    let end = tokio::select! {
        biased;
        end = poll_fn(|context| line.poll(context)) => end,
        end = line.closed_in_vain() => end,
        end = line.silence() => end,
    };
    let connection = line.connection.take();
    line.egress.holds(&line.permit, line.unread.get());
    *line.end.borrow_mut() = Some(end);
    line.tell();
    drop(line);
    if let Some(connection) = connection {
        connection.finish().await;
    }
}

fn worth(message: &Message<'_>) -> usize {
    message.len() + size_of::<Message<'_>>()
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

fn lost(reason: &str) -> Close {
    Close {
        code: close::code::ABNORMAL,
        reason: reason.to_owned().into(),
    }
}

fn broken(ended: &Ended) -> Close {
    match ended {
        Ended::Abruptly | Ended::Broken(_) => lost(""),
        Ended::Breach(_) => lost(&ended.to_string()),
    }
}

/// The hooks that a handler has for what it dials.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// For messages.
    pub messages: bool,
    /// For ends.
    pub ends: bool,
}

/// What a hook is told.
#[derive(Debug)]
pub enum News {
    /// A message has come.
    Message(Message<'static>),
    /// The connection has ended.
    End(Close),
}

/// The lines of one owner. They end with it.
#[derive(Debug, Default)]
pub struct Lines {
    all: Vec<Rc<Line>>,
    last: i64,
}

impl Lines {
    /// A number for another.
    pub fn number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// How many there are. What has ended is forgotten before, and what nobody can ask any more
    /// ends, unless hooks would be told of it.
    pub fn count(&mut self, has_hooks: bool) -> usize {
        self.all.retain(|line| {
            // One reference is here, one is the pump's.
            let is_lost = !has_hooks && Rc::strong_count(line) <= 2;
            let is_over = line.state() == ReadyState::Closed;
            if is_lost {
                line.leave();
            }
            !is_lost && !(is_over && (line.is_told.get() || !has_hooks))
        });
        self.all.len()
    }

    /// One more.
    pub fn add(&mut self, line: Rc<Line>) {
        self.all.push(line);
    }

    /// Whether there is something for these hooks; the owner is woken when there is.
    pub fn has_news(&self, hooks: Hooks, context: &Context<'_>) -> bool {
        let lines = self.all.iter();
        // Each of them is to wake it.
        lines.filter(|line| line.has_news(hooks, context)).count() > 0
    }

    /// What a hook is to be told, and of which line. The others have their turn before it has
    /// another.
    pub fn take_news(&mut self, hooks: Hooks, context: &Context<'_>) -> Option<(Rc<Line>, News)> {
        let mut lines = self.all.iter();
        let place = lines.position(|line| line.has_news(hooks, context))?;
        let line = self.all.remove(place);
        let news = match line.take() {
            Some(message) => News::Message(message),
            None => return Some((Rc::clone(&line), News::End(line.take_end()?))),
        };
        self.all.push(Rc::clone(&line));
        Some((line, news))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for line in &self.all {
            line.leave();
        }
    }
}
