//! A terminal with a line that is being typed, and texts that are put above it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

use super::editor::{Did, Editor};

/// What stands before the line.
const PROMPT: &str = "> ";
/// Columns where the terminal does not tell.
const COLUMNS: usize = 80;
/// Bytes of the history's file that are read.
const REMEMBERED: usize = 1024 * 1024;

/// The terminal, which is given back as it was found.
pub struct Terminal {
    editor: Editor,
    before: Termios,
    /// Where lines are kept for the next time.
    history: Option<PathBuf>,
}

impl Terminal {
    /// Takes the terminal over: keys come one by one, and it echoes nothing by itself.
    pub fn open(keeps_history: bool) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut mode = before.clone();
        mode.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        mode.input_modes
            .remove(InputModes::IXON | InputModes::ICRNL | InputModes::INLCR);
        tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
        let history = history_file().filter(|_| keeps_history);
        let known = history.as_deref().map(remembered).unwrap_or_default();
        // What is pasted is to be told from what is typed.
        write(&format!("\x1b[?2004h{PROMPT}"));
        Ok(Self {
            editor: Editor::new(known),
            before,
            history,
        })
    }

    /// Takes bytes of the keyboard, and gives what was finished by them; an empty line is a slip of
    /// the finger.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Did> {
        let mut finished = Vec::new();
        let mut changed = false;
        for byte in bytes {
            match self.editor.byte(*byte) {
                Did::Nothing => {}
                Did::Changed => changed = true,
                Did::Clear => {
                    write("\x1b[H\x1b[2J");
                    changed = true;
                }
                Did::Line(line) => {
                    let shown = visible(&line);
                    write(&format!("\r\x1b[K{PROMPT}{shown}\n"));
                    changed = true;
                    self.remember(&line);
                    if !line.is_empty() {
                        finished.push(Did::Line(line));
                    }
                }
                did @ (Did::Interrupted | Did::End) => finished.push(did),
            }
        }
        if changed {
            write(&self.row());
        }
        finished
    }

    /// Puts a text above the line.
    pub fn show(&self, text: &str) {
        write(&format!("\r\x1b[K{text}\n{}", self.row()));
    }

    /// The line, drawn anew.
    fn row(&self) -> String {
        let columns = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        let columns = if columns == 0 { COLUMNS } else { columns };
        let (text, cursor) = self.editor.shown(columns.saturating_sub(PROMPT.len()));
        let column = PROMPT.len() + cursor + 1;
        format!("\r\x1b[K{PROMPT}{text}\x1b[{column}G")
    }

    /// Adds a line to the history's file. Where it cannot be written, nothing is kept.
    fn remember(&self, line: &str) {
        let Some(file) = &self.history else { return };
        if line.is_empty() {
            return;
        }
        let _ = file.parent().map(fs::create_dir_all);
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file);
        // As JSON: what was pasted may have several lines.
        if let (Ok(mut file), Ok(line)) = (opened, serde_json::to_string(line)) {
            let _ = writeln!(file, "{line}");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        write("\r\x1b[K\x1b[?2004l");
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// A text without anything that a terminal would obey.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            control if control.is_control() => {
                out.push_str(&format!("\\u{{{:x}}}", u32::from(control)));
            }
            character => out.push(character),
        }
    }
    out
}

/// Writes to the terminal at once. If it is gone, so is who looks at it.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The lines of the history's file; a long one loses its older half.
fn remembered(file: &Path) -> Vec<String> {
    let text = crate::file::read_text(file, REMEMBERED).unwrap_or_default();
    if text.len() > REMEMBERED / 2 {
        let half = text[text.ceil_char_boundary(text.len() / 2)..].split_once('\n');
        let _ = fs::write(file, half.map_or("", |(_, younger)| younger));
    }
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Where lines are kept: the user's folder for what programs remember.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("wsh-server/connect_history"))
}
