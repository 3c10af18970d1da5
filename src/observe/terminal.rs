//! The log for somebody who watches a terminal: short times, colours, and reports whose places an
//! editor opens.

use std::fmt;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::event;

/// Columns that a line is kept to.
pub const WIDTH: usize = 80;

/// The event format of the log in a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Whether it has colours: <https://no-color.org>, <https://bixense.com/clicolors>.
    pub colours: bool,
}

/// The terminal that the log goes to, if it goes to one.
static WATCHED: OnceLock<Option<Terminal>> = OnceLock::new();

/// The end of the names of those files. A map file has its path already.
const SUFFIX: &str = ".rhai";

/// Folder of the files that reports name.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The terminal that the log goes to, if it goes to one.
pub fn watched() -> Option<Terminal> {
    WATCHED.get().copied().flatten()
}

/// Reports are about files of this folder: a terminal shows their paths from where the server was
/// started.
pub fn reports_are_about(folder: &Path) {
    // The first one counts: a process has one folder of handlers.
    let _ = FOLDER.set(folder.to_owned());
}

/// A file of the folder that reports are about, as a path that an editor opens.
pub fn path_of(file: &str) -> String {
    match FOLDER.get().filter(|_| file.ends_with(SUFFIX)) {
        Some(folder) => path_from(&std::env::current_dir().unwrap_or_default(), folder, file),
        None => file.to_owned(),
    }
}

/// A file of a folder as a path from here, or from the root.
fn path_from(here: &Path, folder: &Path, file: &str) -> String {
    let folder = folder.strip_prefix(here).unwrap_or(folder);
    let folder = folder.strip_prefix(".").unwrap_or(folder);
    folder.join(file).display().to_string()
}

impl Terminal {
    /// Returns the terminal that standard error is, or is to be taken for.
    pub fn of_stderr() -> Option<Self> {
        let is_forced = std::env::var_os("CLICOLOR_FORCE")
            .is_some_and(|value| !value.is_empty() && value != "0");
        let is_it = is_forced || std::io::stderr().is_terminal();
        is_it.then(|| Self {
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        })
    }

    /// From now on the log goes to this terminal, or to none.
    pub fn watch(terminal: Option<Self>) {
        let _ = WATCHED.set(terminal);
    }
}

impl<S, N> FormatEvent<S, N> for Terminal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        self.painted(&mut line, DIM, format_args!("{}", Clock(SystemTime::now())))?;
        self.painted(&mut line, colour(level), format_args!(" {level:>5} "))?;
        let mut report = Report::default();
        event.record(&mut report);
        if let Some(report) = report.0 {
            return writeln!(line, "{report}");
        }
        // For who follows the server's own steps; others have enough by what is said.
        if level >= Level::DEBUG {
            let target = event.metadata().target();
            let part = event::short(target);
            self.painted(&mut line, DIM, format_args!("{part}: "))?;
        }
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

const DIM: u8 = 2;

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

impl Terminal {
    fn painted(&self, line: &mut Writer<'_>, code: u8, text: fmt::Arguments<'_>) -> fmt::Result {
        if self.colours {
            write!(line, "\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            line.write_fmt(text)
        }
    }
}

/// The report of an event that has one: it says all that the other fields do.
#[derive(Debug, Default)]
struct Report(Option<String>);

impl Visit for Report {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == event::REPORT {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// The time of day in UTC.
struct Clock(SystemTime);

impl fmt::Display for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, minutes) = (since.as_secs(), since.as_secs() / 60);
        write!(
            out,
            "{:02}:{:02}:{:02}Z",
            minutes / 60 % 24,
            minutes % 60,
            seconds % 60
        )
    }
}

/// A text in lines of at most so many columns, as far as its words allow; what stands between
/// backticks stays together.
pub fn wrapped(text: &str, columns: usize) -> String {
    let (mut lines, mut used) = (String::with_capacity(text.len()), 0);
    let mut is_code = false;
    let words = text.split(|c| {
        is_code ^= c == '`';
        c == ' ' && !is_code
    });
    for word in words {
        let width: usize = word.chars().map(width).sum();
        if used > 0 && used + 1 + width > columns {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += width;
    }
    lines
}

/// Columns of a character; those of East Asia take two.
fn width(c: char) -> usize {
    1 + usize::from(
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}'),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_paths_and_lines_are_short() {
        let time = UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 3_600 * 7 + 60 * 8 + 9);
        assert_eq!(Clock(time).to_string(), "07:08:09Z");
        for (folder, path) in [
            (".", "a/b_wsh.rhai"),
            ("handlers", "handlers/a/b_wsh.rhai"),
            ("./handlers", "handlers/a/b_wsh.rhai"),
            ("../handlers", "../handlers/a/b_wsh.rhai"),
            ("/home/ada", "a/b_wsh.rhai"),
            ("/home/ada/handlers/", "handlers/a/b_wsh.rhai"),
            ("/srv", "/srv/a/b_wsh.rhai"),
        ] {
            let found = path_from(Path::new("/home/ada"), Path::new(folder), "a/b_wsh.rhai");
            assert_eq!(found, path, "{folder}");
        }
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("one", 2), "one");
        assert_eq!(wrapped("call `f(a, b)` then", 8), "call\n`f(a, b)`\nthen");
        assert_eq!(wrapped("一二三 四五", 8), "一二三\n四五");
    }
}
