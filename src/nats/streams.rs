//! The streams of JetStream, by the few requests that topics need: made, looked at, written to,
//! read by number, removed.

use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::life::Life;
use super::server::Server;
use crate::link::Failed;

/// What all requests begin with.
const API: &str = "$JS.API";
/// Errors of JetStream that mean something else than that it is broken: there is none in this
/// account or on this server,
const NOT_ENABLED: [u64; 2] = [10039, 10076];
/// there is no such stream,
const NO_STREAM: u64 = 10059;
/// another stream has the subject already,
const OVERLAP: u64 = 10065;
/// and there is no message with that number.
const NO_MESSAGE: u64 = 10037;
/// For how long doubled messages are recognised, which have no marks here.
const WINDOW: Duration = Duration::from_secs(1);

/// What a stream is to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// The subject that it keeps,
    pub subject: String,
    /// and the one on which each message is sent on, with its number.
    pub live: String,
    /// What it is about, for whoever looks.
    pub about: String,
    /// Messages, at the most.
    pub messages: usize,
    /// How long each.
    pub age: Duration,
}

/// A stream, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// The number of the oldest message that it has; one behind the last if there are none.
    pub first: u64,
    /// The number of the last that there was.
    pub last: u64,
    /// Whether it keeps what it should.
    pub is_right: bool,
}

/// A stream, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The subject that it keeps.
    pub subject: String,
    /// How many messages it has.
    pub messages: u64,
    /// When it was made, or got its last message: milliseconds since 1970.
    pub used: u64,
    /// How long it keeps each.
    pub age: Duration,
}

impl Listed {
    fn read(stream: &Value) -> Option<Self> {
        let (settings, state) = (stream.get("config")?, stream.get("state")?);
        let time = |time: &Value| {
            let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
            Some(u64::try_from(time.as_millisecond()).unwrap_or(0))
        };
        Some(Self {
            name: settings.get("name")?.as_str()?.to_owned(),
            subject: settings.get("subjects")?.get(0)?.as_str()?.to_owned(),
            messages: state.get("messages")?.as_u64()?,
            used: time(stream.get("created")?)?.max(time(state.get("last_ts")?)?),
            age: Duration::from_nanos(settings.get("max_age")?.as_u64()?),
        })
    }
}

/// Where a message was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Into this stream, with this number.
    At(String, u64),
    /// No stream has its subject.
    Nowhere,
}

/// What JetStream has answered.
enum Answer {
    Done(Value),
    Error(u64, String),
}

impl Keeping {
    /// The settings of such a stream.
    fn settings(&self, name: &str) -> Value {
        let window = WINDOW.min(self.age);
        json!({
            "name": name,
            "description": self.about,
            "subjects": [self.subject],
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "num_replicas": 1,
            "max_consumers": -1,
            "max_msgs": self.messages,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_age": nanoseconds(self.age),
            "duplicate_window": nanoseconds(window),
            "republish": {"src": self.subject, "dest": self.live},
        })
    }

    /// Reads what JetStream tells of a stream.
    fn read(&self, answer: &Value) -> Option<Stream> {
        let (settings, state) = (answer.get("config")?, answer.get("state")?);
        let last = state.get("last_seq")?.as_u64()?;
        let messages = state.get("messages")?.as_u64()?;
        let first = match messages {
            0 => last.saturating_add(1),
            _ => state.get("first_seq")?.as_u64()?,
        };
        let is =
            |name: &str, wanted: u64| settings.get(name).and_then(Value::as_u64) == Some(wanted);
        Some(Stream {
            name: settings.get("name")?.as_str()?.to_owned(),
            first,
            last,
            is_right: is("max_msgs", self.messages as u64) && is("max_age", nanoseconds(self.age)),
        })
    }
}

/// A time as JetStream counts it.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1)
}

/// Reads an answer of JetStream.
fn read(bytes: &[u8]) -> Option<Answer> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let Some(error) = value.get("error") else {
        return value.is_object().then_some(Answer::Done(value));
    };
    let code = error.get("err_code").or_else(|| error.get("code"))?;
    let told = error.get("description").and_then(Value::as_str);
    let told = told.unwrap_or("without a reason").to_owned();
    Some(Answer::Error(code.as_u64()?, told))
}

/// What these bytes say as an answer of JetStream: for whoever tries what hostile ones do.
pub fn said(bytes: &[u8]) -> Option<Stream> {
    let keeping = Keeping {
        subject: "wsh.h.t".to_owned(),
        live: "wsh.t.t".to_owned(),
        about: String::new(),
        messages: 5,
        age: Duration::from_mins(1),
    };
    match read(bytes)? {
        Answer::Done(answer) => keeping.read(&answer),
        Answer::Error(..) => None,
    }
}

impl Life {
    /// Whether there is JetStream.
    pub(super) async fn has_streams(&self) -> bool {
        match self.request(format!("{API}.INFO"), Vec::new()).await {
            Ok(Some(answer)) => match read(&answer.payload) {
                Some(Answer::Error(code, _)) => !NOT_ENABLED.contains(&code),
                _ => true,
            },
            // Nobody answers, or it is not allowed to ask.
            _ => false,
        }
    }
}

