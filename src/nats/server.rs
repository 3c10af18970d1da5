//! The connection to a NATS server, made anew for as long as the process lives. One that is lost is
//! given up at once, so that whoever has subscribed on it knows what was missed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{ConnectOptions, Event, Message};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use super::life::{ANSWER, Life, told};
use crate::config::{EngineUrl, Place};
use crate::link::{Backoff, Failed, Feed, Health, News};

/// Its number among the connections of an engine: there is one.
const CONNECTION: usize = 0;
/// How often it is asked for a sign of life: with `ANSWER` a silent one is found in seven seconds.
const PING: Duration = Duration::from_secs(2);
/// Commands between the workers and the connection; whoever publishes more waits.
const QUEUE: usize = 64;
/// Messages of one subject that were read and are not with their reader yet. Readers take them at
/// once, into a queue that is bounded in bytes.
const UNREAD: usize = 1_000_000;
/// Attempts that the client makes by itself, the first one: all others are made here.
const ATTEMPTS: usize = 1;

/// The server.
#[derive(Debug, Clone)]
pub struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    health: Arc<Health>,
    patience: Duration,
    life: Mutex<Option<Life>>,
    has_streams: AtomicBool,
    /// Messages that nobody waits for: sent in this life, known to have arrived,
    sent: AtomicU64,
    arrived: AtomicU64,
    /// and lost in others.
    lost: AtomicU64,
}

