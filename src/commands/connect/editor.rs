//! The line that is being typed: keys to a text with a cursor, and what of it fits a terminal.
//!
//! Pure: bytes of a keyboard in, what became of them out. The line is shown in one row, whatever
//! its length is, so that what arrives can be put above it without a thought.

use unicode_width::UnicodeWidthChar;

/// Lines of the history.
const HISTORY: usize = 1000;
/// Characters of a line: more than anybody types, and what is pasted fits.
const LONGEST: usize = 1024 * 1024;
/// Bytes of the longest sequence that a key sends.
const SEQUENCE: usize = 32;

/// What became of a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// Nothing that is seen.
    Nothing,
    /// The line, or the cursor, is another.
    Changed,
    /// A line is finished.
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D on an empty line.
    End,
    /// Ctrl-L.
    Clear,
}

/// A line with its history.
#[derive(Debug, Default)]
pub struct Editor {
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// The line of the history that is shown.
    at: Option<usize>,
    /// What was typed before the history was looked at.
    typed: Vec<char>,
    /// What was cut last.
    cut: Vec<char>,
    state: State,
    /// The bytes of a character or a sequence so far.
    partial: Vec<u8>,
}

/// Where in a key's bytes it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    /// Behind an ESC.
    Escape,
    /// In a control sequence.
    Sequence,
    /// Within what is pasted.
    Paste,
}

impl Editor {
    /// An empty line, with these before it.
    pub fn new(history: Vec<String>) -> Self {
        let start = history.len().saturating_sub(HISTORY);
        Self {
            history: history.into_iter().skip(start).collect(),
            ..Self::default()
        }
    }

    /// Takes a byte of the keyboard.
    pub fn byte(&mut self, byte: u8) -> Did {
        match self.state {
            State::Plain => self.plain(byte),
            State::Escape => self.escape(byte),
            State::Sequence => self.sequence(byte),
            State::Paste => self.paste(byte),
        }
    }

    fn plain(&mut self, byte: u8) -> Did {
        if !self.partial.is_empty() || byte >= 0x80 {
            return self.utf8(byte);
        }
        match byte {
            0x1B => {
                self.state = State::Escape;
                Did::Nothing
            }
            b'\r' | b'\n' => self.finish(),
            0x03 => Did::Interrupted,
            0x04 if self.line.is_empty() => Did::End,
            0x04 => self.delete(self.cursor, self.cursor + 1),
            0x01 => self.go(0),
            0x02 => self.go(self.cursor.saturating_sub(1)),
            0x05 => self.go(self.line.len()),
            0x06 => self.go(self.cursor + 1),
            0x08 | 0x7F => self.delete(self.cursor.saturating_sub(1), self.cursor),
            0x0B => self.cut(self.cursor, self.line.len()),
            0x0C => Did::Clear,
            0x0E => self.younger(),
            0x10 => self.older(),
            0x15 => self.cut(0, self.cursor),
            0x17 => self.cut(self.word_before(), self.cursor),
            0x19 => {
                for character in self.cut.clone() {
                    self.insert(character);
                }
                Did::Changed
            }
            b'\t' | b' '..=b'~' => self.insert(char::from(byte)),
            _ => Did::Nothing,
        }
    }

