//! Recorded connections, played to the handlers of a world: what the clients said, at the times at
//! which they said it, and whether the answers are those that were recorded.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tungstenite::Message as Sent;

use super::client::{Client, End};
use super::world::World;
use crate::config::JsonPath;
use crate::observe::event::By;
use crate::recording::{Differences, Ending, Recording, Side, differ, headers};
use crate::websocket::Message;

/// Time of the world's after its recorded one at which an answer is missing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time of the world's that a conversation may take: a clock of seconds in 32 bits goes further.
const LONGEST: f64 = 30.0 * 24.0 * 3600.0;

/// A recorded connection.
pub struct Part<'r> {
    /// What it is called.
    pub name: &'r str,
    /// What was said.
    pub recording: &'r Recording,
    /// Whether the answers matter, and not only what the client says to others.
    pub is_judged: bool,
}

/// One connection that is played.
struct Play<'p> {
    part: &'p Part<'p>,
    ignored: &'p [JsonPath],
    /// When the conversation began: here, and in the recordings.
    began: (Instant, f64),
    differences: Differences,
}

/// Plays these connections, each at its times; the conversation was begun at this one.
pub async fn play(
    world: &World,
    parts: &[Part<'_>],
    begin: f64,
    ignored: &[JsonPath],
) -> Differences {
    let now = Instant::now();
    let plays = parts.iter().map(|part| {
        let play = Play {
            part,
            ignored,
            began: (now, begin),
            differences: Differences::of(usize::from(part.is_judged)),
        };
        play.run(world)
    });
    let mut all = Differences::of(0);
    for found in join_all(plays).await {
        all.add(found);
    }
    all
}

impl Play<'_> {
    async fn run(mut self, world: &World) -> Differences {
        let Part { recording, .. } = self.part;
        sleep_until(self.due(recording.started)).await;
        if let Some(client) = self.open(world).await {
            let mut is_open = true;
            for (place, said) in (1..).zip(&recording.said) {
                let due = self.due(said.time);
                if said.by == Side::Client {
                    sleep_until(due).await;
                    self.differences.messages += usize::from(self.part.is_judged);
                    // A connection that is gone shows by what does not come.
                    // A failure shows in what is missing.
                    let _ = client.send(sent(&said.message));
                } else if self.part.is_judged {
                    is_open = self.receive(&client, place, &said.message, due).await;
                }
                if !is_open {
                    break;
                }
            }
            if is_open {
                sleep_until(self.due(recording.ended)).await;
                self.end(&client).await;
            }
        }
        self.differences
    }

    /// When it is a recorded time.
    fn due(&self, time: f64) -> Instant {
        let (here, then) = self.began;
        here + Duration::from_secs_f64((time - then).clamp(0.0, LONGEST))
    }

    /// Takes a difference, if it matters.
    fn differs(&mut self, what: &str) {
        if self.part.is_judged {
            let line = format!("{}: {what}", self.part.name);
            self.differences.differs(&line, "");
        }
    }

    async fn open(&mut self, world: &World) -> Option<Client> {
        let Part { recording, .. } = self.part;
        let target = recording.target().unwrap_or_default();
        let headers: Vec<_> = headers(recording).cloned().collect();
        let opening = Client::open(world.dial(), target, headers);
        match timeout(PATIENCE, opening).await {
            Ok(Ok(client)) => return Some(client),
            Ok(Err(refused)) => self.differs(&format!("refused with {}", refused.0)),
            Err(_) => self.differs(&format!("no answer to the handshake within {PATIENCE:?}")),
        }
        None
    }

    /// Waits for a message; whether it came, be it another.
    async fn receive(
        &mut self,
        client: &Client,
        number: usize,
        wanted: &Message<'_>,
        due: Instant,
    ) -> bool {
        let place = format!("{}, message {number}", self.part.name);
        let latest = due.max(Instant::now()) + PATIENCE;
        self.differences.messages += 1;
        let line = match timeout_at(latest, client.clone().next()).await {
            Ok(Ok(message)) => {
                let came = came(message);
                if let Some(shown) = differ(wanted, &came, self.ignored) {
                    self.differences
                        .differs(&format!("{place} differs"), &shown);
                }
                return true;
            }
            // What would follow it waits for what is missing.
            Err(_) => format!("{place} is missing: nothing came within {PATIENCE:?}"),
            Ok(Err(end)) => format!("{place} is missing: {}", words(&end)),
        };
        self.differences.misses(&line, wanted);
        false
    }

    async fn end(&mut self, client: &Client) {
        let Part {
            name, recording, ..
        } = self.part;
        let ending = recording.ending.as_ref();
        let by_server = ending.filter(|ending| ending.by == By::Server);
        match ending {
            Some(ending) if ending.by == By::Nobody => client.drop_connection(),
            Some(ending) if ending.by == By::Client => {
                let has_code = (1000..5000).contains(&ending.code) && ending.code != 1005;
                client.close(has_code.then(|| (ending.code, ending.reason.clone())));
            }
            Some(_) => {}
            None => client.close(Some((1000, String::new()))),
        }
        let latest = Instant::now() + PATIENCE;
        let knows_end = ending.is_some() && recording.left_out == 0 && self.part.is_judged;
        let mut number = recording.said.len();
        loop {
            let what = match (timeout_at(latest, client.clone().next()).await, by_server) {
                (Ok(Ok(message)), _) => {
                    number += 1;
                    if knows_end {
                        let line = format!("{name}, message {number} was not recorded");
                        self.differences.exceeds(&line, &came(message));
                    }
                    continue;
                }
                (Ok(Err(end)), Some(ending)) if end.code == ending.code => return,
                (Ok(Err(end)), Some(Ending { code, .. })) => {
                    format!("recorded was a Close with {code}; {}", words(&end))
                }
                (Err(_), Some(Ending { code, .. })) => {
                    format!("the Close with {code} is missing: nothing came within {PATIENCE:?}")
                }
                // Ours was answered, or it was not: the conversation was over.
                (_, None) => return,
            };
            return self.differs(&what);
        }
    }
}

fn sent(message: &Message<'_>) -> Sent {
    match message {
        Message::Text(text) => Sent::text(&**text),
        Message::Binary(bytes) => Sent::binary(bytes.to_vec()),
    }
}

fn came(message: Sent) -> Message<'static> {
    match message {
        Sent::Text(text) => Message::Text(text.as_str().to_owned().into()),
        other => Message::Binary(other.into_data().to_vec().into()),
    }
}

/// How a connection ended.
fn words(end: &End) -> String {
    match (end.code, end.reason.as_str()) {
        (1006, _) => "the server ended the connection without a Close".to_owned(),
        (code, "") => format!("the server closed with {code}"),
        (code, reason) => format!("the server closed with {code}, {reason}"),
    }
}
