//! Lines that begin with a slash: what the user asks of the client itself.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::file;
use crate::websocket::{Close, Message};

/// What the commands are.
pub const HELP: &str = "\
/ping [TEXT]           send a Ping, and say when its Pong comes
/close [CODE] [REASON] close, with 1000 unless told otherwise
/hex 00ff              send these bytes as a binary message
/load FILE             send a file: text if it is UTF-8, binary otherwise
/save FILE             write the last message that came to a file
/help                  this
//text                 send /text
Everything else is sent as it is. Ctrl-D or Ctrl-C closes with 1000.";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this.
    Text(String),
    /// Send this.
    Binary(Vec<u8>),
    /// Send a Ping.
    Ping(String),
    /// Close; `None` has no code.
    Close(Option<Close>),
    /// Send a file.
    Load(PathBuf),
    /// Write the last message to a file.
    Save(PathBuf),
    /// Say what there is.
    Help,
}

impl Command {
    /// Reads a line that begins with `/`; `Err` says what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        if let Some(rest) = line.strip_prefix("//") {
            return Ok(Self::Text(format!("/{rest}")));
        }
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let path = |what: &str| match rest {
            "" => Err(format!("{what} which file? {name} FILE")),
            rest => Ok(PathBuf::from(rest)),
        };
        match name {
            "/ping" if rest.len() > 125 => Err("a Ping has at most 125 bytes".into()),
            "/ping" => Ok(Self::Ping(rest.to_owned())),
            "/close" => close(rest).map(Self::Close),
            "/hex" => {
                let digits: String = rest.split_whitespace().collect();
                let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
                bytes
                    .map(Self::Binary)
                    .map_err(|_| "write two hexadecimal digits for each byte: /hex 00ff".into())
            }
            "/load" => path("send").map(Self::Load),
            "/save" => path("write").map(Self::Save),
            "/help" | "/?" => Ok(Self::Help),
            "/quit" | "/exit" => close("").map(Self::Close),
            _ => Err(format!(
                "there is no {name}: /help has all; //… sends a text with a slash"
            )),
        }
    }
}

fn close(rest: &str) -> Result<Option<Close>, String> {
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    match code {
        "" => Ok(Some(Close::new(1000, ""))),
        // The frame may be empty: it arrives as 1005.
        "1005" => Ok(None),
        code => {
            let number = code
                .parse()
                .map_err(|_| format!("{code:?} is no close code: /close 4000 why"))?;
            Close::checked(number, reason.trim()).map(Some)
        }
    }
}

/// A file as a message.
pub fn load(path: &Path, limit: usize) -> Result<Message<'static>, String> {
    let bytes = file::read(path, limit)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if bytes.len() > limit {
        return Err(format!(
            "{} is longer than --max-message, {limit} bytes",
            path.display()
        ));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Message::Text(text.into()),
        Err(error) => Message::Binary(error.into_bytes().into()),
    })
}

/// Writes a message to a file of its own, and says so.
pub fn save(path: &Path, message: Option<&Message<'_>>) -> Result<String, String> {
    let Some(message) = message else {
        return Err("no message has come yet".into());
    };
    let (_, bytes) = message.parts();
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    created
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| format!("{} is not written: {error}", path.display()))?;
    Ok(format!("wrote {}, {} bytes", path.display(), bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        for (line, command) in [
            ("//etc", Command::Text("/etc".into())),
            ("/ping", Command::Ping(String::new())),
            ("/ping  a b ", Command::Ping("a b".into())),
            ("/close", Command::Close(Some(Close::new(1000, "")))),
            (
                "/close 4000 so it is",
                Command::Close(Some(Close::new(4000, "so it is"))),
            ),
            ("/close 1005", Command::Close(None)),
            ("/hex 00 fF", Command::Binary(vec![0, 255])),
            ("/load a b", Command::Load("a b".into())),
            ("/save x", Command::Save("x".into())),
            ("/help", Command::Help),
        ] {
            assert_eq!(Command::parse(line), Ok(command), "{line}");
        }
        for line in [
            "/",
            "/nothing",
            "/close x",
            "/close 1006",
            "/hex 0",
            "/hex xy",
            "/load",
            "/save",
        ] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
    }
}
