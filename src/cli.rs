//! Flags and subcommands: what was written on the command line, and what it asks for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Handlers, Listen};

/// A WebSocket server whose handlers are small Rhai scripts in a folder
///
/// Drop NAME_wsh.rhai into the folder, and ws://HOST:PORT/NAME answers; save it, and the next message of every open
/// connection runs the new code.
#[derive(Debug, Parser)]
#[command(name = "wsh-server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
    /// What to log: a level (error, warn, info, debug, trace), or TARGET=LEVEL items with commas
    #[arg(
        long,
        alias = "log_level",
        value_name = "FILTER",
        default_value = "info",
        env = "WSH_LOG_LEVEL",
        global = true
    )]
    pub log_level: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile every handler, print every problem; exit status 1 if there is one
    Check(Folder),
    /// Print the path, file and hooks of every handler
    Routes(Folder),
}

#[derive(Debug, Args)]
struct Serve {
    /// Port to listen on; 0 takes a free one
    #[arg(short, long, default_value_t = 9998, env = "WSH_PORT")]
    port: u16,
    /// Host name or address to listen on [default: loopback, IPv4 and IPv6]
    #[arg(
        short = 'H',
        long,
        alias = "server_host",
        value_name = "HOST",
        env = "WSH_SERVER_HOST"
    )]
    server_host: Option<String>,
    #[command(flatten)]
    folder: Folder,
    /// Folder of ordinary files to serve; none without it
    #[arg(
        short,
        long,
        alias = "document_root",
        value_name = "DIR",
        env = "WSH_DOCUMENT_ROOT"
    )]
    document_root: Option<PathBuf>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), env = "WSH_WORKERS")]
    workers: Option<u16>,
}

#[derive(Debug, Args)]
struct Folder {
    /// Folder of handlers, NAME_wsh.rhai
    #[arg(
        short,
        long,
        alias = "websock_handlers",
        value_name = "DIR",
        default_value = ".",
        env = "WSH_WEBSOCK_HANDLERS"
    )]
    websock_handlers: PathBuf,
    /// Serve only what lies below this folder; paths stay relative to the handler folder
    #[arg(
        short,
        long,
        alias = "scan_dir",
        value_name = "DIR",
        env = "WSH_SCAN_DIR"
    )]
    scan_dir: Option<PathBuf>,
    /// File of aliases: a line "/alias /existing" each
    #[arg(
        short = 'm',
        long,
        alias = "websock_handlers_map_file",
        value_name = "FILE",
        env = "WSH_WEBSOCK_HANDLERS_MAP_FILE"
    )]
    websock_handlers_map_file: Option<PathBuf>,
    /// Follow links that lead out of the handler folder
    #[arg(
        long,
        alias = "allow_handlers_outside_root_dir",
        env = "WSH_ALLOW_HANDLERS_OUTSIDE_ROOT_DIR"
    )]
    allow_handlers_outside_root_dir: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Run the server.
    Serve(Config),
    /// Compile every handler.
    Check(Handlers),
    /// Print every path.
    Routes(Handlers),
}

impl Cli {
    /// What is asked for, with the flags as configuration.
    pub fn task(self) -> Task {
        match self.command {
            Some(Command::Check(folder)) => Task::Check(folder.into()),
            Some(Command::Routes(folder)) => Task::Routes(folder.into()),
            None => Task::Serve(self.serve.into()),
        }
    }
}

impl From<Serve> for Config {
    fn from(serve: Serve) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: Listen {
                host: serve.server_host,
                port: serve.port,
            },
            handlers: serve.folder.into(),
            document_root: serve.document_root,
            workers: serve.workers.map_or_else(cores, usize::from),
        }
    }
}

impl From<Folder> for Handlers {
    fn from(folder: Folder) -> Self {
        Self {
            root: folder.websock_handlers,
            scan_dir: folder.scan_dir,
            map_file: folder.websock_handlers_map_file,
            outside_root: folder.allow_handlers_outside_root_dir,
        }
    }
}
