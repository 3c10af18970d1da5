//! Places in a script's text, and what stands around them.

use std::ops::Range;

use rhai::Position;

/// A place in a file, with the line that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Line number, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Text of the line, without its line break.
    pub text: Box<str>,
}

impl Location {
    /// A position of a text. Rhai counts lines and characters from 1, and knows no column at a
    /// line's beginning.
    pub fn of(text: &str, position: Position) -> Option<Self> {
        let line = position.line()?;
        let text = text.split('\n').nth(line - 1).unwrap_or("");
        let text = text.strip_suffix('\r').unwrap_or(text);
        Some(Self {
            line,
            column: position.position().unwrap_or(1).max(1),
            text: text.into(),
        })
    }

    /// The bytes of the word that stands here, or of the one character that is no word.
    pub fn span(&self) -> Range<usize> {
        let at = self
            .text
            .char_indices()
            .nth(self.column - 1)
            .map_or(self.text.len(), |(at, _)| at);
        let rest = &self.text[at..];
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        // A caret needs a character to stand under.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        at..at + word.max(first)
    }

    /// The word itself.
    pub fn word(&self) -> &str {
        &self.text[self.span()]
    }

    /// Whether it is this name, behind a dot: a range has two.
    pub fn is_member(&self, name: &str) -> bool {
        let before = self.text[..self.span().start].trim_end();
        self.word() == name && before.ends_with('.') && !before.ends_with("..")
    }

    /// The word before the dot that stands before this one, or before this dot; empty if there is
    /// none.
    pub fn object(&self) -> &str {
        let before = self.text[..self.span().start].trim_end();
        let before = before.strip_suffix('.').unwrap_or(before);
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        &before[start.map_or(0, |at| at + 1)..]
    }

    /// The path of names that ends before this word or sign, such as `this.user`; empty if there is
    /// none.
    pub fn path_before(&self) -> &str {
        let before = self.text[..self.span().start].trim_end();
        let before = before.strip_suffix('.').unwrap_or(before);
        let before = before.strip_suffix('?').unwrap_or(before).trim_end();
        let (mut begin, mut inside) = (before.len(), 0);
        for (at, c) in before.char_indices().rev() {
            match c {
                ']' => inside += 1,
                '[' if inside > 0 => inside -= 1,
                _ if inside > 0 => {}
                c if c.is_alphanumeric() || c == '_' || c == '.' => {}
                _ => break,
            }
            begin = at;
        }
        &before[begin..]
    }

    /// The path of names that begins behind this operator.
    pub fn path_behind(&self) -> &str {
        let rest = self.text[self.span().start..]
            .trim_start_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        &rest[..end.unwrap_or(rest.len())]
    }

    /// Returns the text between the parentheses behind the word, if they are closed in this line.
    pub fn argument(&self) -> Option<&str> {
        let inside = self.rest().strip_prefix('(')?;
        let mut open = 1;
        let end = inside.find(|c| {
            open += i32::from(c == '(') - i32::from(c == ')');
            open == 0
        })?;
        Some(inside[..end].trim())
    }

    /// Returns the position of the first use of a member of this name, at a position or behind it.
    pub(super) fn of_member(text: &str, name: &str, from: Position) -> Option<Position> {
        let first = from.line()?;
        let lines = text.split('\n').enumerate().skip(first - 1);
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let mut found = lines.filter_map(|(number, line)| {
            let mut dots = line.match_indices('.');
            let at = dots.find_map(|(dot, _)| {
                let rest = line[dot + 1..].strip_prefix(name)?;
                is_end(rest).then_some(dot + 1)
            })?;
            let column = line[..at].chars().count() + 1;
            Some(Position::new(
                u16::try_from(number + 1).ok()?,
                u16::try_from(column).ok()?,
            ))
        });
        found.next()
    }

    /// Returns the rest of the line behind the word, without leading spaces.
    pub fn rest(&self) -> &str {
        self.text[self.span().end..].trim_start()
    }
}
