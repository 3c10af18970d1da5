//! The flags of `proxy`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::connect::Opening;
use crate::client::Address;
use crate::commands::Proxy;

/// Flags of `proxy`.
#[derive(Debug, Args)]
pub(super) struct Between {
    /// The server: ws://HOST:PORT, or with a path, to which all clients go then
    url: String,
    #[command(flatten)]
    opening: Opening,
    /// Port on loopback for clients; 0 takes a free one
    // Another name than that of the server's flag, lest a configuration file speak of both.
    #[arg(
        short = 'p',
        long = "port",
        value_name = "PORT",
        default_value_t = 9997
    )]
    own_port: u16,
    /// Record each connection to this folder, as HAR
    #[arg(short = 'r', long = "record", value_name = "DIR")]
    har: Option<PathBuf>,
    /// A handler, NAME_wsh.rhai, that every message of both sides goes through, and that you may
    /// edit meanwhile
    #[arg(long, value_name = "FILE")]
    handler: Option<PathBuf>,
    /// Show connections only, and no messages
    #[arg(short, long)]
    quiet: bool,
}

impl Between {
    pub(super) fn options(self) -> Result<Proxy> {
        let (ask, trust, timeout) = self.opening.parts()?;
        Ok(Proxy {
            server: Address::parse(&self.url)?,
            port: self.own_port,
            ask,
            trust,
            timeout,
            folder: self.har,
            handler: self.handler,
            quiet: self.quiet,
        })
    }
}