    /// A byte of a character outside of ASCII.
    fn utf8(&mut self, byte: u8) -> Did {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let character = text.chars().next();
                self.partial.clear();
                character.map_or(Did::Nothing, |character| self.insert(character))
            }
            // The rest may come.
            Err(error) if error.error_len().is_none() && self.partial.len() < 4 => Did::Nothing,
            Err(_) => {
                self.partial.clear();
                self.insert(char::REPLACEMENT_CHARACTER)
            }
        }
    }

    fn escape(&mut self, byte: u8) -> Did {
        self.partial.clear();
        self.state = match byte {
            b'[' | b'O' => State::Sequence,
            _ => State::Plain,
        };
        match byte {
            b'b' => self.go(self.word_before()),
            b'f' => self.go(self.word_behind()),
            0x7F => self.cut(self.word_before(), self.cursor),
            _ => Did::Nothing,
        }
    }

    fn sequence(&mut self, byte: u8) -> Did {
        if !(0x40..=0x7E).contains(&byte) {
            self.partial.push(byte);
            if self.partial.len() > SEQUENCE {
                self.partial.clear();
                self.state = State::Plain;
            }
            return Did::Nothing;
        }
        let parameters = std::mem::take(&mut self.partial);
        self.state = State::Plain;
        // With Ctrl or Alt the arrows go by words.
        let by_words = parameters.contains(&b';');
        match (byte, &parameters[..]) {
            (b'A', _) => self.older(),
            (b'B', _) => self.younger(),
            (b'C', _) if by_words => self.go(self.word_behind()),
            (b'D', _) if by_words => self.go(self.word_before()),
            (b'C', _) => self.go(self.cursor + 1),
            (b'D', _) => self.go(self.cursor.saturating_sub(1)),
            (b'H', _) | (b'~', b"1" | b"7") => self.go(0),
            (b'F', _) | (b'~', b"4" | b"8") => self.go(self.line.len()),
            (b'~', b"3") => self.delete(self.cursor, self.cursor + 1),
            (b'~', b"200") => {
                self.state = State::Paste;
                Did::Nothing
            }
            _ => Did::Nothing,
        }
    }

    /// What is pasted is one message, whatever lines it has.
    fn paste(&mut self, byte: u8) -> Did {
        const END: &[u8] = b"\x1b[201~";
        self.partial.push(byte);
        if !self.partial.ends_with(END) {
            if self.partial.len() > LONGEST {
                // Its end is still to be found.
                self.partial.drain(..LONGEST / 2);
            }
            return Did::Nothing;
        }
        self.partial.truncate(self.partial.len() - END.len());
        let bytes = std::mem::take(&mut self.partial);
        self.state = State::Plain;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let room = LONGEST.saturating_sub(self.line.len());
        let pasted: Vec<_> = text.chars().take(room).collect();
        let count = pasted.len();
        self.line.splice(self.cursor..self.cursor, pasted);
        self.go(self.cursor + count)
    }

    fn insert(&mut self, character: char) -> Did {
        if self.line.len() < LONGEST {
            self.line.insert(self.cursor, character);
            self.cursor += 1;
        }
        Did::Changed
    }

    fn delete(&mut self, from: usize, to: usize) -> Did {
        let to = to.min(self.line.len());
        self.line.drain(from.min(to)..to);
        self.go(from)
    }

    fn cut(&mut self, from: usize, to: usize) -> Did {
        self.cut = self.line[from..to].to_vec();
        self.delete(from, to)
    }

    fn go(&mut self, cursor: usize) -> Did {
        self.cursor = cursor.min(self.line.len());
        Did::Changed
    }

    fn word_before(&self) -> usize {
        let is_space = |at: usize| self.line[at - 1].is_whitespace();
        let mut at = self.cursor;
        while at > 0 && is_space(at) {
            at -= 1;
        }
        while at > 0 && !is_space(at) {
            at -= 1;
        }
        at
    }

    fn word_behind(&self) -> usize {
        let is_space = |at: usize| self.line[at].is_whitespace();
        let mut at = self.cursor;
        while at < self.line.len() && is_space(at) {
            at += 1;
        }
        while at < self.line.len() && !is_space(at) {
            at += 1;
        }
        at
    }

    fn older(&mut self) -> Did {
        let at = self.at.unwrap_or(self.history.len());
        if at == 0 {
            return Did::Nothing;
        }
        if self.at.is_none() {
            self.typed.clone_from(&self.line);
        }
        self.at = Some(at - 1);
        self.line = self.history[at - 1].chars().collect();
        self.go(self.line.len())
    }

    fn younger(&mut self) -> Did {
        let Some(at) = self.at else {
            return Did::Nothing;
        };
        if at + 1 < self.history.len() {
            self.at = Some(at + 1);
            self.line = self.history[at + 1].chars().collect();
        } else {
            self.at = None;
            self.line = std::mem::take(&mut self.typed);
        }
        self.go(self.line.len())
    }

    fn finish(&mut self) -> Did {
        let line: String = std::mem::take(&mut self.line).into_iter().collect();
        self.cursor = 0;
        self.at = None;
        if !line.is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
            if self.history.len() > HISTORY {
                self.history.remove(0);
            }
        }
        Did::Line(line)
    }

    /// As much of the line around the cursor as fits so many columns, and the cursor's column.
    pub fn shown(&self, columns: usize) -> (String, usize) {
        let columns = columns.max(8) - 1;
        let width = |character: char| visible(character).width().unwrap_or(0);
        let (mut start, mut before) = (self.cursor, 0);
        while start > 0 && before + width(self.line[start - 1]) < columns {
            start -= 1;
            before += width(self.line[start]);
        }
        let (mut end, mut all) = (self.cursor, before);
        while end < self.line.len() && all + width(self.line[end]) < columns {
            all += width(self.line[end]);
            end += 1;
        }
        let text = self.line[start..end].iter();
        (text.map(|character| visible(*character)).collect(), before)
    }
}

