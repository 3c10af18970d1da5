//! The flags of `connect`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::value::{Size, Time};
use crate::client::{Address, Ask, Trust};
use crate::commands::Connect;

/// Flags about how a connection is opened, of `connect` and `replay`.
#[derive(Debug, Args)]
pub(super) struct Opening {
    /// A header of the request, 'Name: value'; may be given several times
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// Trust every certificate
    #[arg(short = 'k', long)]
    insecure: bool,
    /// PEM file of another authority to trust
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of a certificate to show, with --key
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Time for opening the connection
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Time,
}

impl Opening {
    /// The headers, and whom it trusts.
    pub(super) fn parts(self) -> Result<(Ask, Trust, std::time::Duration)> {
        let mut ask = Ask::default();
        for line in &self.header {
            if let Err(why) = ask.header(line) {
                bail!("--header: {why}");
            }
        }
        let trust = Trust {
            insecure: self.insecure,
            authorities: self.ca.into_iter().chain(Trust::own_authority()).collect(),
            identity: self.cert.zip(self.key),
        };
        Ok((ask, trust, self.timeout.0))
    }
}

/// Flags of `connect`.
#[derive(Debug, Args)]
pub(super) struct Dial {
    /// Where to: ws://HOST:PORT/PATH, wss://…, HOST:PORT/PATH, or /PATH of a server here
    url: String,
    #[command(flatten)]
    opening: Opening,
    /// A subprotocol to offer; may be given several times
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    subprotocol: Vec<String>,
    /// The Origin header, as a page would send it
    #[arg(short, long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Offer compression
    #[arg(short, long)]
    compress: bool,
    /// Record the conversation to this file, as HAR
    // Another name than that of the server's flag, lest a configuration file speak of both.
    #[arg(short = 'r', long = "record", value_name = "FILE")]
    har: Option<PathBuf>,
    /// Open it again when it is lost
    ///
    /// After half a second, then twice as long each time, 30 seconds at most. It goes on where it
    /// was: with ?since=POSITION of the last envelope, or where {position} or {position:TOPIC}
    /// stands.
    #[arg(long)]
    reconnect: bool,
    /// A message to send first, each time that it is opened; may be given several times
    #[arg(long, value_name = "MESSAGE")]
    send: Vec<String>,
    /// From a pipe: how long to listen on at its end while nothing comes; 0 closes at once
    #[arg(
        short,
        long,
        value_name = "TIME",
        default_value = "1s",
        conflicts_with = "stay"
    )]
    wait: String,
    /// From a pipe: listen on until the server closes
    #[arg(long)]
    stay: bool,
    /// Close after so many messages
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Send a Ping every so often
    #[arg(long, value_name = "TIME")]
    ping: Option<Time>,
    /// Size of the longest message
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    max_message: Size,
    /// From a pipe: take lines that begin with / as commands, too
    #[arg(long)]
    commands: bool,
    /// Print messages only, and what goes wrong
    #[arg(short, long)]
    quiet: bool,
    /// Keep no history of what is typed
    #[arg(long)]
    no_history: bool,
}

impl Dial {
    pub(super) fn options(self) -> Result<Connect> {
        let address = Address::parse(&self.url)?;
        let (mut ask, trust, timeout) = self.opening.parts()?;
        if let Some(origin) = &self.origin
            && let Err(why) = ask.header(&format!("Origin: {origin}"))
        {
            bail!("--origin: {why}");
        }
        ask.subprotocols.extend(self.subprotocol);
        ask.compress = self.compress;
        let wait = match (self.stay, self.wait.as_str()) {
            (true, _) => None,
            (false, "0") => Some(std::time::Duration::ZERO),
            (false, wait) => match wait.parse() {
                Ok(Time(wait)) => Some(wait),
                Err(error) => bail!("--wait {wait}: {error}"),
            },
        };
        Ok(Connect {
            address,
            ask,
            trust,
            record: self.har,
            reconnect: self.reconnect,
            first: self.send,
            wait,
            count: self.count,
            ping: self.ping.map(|Time(time)| time),
            timeout,
            max_message: self.max_message.0,
            commands: self.commands,
            quiet: self.quiet,
            history: !self.no_history,
        })
    }
}
