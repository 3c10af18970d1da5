//! How messages and notes look: for people in a terminal, as they are in a pipe.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::rc::Rc;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::terminal::{Terminal, visible};
use crate::websocket::Message;

/// Bytes of a text message that a terminal shows.
const SHOWN: usize = 64 * 1024;
/// Bytes of a binary message that a terminal shows.
const DUMPED: usize = 256;
/// Bytes of a line of those.
const ROW: usize = 16;

/// Where messages and notes go.
pub struct Screen {
    terminal: Option<Rc<RefCell<Terminal>>>,
    colors: bool,
}

impl Screen {
    /// A terminal's, otherwise a pipe's.
    pub fn new(terminal: Option<Rc<RefCell<Terminal>>>) -> Self {
        let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colors: terminal.is_some() && !is_forbidden,
            terminal,
        }
    }

    /// Shows a message that came; `Err` if nobody looks any more.
    pub fn message(&self, message: &Message<'_>) -> io::Result<()> {
        let Some(terminal) = &self.terminal else {
            return raw(message);
        };
        let text = match message {
            Message::Text(text) => pretty(text),
            Message::Binary(bytes) => dump(bytes),
        };
        terminal.borrow().show(&self.marked("< ", "32", &text));
        Ok(())
    }

    /// Shows a text as it is.
    pub fn say(&self, text: &str) {
        match &self.terminal {
            Some(terminal) => terminal.borrow().show(text),
            None => err(text),
        }
    }

    /// Shows what has happened.
    pub fn note(&self, text: &str) {
        self.tell(text, "2");
    }

    /// Shows what went wrong.
    pub fn warn(&self, text: &str) {
        self.tell(text, "31");
    }

    fn tell(&self, text: &str, color: &str) {
        match &self.terminal {
            Some(terminal) => {
                let text = self.marked("* ", color, &cut(text, SHOWN));
                terminal.borrow().show(&text);
            }
            None => err(&cut(text, SHOWN)),
        }
    }

    /// A text with a mark before its first line, in this colour, and its other lines below.
    fn marked(&self, mark: &str, color: &str, text: &str) -> String {
        let text = text.replace('\n', "\n  ");
        let is_note = mark.starts_with('*');
        match (self.colors, is_note) {
            (true, true) => format!("\x1b[{color}m{mark}{text}\x1b[0m"),
            (true, false) => format!("\x1b[{color}m{mark}\x1b[0m{text}"),
            (false, _) => format!("{mark}{text}"),
        }
    }
}

/// A message on standard output, a line of its own; binary ones in hexadecimal digits.
fn raw(message: &Message<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match message {
        Message::Text(text) => out.write_all(text.as_bytes())?,
        Message::Binary(bytes) => out.write_all(HEXLOWER.encode(bytes).as_bytes())?,
    }
    out.write_all(b"\n")?;
    out.flush()
}

fn err(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A text for people: JSON with its structure, everything else as it is.
fn pretty(text: &str) -> String {
    let is_json = text.starts_with(['{', '[']) && text.len() <= SHOWN;
    let parsed = is_json.then(|| serde_json::from_str::<Value>(text).ok());
    match parsed.flatten() {
        Some(value) => {
            let short = value.to_string();
            let text = match short.len() {
                // It is read at a glance.
                0..=60 => short,
                _ => format!("{value:#}"),
            };
            visible(&text)
        }
        None => cut(text, SHOWN),
    }
}

/// The beginning of a text, without anything that a terminal would obey.
fn cut(text: &str, most: usize) -> String {
    let shown = &text[..text.floor_char_boundary(most)];
    let mut out = visible(shown);
    if shown.len() < text.len() {
        let _ = write!(
            out,
            "\n… {} bytes in all: /save FILE keeps them",
            text.len()
        );
    }
    out
}

/// Bytes in rows, with the letters among them.
fn dump(bytes: &[u8]) -> String {
    let mut out = format!("binary, {} bytes", bytes.len());
    for (number, row) in bytes[..bytes.len().min(DUMPED)].chunks(ROW).enumerate() {
        let digits: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters = row.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let letters: String = letters.collect();
        let _ = write!(
            out,
            "\n{:04x}  {:width$}  {letters}",
            number * ROW,
            digits.join(" "),
            width = ROW * 3 - 1
        );
    }
    if bytes.len() > DUMPED {
        out.push_str("\n… /save FILE keeps them");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(
            cut("a\x1b[2Jb\u{9b}c\n\td", 100),
            "a\\u{1b}[2Jb\\u{9b}c\n\td"
        );
        assert_eq!(pretty("[\"\\u001b\"]"), "[\"\\u001b\"]");
        assert!(cut(&"ä".repeat(10), 3).starts_with("ä\n… 20 bytes"));
    }

    #[test]
    fn json_has_its_structure() {
        assert_eq!(pretty("{ \"a\": 1 }"), "{\"a\":1}");
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(80));
        assert!(pretty(&long).contains("\n  \"a\": "));
        assert_eq!(pretty("{no"), "{no");
    }

    #[test]
    fn bytes_are_dumped() {
        let text = dump(b"hello\0");
        assert!(text.starts_with("binary, 6 bytes\n0000  68 65 6c 6c 6f 00 "));
        assert!(text.ends_with("  hello."));
        assert!(dump(&[0; 300]).contains("/save"));
    }
}