impl Server {
    /// Puts a message into the stream that has its subject.
    pub async fn store(&self, subject: String, message: Vec<u8>) -> Result<Stored, Failed> {
        let Some(answer) = self.request(subject, message).await? else {
            return Ok(Stored::Nowhere);
        };
        let Answer::Done(answer) = self.understood(read(&answer.payload))? else {
            return Ok(Stored::Nowhere);
        };
        let stream = answer.get("stream").and_then(Value::as_str);
        let number = answer.get("seq").and_then(Value::as_u64);
        let place = stream.zip(number).ok_or_else(|| self.strange())?;
        Ok(Stored::At(place.0.to_owned(), place.1))
    }

    /// The names of the streams that have a subject.
    pub async fn streams_of(&self, subject: &str) -> Result<Vec<String>, Failed> {
        let answer = self
            .ask("STREAM.NAMES", &json!({"subject": subject}))
            .await?;
        let Answer::Done(answer) = self.understood(Some(answer))? else {
            return Ok(Vec::new());
        };
        let names = answer.get("streams").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        Ok(names.map(str::to_owned).collect())
    }

    /// A stream by name, if it is there.
    pub async fn stream(&self, name: &str, keeping: &Keeping) -> Result<Option<Stream>, Failed> {
        let answer = self
            .ask(&format!("STREAM.INFO.{name}"), &Value::Null)
            .await?;
        self.one(answer, keeping)
    }

    /// Makes a stream, unless another one has its subject already.
    pub async fn create(&self, name: &str, keeping: &Keeping) -> Result<Option<Stream>, Failed> {
        let settings = keeping.settings(name);
        let answer = self
            .ask(&format!("STREAM.CREATE.{name}"), &settings)
            .await?;
        self.one(answer, keeping)
    }

    /// Has a stream keep what it should from now on.
    pub async fn update(&self, name: &str, keeping: &Keeping) -> Result<Option<Stream>, Failed> {
        let settings = keeping.settings(name);
        let answer = self
            .ask(&format!("STREAM.UPDATE.{name}"), &settings)
            .await?;
        self.one(answer, keeping)
    }

    /// Removes a stream; one that is not there is removed.
    pub async fn remove(&self, name: &str) -> Result<(), Failed> {
        let answer = self
            .ask(&format!("STREAM.DELETE.{name}"), &Value::Null)
            .await?;
        self.understood(Some(answer)).map(|_| ())
    }

    /// Streams that keep such subjects, the next ones from this offset on: none at the
    /// end, and `None` for one that is none of ours.
    pub async fn list(&self, subjects: &str, offset: usize) -> Result<Vec<Option<Listed>>, Failed> {
        let payload = json!({"subject": subjects, "offset": offset});
        let Answer::Done(answer) =
            self.understood(Some(self.ask("STREAM.LIST", &payload).await?))?
        else {
            return Ok(Vec::new());
        };
        let streams = answer.get("streams").and_then(Value::as_array);
        let streams = streams.into_iter().flatten();
        Ok(streams.map(Listed::read).collect())
    }

    /// A message of a stream by number, if it is there.
    pub async fn message(&self, stream: &str, number: u64) -> Result<Option<Vec<u8>>, Failed> {
        let asked = format!("STREAM.MSG.GET.{stream}");
        let answer = self.ask(&asked, &json!({"seq": number})).await?;
        let Answer::Done(answer) = self.understood(Some(answer))? else {
            return Ok(None);
        };
        let message = answer.get("message").ok_or_else(|| self.strange())?;
        if message.get("seq").and_then(Value::as_u64) != Some(number) {
            return Err(self.strange());
        }
        let text = message.get("data").and_then(Value::as_str);
        let bytes = BASE64.decode(text.unwrap_or_default().as_bytes());
        bytes.map(Some).map_err(|_| self.strange())
    }

    fn one(&self, answer: Answer, keeping: &Keeping) -> Result<Option<Stream>, Failed> {
        match self.understood(Some(answer))? {
            Answer::Done(answer) => {
                let stream = keeping.read(&answer);
                stream.map(Some).ok_or_else(|| self.strange())
            }
            Answer::Error(..) => Ok(None),
        }
    }

    async fn ask(&self, what: &str, payload: &Value) -> Result<Answer, Failed> {
        let payload = match payload {
            Value::Null => Vec::new(),
            payload => payload.to_string().into_bytes(),
        };
        let answer = self.request(format!("{API}.{what}"), payload).await?;
        let answer = answer.ok_or_else(|| self.refused("it has no JetStream"))?;
        read(&answer.payload).ok_or_else(|| self.strange())
    }

    /// An answer as far as it is none of the errors that mean nothing bad.
    fn understood(&self, answer: Option<Answer>) -> Result<Answer, Failed> {
        match answer {
            None => Err(self.strange()),
            Some(Answer::Error(code, told))
                if ![NO_STREAM, OVERLAP, NO_MESSAGE].contains(&code) =>
            {
                Err(self.refused(&told))
            }
            Some(answer) => Ok(answer),
        }
    }

    fn refused(&self, why: &str) -> Failed {
        Failed::Refused(self.health().role(), why.to_owned())
    }

    fn strange(&self) -> Failed {
        self.refused("its answer is not understood: somebody else answers for JetStream")
    }
}
