//! The connection for commands: in the order in which they are given, as many in a round trip as
//! there are, and made anew for as long as the process lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, ServerErrorKind, Value};
use tokio::sync::oneshot;

use super::address;
use super::queue::{Answer, Job, Queue};
use super::script::Script;
use crate::config::EngineUrl;
use crate::config::limits;
use crate::link::{Backoff, Failed, Health};

/// Its number among the connections of an engine.
pub const CONNECTION: usize = 0;
/// Commands in a round trip, at the most,
const BATCH: usize = 1024;
/// and bytes of them, but for the last.
const BATCH_BYTES: usize = 1024 * 1024;
/// How often a connection is asked for a sign of life where nothing else is asked,
pub const PING: Duration = Duration::from_secs(2);
/// and how long any answer may take: a silent engine is found within both together.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How often it is looked, while the engine is away, whether somebody has waited for too long.
const LOOK: Duration = Duration::from_millis(100);

/// Where commands are given.
#[derive(Debug, Clone)]
pub struct Commands {
    queue: Arc<Queue>,
    health: Arc<Health>,
    patience: Duration,
    lost: Arc<AtomicU64>,
}

impl Commands {
    /// Commands for this server, which knows these scripts, and what carries them there: it runs
    /// for ever.
    pub fn new(
        url: &EngineUrl,
        limits: &limits::Engine,
        health: &Arc<Health>,
        scripts: Vec<Script>,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let commands = Self {
            queue: Arc::new(Queue::new(limits.queue)),
            health: Arc::clone(health),
            patience: limits.time,
            lost: Arc::default(),
        };
        let (carrier, url) = (commands.clone(), url.clone());
        (commands, async move { carrier.carry(&url, &scripts).await })
    }

    /// Whether the engine is there.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Whether the connection is there now.
    pub fn are_there(&self) -> bool {
        !self.health.is_away(CONNECTION, Duration::ZERO)
    }

    /// How many commands that nobody waited for were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has a command of about so many bytes done, and gives the answer. An error that the server
    /// answers with is [`Failed::Refused`]. Dropped, it is not sent if that has not happened yet.
    pub async fn run(&self, command: Cmd, bytes: usize) -> Result<Value, Failed> {
        self.has_room().await?;
        let (answer, answered) = oneshot::channel();
        self.queue
            .push(Job::new(command, bytes, Some(Answer::One(answer))));
        let answered = answered.await;
        match answered.unwrap_or(Err(Failed::Lost(self.health.role())))? {
            Value::ServerError(error) => Err(self.refused(&error)),
            value => Ok(value),
        }
    }

    /// Has a command done, in the order of these calls, and something with the answer, whether or
    /// not somebody waits for it: that must not wait itself. While the queue is full it is
    /// [`Failed::Full`].
    pub fn give(
        &self,
        command: Cmd,
        bytes: usize,
        then: impl FnOnce(Result<Value, Failed>) + Send + 'static,
    ) {
        match self.queue.is_full() {
            true => then(Err(Failed::Full(self.health.role()))),
            false => self.insist(command, bytes, then),
        }
    }

    /// The same however full the queue is, for what puts something back.
    pub fn insist(
        &self,
        command: Cmd,
        bytes: usize,
        then: impl FnOnce(Result<Value, Failed>) + Send + 'static,
    ) {
        let role = self.health.role();
        if self.health.is_away(CONNECTION, self.patience) {
            return then(Err(Failed::Away(role)));
        }
        let then = move |answer| match answer {
            Ok(Value::ServerError(error)) => then(Err(Failed::Refused(role, error.to_string()))),
            answer => then(answer),
        };
        let answer = Some(Answer::Then(Box::new(then)));
        self.queue.push(Job::new(command, bytes, answer));
    }

    /// Gives a command whose answer nobody waits for: ready when it is queued. What the server
    /// refuses is in the log.
    pub async fn send(&self, command: Cmd, bytes: usize) -> Result<(), Failed> {
        self.has_room().await?;
        self.queue.push(Job::new(command, bytes, None));
        Ok(())
    }

