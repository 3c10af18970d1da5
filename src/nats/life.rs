//! One life of the connection to a NATS server: it ends with the first thing that goes wrong, and
//! whatever waits on it ends as well.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::link::Failed;

/// How long any answer may take.
pub const ANSWER: Duration = Duration::from_secs(5);

/// A life of the connection.
#[derive(Clone)]
pub struct Life {
    client: Client,
    ended: watch::Receiver<bool>,
    /// A subject to which nobody subscribes: the server itself says so.
    nobody: String,
    role: &'static str,
}

impl Life {
    /// That of this client, until `ended` says otherwise.
    pub(super) fn new(
        client: Client,
        ended: watch::Receiver<bool>,
        nobody: String,
        role: &'static str,
    ) -> Self {
        Self {
            client,
            ended,
            nobody,
            role,
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        *self.ended.borrow()
    }

    /// Ready when it is over.
    async fn is_ended(&self) {
        // Without its sender it is over, too.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Subscribes to a subject. It is in force once [`Life::settled`] is.
    pub async fn subscribe(&self, subject: String) -> Result<Subscriber, String> {
        let subscribed = self.client.subscribe(subject).await;
        subscribed.map_err(|error| error.to_string())
    }

    /// Ready when the server has done all that it was told before.
    pub async fn settled(&self) -> Result<(), String> {
        match self.request(self.nobody.clone(), Vec::new()).await {
            Ok(_) => Ok(()),
            Err(_) if self.is_over() => Err("the connection is gone".to_owned()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }

    /// Publishes a message: ready when it is on its way.
    pub(super) async fn publish(
        &self,
        subject: String,
        reply: Option<String>,
        payload: Vec<u8>,
    ) -> Result<(), Failed> {
        let payload = Bytes::from(payload);
        let published = async {
            match reply {
                None => self.client.publish(subject, payload).await,
                Some(reply) => {
                    let published = self.client.publish_with_reply(subject, reply, payload);
                    published.await
                }
            }
        };
        let published = tokio::select! {
            published = published => published,
            () = self.is_ended() => return Err(Failed::Lost(self.role)),
        };
        published.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.too_large(),
            _ => Failed::Lost(self.role),
        })
    }

    /// Asks for something; `None` if nobody listens there.
    pub(super) async fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
    ) -> Result<Option<Message>, Failed> {
        let asked = self.client.request(subject, payload.into());
        let answered = tokio::select! {
            answered = timeout(ANSWER, asked) => answered,
            () = self.is_ended() => return Err(Failed::Lost(self.role)),
        };
        match answered {
            Err(_) => Err(Failed::Lost(self.role)),
            Ok(Ok(message)) => Ok(Some(message)),
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::NoResponders => Ok(None),
                RequestErrorKind::MaxPayloadExceeded => Err(self.too_large()),
                _ => Err(Failed::Lost(self.role)),
            },
        }
    }

    fn too_large(&self) -> Failed {
        let most = self.client.max_payload();
        let what = format!("a message is larger than its max_payload, which is {most} bytes");
        Failed::Refused(self.role, what)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Life")
    }
}

/// An error with all of its causes.
pub fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !told.contains(&more) {
            told = format!("{told}: {more}");
        }
        source = error.source();
    }
    told
}