impl Server {
    /// One whose connection has not begun yet.
    pub fn new(health: &Arc<Health>, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            health: Arc::clone(health),
            patience,
            life: Mutex::default(),
            has_streams: AtomicBool::new(true),
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }))
    }

    /// Whether it is there.
    pub fn health(&self) -> &Arc<Health> {
        &self.0.health
    }

    /// How many messages that nobody waited for were lost, or may have been.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Whether it has JetStream, as far as is known.
    pub fn has_streams(&self) -> bool {
        self.0.has_streams.load(Ordering::Relaxed)
    }

    /// Ready when it is there; an error once it has been away for too long.
    pub async fn is_there(&self) -> Result<(), Failed> {
        self.life().await.map(drop)
    }

    /// Publishes a message that nobody answers: ready when it is on its way.
    pub async fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), Failed> {
        let life = self.life().await?;
        self.within(life.publish(subject, None, payload)).await?;
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The same with a subject for the server's word that nobody listens.
    pub async fn publish_asking(
        &self,
        subject: String,
        reply: String,
        payload: Vec<u8>,
    ) -> Result<(), Failed> {
        let life = self.life().await?;
        self.within(life.publish(subject, Some(reply), payload))
            .await
    }

    /// Asks for something; `None` if nobody listens there.
    pub async fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
    ) -> Result<Option<Message>, Failed> {
        self.life().await?.request(subject, payload).await
    }

    /// The connection, once it is there.
    async fn life(&self) -> Result<Life, Failed> {
        let Shared {
            health, patience, ..
        } = &*self.0;
        health.is_there(CONNECTION, *patience).await?;
        let life = self.current().clone();
        life.ok_or(Failed::Away(health.role()))
    }

    async fn within(&self, sent: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
        let sent = tokio::time::timeout(self.0.patience, sent).await;
        sent.unwrap_or(Err(Failed::Away(self.0.health.role())))
    }

    fn current(&self) -> MutexGuard<'_, Option<Life>> {
        self.0.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects again and again, and feeds whoever subscribes: runs for ever. What is asked for is
    /// answered on subjects below `prefix`.
    pub async fn carry(&self, url: &EngineUrl, prefix: &str, feed: &Feed<Life>) {
        let mut backoff = Backoff::new();
        loop {
            let error = self.carry_once(url, prefix, feed, &mut backoff).await;
            self.0.health.away(CONNECTION, &error);
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// The life of one connection, and what has ended it.
    async fn carry_once(
        &self,
        url: &EngineUrl,
        prefix: &str,
        feed: &Feed<Life>,
        backoff: &mut Backoff,
    ) -> String {
        let (tell, mut events) = unbounded_channel();
        let options = options(url).custom_inbox_prefix(format!("{prefix}.inbox"));
        let options = options.event_callback(move |event| {
            // Nobody hears the last ones.
            let _ = tell.send(event);
            std::future::ready(())
        });
        let connecting = tokio::time::timeout(ANSWER, options.connect(address(url)));
        let client = match connecting.await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return told(&error),
            Err(_) => return "it does not answer".to_owned(),
        };
        let role = self.0.health.role();
        let (end, ended) = watch::channel(false);
        let life = Life::new(client, ended, format!("{prefix}.nobody"), role);
        let begun = async {
            life.settled().await?;
            Ok::<_, String>(life.has_streams().await)
        };
        let has_streams = tokio::select! {
            begun = begun => match begun {
                Ok(has_streams) => has_streams,
                Err(error) => return error,
            },
            error = self.hear(&mut events) => return error,
        };
        *backoff = Backoff::new();
        self.0.has_streams.store(has_streams, Ordering::Relaxed);
        *self.current() = Some(life.clone());
        feed.push(News::Up(life.clone()));
        self.0.health.connected(CONNECTION);
        let error = tokio::select! {
            error = self.ping(&life) => error,
            error = self.hear(&mut events) => error,
        };
        *self.current() = None;
        end.send_replace(true);
        feed.push(News::Down);
        let sent = self.0.sent.swap(0, Ordering::Relaxed);
        let arrived = self.0.arrived.swap(0, Ordering::Relaxed);
        let lost = sent.saturating_sub(arrived);
        self.0.lost.fetch_add(lost, Ordering::Relaxed);
        error
    }

    /// Asks for a sign of life now and then: ready when there is none.
    async fn ping(&self, life: &Life) -> String {
        loop {
            tokio::time::sleep(PING).await;
            let sent = self.0.sent.load(Ordering::Relaxed);
            if let Err(error) = life.settled().await {
                return error;
            }
            self.0.arrived.fetch_max(sent, Ordering::Relaxed);
        }
    }

    /// Hears what the client tells of its connection: ready when that is over, and why.
    async fn hear(&self, events: &mut UnboundedReceiver<Event>) -> String {
        let mut last = None;
        while let Some(event) = events.recv().await {
            match event {
                Event::ServerError(error) => {
                    let error = error.to_string();
                    self.0.health.refuses("a command", &error);
                    last = Some(error);
                }
                Event::SlowConsumer(_) => return "more came than could be read".to_owned(),
                Event::Disconnected | Event::Closed => break,
                Event::Connected
                | Event::Draining
                | Event::LameDuckMode
                | Event::ClientError(_) => {}
            }
        }
        last.unwrap_or_else(|| "it closed the connection".to_owned())
    }
}

/// Where it is.
fn address(url: &EngineUrl) -> String {
    match &url.place {
        Place::Tcp(host, port, is_encrypted) => {
            let scheme = if *is_encrypted { "tls" } else { "nats" };
            match host.contains(':') {
                true => format!("{scheme}://[{host}]:{port}"),
                false => format!("{scheme}://{host}:{port}"),
            }
        }
        // No URL of NATS has such a place.
        Place::Unix(path) => path.display().to_string(),
    }
}

/// How it is connected to: once.
fn options(url: &EngineUrl) -> ConnectOptions {
    let options = match (&url.user, &url.password) {
        (Some(user), password) => {
            let password = password.clone().unwrap_or_default();
            ConnectOptions::with_user_and_password(user.clone(), password)
        }
        (None, Some(token)) => ConnectOptions::with_token(token.clone()),
        (None, None) => ConnectOptions::new(),
    };
    options
        .name(concat!("wsh-server ", env!("CARGO_PKG_VERSION")))
        .connection_timeout(ANSWER)
        .request_timeout(None)
        .max_reconnects(ATTEMPTS)
        .ignore_discovered_servers()
        .client_capacity(QUEUE)
        .subscription_capacity(UNREAD)
        .require_tls(matches!(url.place, Place::Tcp(_, _, true)))
}