    async fn has_room(&self) -> Result<(), Failed> {
        self.health.is_there(CONNECTION, self.patience).await?;
        let room = tokio::time::timeout(self.patience, self.queue.has_room());
        room.await.map_err(|_| Failed::Away(self.health.role()))
    }

    fn refused(&self, error: &::redis::ServerError) -> Failed {
        Failed::Refused(self.health.role(), error.to_string())
    }

    /// Connects again and again, and carries what is queued.
    async fn carry(&self, url: &EngineUrl, scripts: &[Script]) {
        let mut backoff = Backoff::new();
        loop {
            let error = tokio::select! {
                error = self.carry_once(url, scripts, &mut backoff) => error,
                () = self.expire() => return,
            };
            self.health.away(CONNECTION, &error);
            let _ = tokio::time::timeout(backoff.next(), self.expire()).await;
        }
    }

    /// Ends what has waited for too long, for ever.
    async fn expire(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let lost = self.queue.expire(self.patience, self.health.role());
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// The life of one connection, and what has ended it.
    async fn carry_once(
        &self,
        url: &EngineUrl,
        scripts: &[Script],
        backoff: &mut Backoff,
    ) -> String {
        let mut connection = match connect(url, AsyncConnectionConfig::new()).await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        if let Err(error) = know(&mut connection, scripts).await {
            return error;
        }
        *backoff = Backoff::new();
        self.health.connected(CONNECTION);
        loop {
            let jobs = tokio::select! {
                jobs = self.queue.take(BATCH, BATCH_BYTES) => jobs,
                () = tokio::time::sleep(PING) => vec![Job::new(::redis::cmd("PING"), 0, None)],
            };
            if let Err(error) = self.round_trip(&mut connection, scripts, jobs).await {
                return error;
            }
        }
    }

    /// Sends commands and hands out their answers.
    async fn round_trip(
        &self,
        connection: &mut MultiplexedConnection,
        scripts: &[Script],
        jobs: Vec<Job>,
    ) -> Result<(), String> {
        let mut pipeline = Pipeline::with_capacity(jobs.len());
        for job in &jobs {
            pipeline.add_command(job.command.clone());
        }
        let answers = connection.send_packed_commands(&pipeline, 0, jobs.len());
        let answers = match answers.await {
            Ok(answers) => answers,
            Err(error) => {
                let unheard = jobs.iter().filter(|job| job.answer.is_none()).count();
                self.lost.fetch_add(unheard as u64, Ordering::Relaxed);
                for job in jobs {
                    job.end(Err(Failed::Lost(self.health.role())));
                }
                return Err(error.to_string());
            }
        };
        let mut again = Vec::new();
        for (mut job, answer) in jobs.into_iter().zip(answers) {
            match answer {
                Value::ServerError(error)
                    if error.kind() == Some(ServerErrorKind::NoScript) && !job.is_again =>
                {
                    job.is_again = true;
                    again.push(job);
                }
                Value::ServerError(error) if job.answer.is_none() => {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    self.health.refuses("a command", &error.to_string());
                }
                answer => job.end(Ok(answer)),
            }
        }
        if !again.is_empty() {
            // Somebody has made the server forget them.
            self.queue.put_back(again);
            know(connection, scripts).await?;
        }
        Ok(())
    }
}

/// Makes the server know scripts.
async fn know(connection: &mut MultiplexedConnection, scripts: &[Script]) -> Result<(), String> {
    for script in scripts {
        let answer = connection.send_packed_command(&script.load()).await;
        if let Value::ServerError(error) = answer.map_err(|error| error.to_string())? {
            return Err(error.to_string());
        }
    }
    Ok(())
}

/// A new connection to the server.
pub async fn connect(
    url: &EngineUrl,
    settings: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, String> {
    let told = |error: ::redis::RedisError| error.to_string();
    let client: Client = address::client(url).map_err(told)?;
    let settings = settings
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER));
    let connecting = client.get_multiplexed_async_connection_with_config(&settings);
    match tokio::time::timeout(ANSWER, connecting).await {
        Ok(connected) => connected.map_err(told),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