/// A character as it is shown in a row: nothing that a terminal obeys.
fn visible(character: char) -> char {
    match character {
        '\n' => '↵',
        '\t' => ' ',
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything but mere changes that these keys do.
    fn keys(editor: &mut Editor, keys: &str) -> Vec<Did> {
        let did = keys.bytes().map(|byte| editor.byte(byte));
        did.filter(|did| !matches!(did, Did::Changed | Did::Nothing))
            .collect()
    }

    fn lines(typed: &str) -> Vec<String> {
        let did = keys(&mut Editor::default(), typed);
        let line = |did| match did {
            Did::Line(line) => Some(line),
            _ => None,
        };
        did.into_iter().filter_map(line).collect()
    }

    #[test]
    fn keys_do_what_they_do_elsewhere() {
        for (typed, line) in [
            ("hello\r", "hello"),
            ("hxx\x7f\x7fello\r", "hello"),
            ("world\x01hello \r", "hello world"),
            ("ab\x1b[D\x1b[DX\r", "Xab"),
            ("ab\x1b[H\x1b[3~X\x1b[FY\r", "XbY"),
            ("one two\x17three\r", "one three"),
            ("one two\x1bbX\x05Y\r", "one XtwoY"),
            ("one two\x1b[1;5DX\r", "one Xtwo"),
            ("one\x15two\x19\r", "twoone"),
            ("one\x02\x0bX\r", "onX"),
            ("größe 数\x7f字\r", "größe 字"),
            ("\x1b[200~a\r\nb\x1b[201~\r", "a\nb"),
            ("a\x1b[99999;9zb\r", "ab"),
            ("ab\x02\x04\r", "a"),
        ] {
            assert_eq!(lines(typed), [line], "{typed:?}");
        }
        assert_eq!(keys(&mut Editor::default(), "a\x03"), [Did::Interrupted]);
        assert_eq!(
            keys(&mut Editor::default(), "\x04\x0c"),
            [Did::End, Did::Clear]
        );
    }

    #[test]
    fn history_is_gone_through() {
        let (up, down) = ("\x1b[A", "\x1b[B");
        let typed = format!("one\rtwo\r{up}{up}\r{up}{up}{up}{up}{down}\rx{up}{down}\r");
        assert_eq!(lines(&typed), ["one", "two", "one", "two", "x"]);
        let mut editor = Editor::new(vec!["before".into()]);
        assert_eq!(keys(&mut editor, "\x1b[A\r"), [Did::Line("before".into())]);
    }

    #[test]
    fn a_row_shows_what_is_around_the_cursor() {
        let mut editor = Editor::default();
        keys(&mut editor, "0123456789abcdef");
        assert_eq!(editor.shown(11), ("789abcdef".into(), 9));
        keys(&mut editor, "\x01");
        assert_eq!(editor.shown(11), ("012345678".into(), 0));
        let mut editor = Editor::default();
        keys(&mut editor, "数数\x1b[200~\n\x1b\x1b[201~");
        assert_eq!(editor.shown(80), ("数数↵\u{FFFD}".into(), 6));
    }

    #[test]
    fn whatever_is_typed_nothing_breaks() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut editor = Editor::default();
        for _ in 0..100_000 {
            let special = b"\x1b[AD~3\x7f\x15\x17\x19\r\x01\x05";
            let byte = match random.bool() {
                true => special[random.usize(..special.len())],
                false => random.u8(..),
            };
            editor.byte(byte);
            let (text, cursor) = editor.shown(random.usize(1..40));
            assert!(cursor < 40 && text.chars().count() < 400);
        }
    }
}
