//! What clients have sent, for tests of clients: kept from a reset on, and searched.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::observe::live::{CONNECTIONS, FAULTS, JOURNAL, Onlooker};

/// How long messages are kept for whoever asks no more.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is looked for what is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// The longest wait, in seconds.
const LONGEST: f64 = 60.0;

/// Whether somebody wants all messages kept.
#[derive(Debug, Default)]
pub struct Listening(Mutex<Option<Listener>>);

#[derive(Debug)]
struct Listener {
    until: Instant,
    _onlooker: Onlooker,
}

impl Listening {
    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody still asks.
    pub fn goes_on(&self) {
        if let Some(listener) = &mut *self.listener() {
            listener.until = Instant::now() + PATIENCE;
        }
    }

    fn begin(&self) {
        let until = Instant::now() + PATIENCE;
        self.listener().get_or_insert_with(|| {
            CONNECTIONS.choose_all(true);
            Listener {
                until,
                _onlooker: Onlooker::begin(),
            }
        });
    }

    /// Ends it when nobody has asked for long: a task of one worker.
    pub async fn end_in_time(&self) {
        loop {
            let until = self.listener().as_ref().map(|listener| listener.until);
            let until = until.unwrap_or_else(|| Instant::now() + PATIENCE);
            sleep_until(until).await;
            let mut listener = self.listener();
            if listener
                .as_ref()
                .is_some_and(|listener| listener.until <= Instant::now())
            {
                *listener = None;
                CONNECTIONS.choose_all(false);
            }
        }
    }
}

/// Forgets what was, and keeps what comes.
pub fn reset(listening: &Listening) {
    listening.begin();
    JOURNAL.clear();
    FAULTS.clear();
}

/// The messages that match, once there are enough, or the time is over.
pub async fn find(question: &Value) -> (u16, Value) {
    let least = question["least"].as_u64().unwrap_or(1) as usize;
    let wait = question["wait"].as_f64();
    let until = Instant::now() + Duration::from_secs_f64(wait.unwrap_or(0.0).clamp(0.0, LONGEST));
    let mut last = question["since"].as_u64().unwrap_or(0);
    let mut found = Vec::new();
    loop {
        let (rows, behind) = JOURNAL.since(last, usize::MAX, |row| row.connection.is_some());
        last = behind;
        let rows = rows.iter();
        let rows = rows.filter_map(|row| serde_json::from_str::<Value>(&row.json).ok());
        found.extend(rows.filter(|row| matches(question, row)));
        let is_enough = found.len() >= least;
        if is_enough || Instant::now() >= until {
            let status = if is_enough || wait.is_none() {
                200
            } else {
                404
            };
            let count = found.len();
            let answer = json!({
                "count": count, "last": last, "missed": JOURNAL.missed(), "rows": found,
            });
            return (status, answer);
        }
        sleep(LOOK).await;
    }
}

fn matches(question: &Value, row: &Value) -> bool {
    let is_message = row["opcode"] == 1 || row["opcode"] == 2;
    let way = question["way"].as_str().unwrap_or("in");
    let is = |name: &str| question[name].is_null() || question[name] == row[name];
    let text = row["text"].as_str().unwrap_or_default();
    let contains = question["contains"].as_str().unwrap_or_default();
    if !is_message || row["way"] != way || !is("connection") || !is("path") {
        return false;
    }
    if !text.contains(contains) {
        return false;
    }
    let Some(pointer) = question["pointer"].as_str() else {
        return true;
    };
    let message = serde_json::from_str::<Value>(text).unwrap_or_default();
    let Some(there) = message.pointer(pointer) else {
        return false;
    };
    question["equals"].as_str().is_none_or(|wanted| {
        there.as_str() == Some(wanted)
            || serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *there)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_what_is_in_them() {
        let row = json!({
            "opcode": 1, "way": "in", "connection": 7, "path": "/chat",
            "text": "{\"type\": \"hello\", \"list\": [1, {\"n\": 2}]}",
        });
        for (question, is_found) in [
            (json!({}), true),
            (json!({ "contains": "hello" }), true),
            (json!({ "contains": "bye" }), false),
            (json!({ "way": "out" }), false),
            (json!({ "connection": 8 }), false),
            (json!({ "path": "/chat", "connection": 7 }), true),
            (json!({ "pointer": "/type" }), true),
            (json!({ "pointer": "/type", "equals": "hello" }), true),
            (
                json!({ "pointer": "/list/1", "equals": "{\"n\": 2}" }),
                true,
            ),
            (json!({ "pointer": "/list/0", "equals": "2" }), false),
            (json!({ "pointer": "/none" }), false),
        ] {
            assert_eq!(matches(&question, &row), is_found, "{question}");
        }
    }
}
