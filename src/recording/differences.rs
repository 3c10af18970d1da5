//! What was answered otherwise than it was recorded, as it is shown.

use super::compare::lines;
use super::diff;
use crate::websocket::Message;

/// Differences that are shown; more are counted.
const SHOWN: usize = 20;

/// What was otherwise.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    text: String,
    /// How many.
    pub count: usize,
    /// Connections that were played.
    pub connections: usize,
    /// Messages that were, both ways.
    pub messages: usize,
}

impl Differences {
    /// None, of so many connections.
    pub fn of(connections: usize) -> Self {
        Self {
            connections,
            ..Self::default()
        }
    }

    /// Takes a difference: a line about it, and how it looks.
    pub fn differs(&mut self, line: &str, shown: &str) {
        self.count += 1;
        if self.count <= SHOWN {
            self.text += line;
            self.text.push('\n');
            self.text += shown;
            self.text.push('\n');
        }
    }

    /// A message is missing.
    pub fn misses(&mut self, line: &str, wanted: &Message<'_>) {
        self.differs(line, &diff::removed(&lines(wanted)));
    }

    /// A message came that nobody had recorded.
    pub fn exceeds(&mut self, line: &str, came: &Message<'_>) {
        self.differs(line, &diff::added(&lines(came)));
    }

    /// Takes the faults that hooks have met meanwhile: they are the cause, mostly.
    pub fn explain(&mut self, reports: &[String]) {
        for report in reports {
            self.text += report.trim_end();
            self.text += "\n\n";
        }
    }

    /// Takes what another conversation has come to.
    pub fn add(&mut self, other: Self) {
        let shown = self.count.min(SHOWN);
        if shown < SHOWN {
            self.text += &other.text;
        }
        self.count += other.count;
        self.connections += other.connections;
        self.messages += other.messages;
    }

    /// All of it, with the numbers.
    pub fn text(&self) -> String {
        let count = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            number => format!("{number} {what}s"),
        };
        let more = match self.count.saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("… and {} more\n\n", count(more, "difference")),
        };
        let verdict = match self.count {
            0 => "as recorded".to_owned(),
            number => count(number, "difference"),
        };
        format!(
            "{}{more}{}, {}: {verdict}\n",
            self.text,
            count(self.connections, "connection"),
            count(self.messages, "message"),
        )
    }
}
