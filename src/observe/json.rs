//! The log for programs: each event is one JSON object on a line of its own.

use std::fmt;
use std::sync::OnceLock;

use serde::de::IgnoredAny;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::event;

/// Whether the log is JSON, once it has begun.
static IS_CHOSEN: OnceLock<bool> = OnceLock::new();

/// Whether reports are to be objects.
pub fn is_chosen() -> bool {
    IS_CHOSEN.get().copied().unwrap_or_default()
}

/// From now on they are, or are not.
pub(super) fn choose(is_json: bool) {
    let _ = IS_CHOSEN.set(is_json);
}

/// A log of JSON lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (level, target) = (metadata.level().as_str(), event::short(metadata.target()));
        let mut object = Object::begin(level, target, metadata.name());
        event.record(&mut object);
        line.write_str(&object.end())
    }
}

/// A line that no event makes: what the log has to say of itself.
pub(super) fn notice(id: &str, lines: u64, message: &str) -> String {
    let mut object = Object::begin("WARN", event::Target::Server.name(), id);
    object.value("message", message);
    object.value("lines", lines);
    object.end()
}

/// A line up to where it is.
struct Object(String);

impl Object {
    fn begin(level: &str, target: &str, id: &str) -> Self {
        let mut time = String::new();
        // It fails only where writing into a string does.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut object = Self(String::with_capacity(256));
        object.value("time", time);
        object.value("level", level);
        object.value("target", target);
        object.value("event", id);
        object
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }

    fn key(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.push(name);
        self.0.push(':');
    }

    fn value(&mut self, name: &str, value: impl serde::Serialize) {
        self.key(name);
        self.push(value);
    }

    fn push(&mut self, value: impl serde::Serialize) {
        // Texts and numbers can always be written.
        let text = serde_json::to_string(&value);
        self.0.push_str(text.as_deref().unwrap_or("null"));
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == event::REPORT && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
            self.key(field.name());
            self.0.push_str(&text);
        } else {
            self.value(field.name(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_said_is_one_line_that_parses() {
        let odd = "a\"b\\c\r\n\u{1b}\u{2028}\u{0}数";
        let line = notice("log-dropped", u64::MAX, odd);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(object["message"], odd);
        assert_eq!(object["lines"], u64::MAX);
        assert_eq!(object["target"], "server");
        let time = object["time"].as_str().expect("a time");
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    }
}
