//! `new`: a template under a name of one's own, and what to do with it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{look, mock, print};
use crate::config::{Handlers, Script};
use crate::handlers::{IGNORED_PREFIXES, Route, SUFFIX, decode_path};
use crate::recording::read;

/// A handler to begin with.
#[derive(Debug)]
pub struct Template {
    /// Name of the template: one word, as `--template` takes it.
    pub name: &'static str,
    /// A line for the list.
    pub about: &'static str,
    /// Server flags that the handler needs, with a space before each.
    flags: &'static str,
    text: &'static str,
    /// Tests of it, in which `PATH` is its path.
    tests: &'static str,
}

/// Tests of a handler of which nothing is known.
const PLAIN: &str = include_str!("templates/test.rhai");

/// Every template: a file of the folder, and its row.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "echo",
        about: "answers every message with itself",
        flags: "",
        text: include_str!("templates/echo.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "loop",
        about: "one function for a whole conversation, as in pywebsocket",
        flags: "",
        text: include_str!("templates/loop.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "timer",
        about: "speaks by itself, every second",
        flags: "",
        text: include_str!("templates/timer.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "auth",
        about: "lets in who has a password",
        flags: "",
        text: include_str!("templates/auth.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "json",
        about: "requests and answers in JSON",
        flags: "",
        text: include_str!("templates/json.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "state",
        about: "remembers a name and a count for each connection",
        flags: "",
        text: include_str!("templates/state.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "chat",
        about: "names, who is here, and what was said before",
        flags: "",
        text: include_str!("templates/chat.rhai"),
        tests: include_str!("templates/chat_test.rhai"),
    },
    Template {
        name: "mock",
        about: "slow answers, errors and lost connections, to test clients with",
        flags: "",
        text: include_str!("templates/mock.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "between",
        about: "stands between a client and its server; needs --allow-connect localhost:9000",
        flags: " --allow-connect localhost:9000",
        text: include_str!("templates/between.rhai"),
        tests: include_str!("templates/between_test.rhai"),
    },
    Template {
        name: "subprotocol",
        about: "agrees on a subprotocol",
        flags: "",
        text: include_str!("templates/subprotocol.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "raw",
        about: "wrong frames, to test clients with; needs --allow-raw",
        flags: " --allow-raw",
        text: include_str!("templates/raw.rhai"),
        tests: PLAIN,
    },
    Template {
        name: "misbehave",
        about: "thirty things that a client should survive; needs --allow-raw",
        flags: " --allow-raw",
        text: include_str!("templates/misbehave.rhai"),
        tests: PLAIN,
    },
];

/// Writes a handler of this name into the folder, and never over another; with a file of tests
/// beside it if it is asked for.
pub fn new(root: &Path, name: &str, template: &Template, with_test: bool) -> Result<ExitCode> {
    if !with_test {
        return create(root, name, template.text, template.flags);
    }
    let file = file_of(name)?;
    let tests = root.join(file.replace(SUFFIX, TESTS));
    if tests.exists() {
        bail!("{} exists: give another name", tests.display());
    }
    let code = create(root, name, template.text, template.flags)?;
    let route = Route::of_file(&file).first().map(Route::to_string);
    let path = utf8_percent_encode(&route.unwrap_or_default(), ESCAPED).to_string();
    let text = template.tests.replace("PATH", &path);
    fs::write(&tests, text).with_context(|| format!("{} cannot be written", tests.display()))?;
    let root = root.display();
    print(&format!(
        "\nwrote {}\n\n  run the tests:  wsh-server test -w {root}\n",
        tests.display()
    ));
    Ok(code)
}

/// The same with a handler that answers as a recording did.
pub fn new_from(root: &Path, name: &str, har: &Path) -> Result<ExitCode> {
    let recordings = read(har).with_context(|| format!("{} is no recording", har.display()))?;
    let file = har.file_name().unwrap_or_default().to_string_lossy();
    let (text, left_out) = mock::handler(&recordings, &file);
    let code = create(root, name, &text, "")?;
    if let Some(left_out) = left_out {
        print(&format!("warning: {left_out}\n"));
    }
    Ok(code)
}

/// What the name of a file of tests ends with, in the place of a handler's [`SUFFIX`].
const TESTS: &str = "_test.rhai";

/// Writes a file, and says what to do with it.
fn create(root: &Path, name: &str, text: &str, flags: &str) -> Result<ExitCode> {
    let file = file_of(name)?;
    let path = root.join(&file);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let mut created = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists: give another name", path.display())
        }
        created => created.with_context(|| format!("{} cannot be written", path.display()))?,
    };
    created.write_all(text.as_bytes())?;
    print(&next_steps(root, &file, flags)?);
    Ok(ExitCode::SUCCESS)
}

/// Prints the names of the templates.
pub fn templates() -> Result<ExitCode> {
    let width = TEMPLATES
        .iter()
        .map(|row| row.name.len())
        .max()
        .unwrap_or(0);
    let list = TEMPLATES
        .iter()
        .map(|Template { name, about, .. }| format!("{name:width$}  {about}\n"));
    print(&list.collect::<String>());
    Ok(ExitCode::SUCCESS)
}

/// The file of a handler below its folder; `Err` for a name that no client could ask for, or that
/// is not served.
fn file_of(name: &str) -> Result<String> {
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    // As a client asks for it, where a percent sign that stands for itself is escaped.
    decode_path(&format!("/{}", stem.replace('%', "%25")))
        .with_context(|| format!("{name:?} is no name for a handler"))?;
    if stem.split('/').any(str::is_empty) {
        bail!("{name:?} is no name for a handler: write chat, or room/chat for one in a folder");
    }
    if stem
        .split('/')
        .any(|part| part.starts_with(IGNORED_PREFIXES))
    {
        bail!(
            "{name:?} is no name for a handler: files and folders that begin with '.', '#' or '~' \
            are not served"
        );
    }
    Ok(format!("{stem}{SUFFIX}"))
}

/// Characters that are percent-encoded in the path of a URL. Brackets stay: a reader is to replace
/// them.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Returns the message on how to serve the file and which URL it has, with warnings of what
/// prevents that, like another file of the same path.
fn next_steps(root: &Path, file: &str, flags: &str) -> Result<String> {
    let mut text = format!("wrote {}\n", root.join(file).display());
    let handlers = Handlers {
        root: root.to_owned(),
        scan_dir: None,
        alone: None,
        map_file: None,
        outside_root: false,
    };
    let (_, report) = look(handlers, Script::default())?;
    for problem in report.problems.iter().map(|problem| &problem.message) {
        if problem.contains(file) {
            let _ = writeln!(text, "warning: {problem}");
        }
    }
    let folder = if root == Path::new(".") {
        String::new()
    } else {
        format!(" -w {}", root.display())
    };
    let route = Route::of_file(file)
        .first()
        .map(Route::to_string)
        .unwrap_or_default();
    let path = utf8_percent_encode(&route, ESCAPED);
    let _ = write!(
        text,
        "\n  serve it:       wsh-server{folder}{flags}\n  connect to it:  \
        ws://localhost:9998{path}\n  read about it:  wsh-server api\n\n\
         Save the file while it is served, and open connections go on with what it says then.\n"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::file_of;

    #[test]
    fn names_are_paths_without_tricks() {
        for (name, file) in [
            ("chat", "chat_wsh.rhai"),
            ("chat_wsh.rhai", "chat_wsh.rhai"),
            ("room/[id]", "room/[id]_wsh.rhai"),
            ("a b/50%", "a b/50%_wsh.rhai"),
            ("großer Raum", "großer Raum_wsh.rhai"),
        ] {
            assert_eq!(file_of(name).expect(name), file);
        }
        for name in [
            "",
            "_wsh.rhai",
            "/",
            "/chat",
            "chat/",
            "a//b",
            ".",
            "..",
            "../chat",
            "a/../b",
            "a/./b",
            ".chat",
            "a/.b",
            "#chat",
            "~chat",
            "a\\b",
            "a\0b",
            "a\nb",
        ] {
            assert!(file_of(name).is_err(), "{name:?}");
        }
    }
}
