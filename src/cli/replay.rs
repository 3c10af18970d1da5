//! The flags of `replay`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::connect::Opening;
use super::value::Time;
use crate::client::Address;
use crate::commands::Replay;
use crate::config::JsonPath;

/// Flags of `replay`.
#[derive(Debug, Args)]
pub(super) struct Again {
    /// Recordings, HAR files; then where to replay them, unless where they were recorded
    ///
    /// A URL with a path takes all of them there; without one each goes to its own path.
    #[arg(required = true, value_name = "FILE|URL")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    opening: Opening,
    /// A path in JSON messages that may differ, such as $.time; may be given several times
    ///
    /// $.users[*].id is that of every user, $..id every id at any depth.
    #[arg(short, long, value_name = "PATH")]
    ignore: Vec<JsonPath>,
    /// Send at the recorded times, or so many times faster: --timed, --timed=10
    ///
    /// Otherwise the next message is sent as soon as what was answered before has come.
    #[arg(
        long,
        value_name = "FACTOR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1"
    )]
    timed: Option<String>,
    /// How long each answer may take
    #[arg(short, long, value_name = "TIME", default_value = "5s")]
    wait: Time,
}

impl Again {
    pub(super) fn options(mut self) -> Result<Replay> {
        let text = self.files.last().and_then(|last| last.to_str());
        let is_url = text.is_some_and(|text| text.contains("://") || text.starts_with(':'));
        let url = match self.files.pop_if(|_| is_url) {
            Some(last) => Some(Address::parse(&last.to_string_lossy())?),
            None => None,
        };
        if self.files.is_empty() {
            bail!("what is to be replayed? Give a HAR file before the URL");
        }
        let faster = |text: String| -> Result<f64> {
            match text.trim_start_matches(['x', '×']).parse() {
                Ok(factor) if factor > 0.0 => Ok(factor),
                _ => bail!("--timed={text}: a number is wanted, such as 10"),
            }
        };
        let (ask, trust, _) = self.opening.parts()?;
        Ok(Replay {
            files: self.files,
            url,
            ask,
            trust,
            wait: self.wait.0,
            timed: self.timed.map(faster).transpose()?,
            ignored: self.ignore,
        })
    }
}
