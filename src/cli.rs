//! Flags and subcommands: what was written on the command line, and what it asks for.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::{Format, TEMPLATES, Template};
use crate::config::{Admission, Config, Deflate, Handlers, Limits, Listen, Proxy, Script, limits};

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
    Check {
        #[command(flatten)]
        look: Look,
        /// How problems are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the path, file and hooks of every handler
    Routes(Look),
    /// Write a new handler, to begin with
    New(New),
    /// Print the reference of everything that a handler may define and call
    Api {
        /// Write definition files for editors' Rhai language servers into this folder instead
        #[arg(long, value_name = "DIR")]
        definitions: Option<PathBuf>,
    },
    /// Print a script that completes this program's command lines
    Completions {
        /// The shell that is to read it
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// The command whose page it is [default: the server itself]
        command: Option<String>,
    },
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
    #[command(flatten)]
    power: Power,
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

/// What is served, for commands that look at it: compiled with the same power as the server gives.
#[derive(Debug, Args)]
struct Look {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    power: Power,
}

#[derive(Debug, Args)]
struct New {
    /// The handler's path: chat is /chat, room/[id] is /room/anything
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    #[command(flatten)]
    root: Root,
    /// What it shows
    #[arg(short, long, default_value = "echo", value_parser = template())]
    template: &'static Template,
    /// Print the names of all templates
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

#[derive(Debug, Args)]
struct Root {
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
}

/// What scripts may do beyond the ordinary.
#[derive(Debug, Args)]
struct Power {
    /// Let scripts send bytes that break the protocol, to test clients with
    #[arg(
        long,
        alias = "allow_raw",
        env = "WSH_ALLOW_RAW",
        value_parser = BoolishValueParser::new()
    )]
    allow_raw: bool,
    /// Let scripts read this environment variable; may be given several times
    #[arg(
        long,
        alias = "allow_env",
        value_name = "NAME",
        env = "WSH_ALLOW_ENV",
        value_delimiter = ','
    )]
    allow_env: Vec<String>,
}

#[derive(Debug, Args)]
struct Folder {
    #[command(flatten)]
    root: Root,
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
        env = "WSH_ALLOW_HANDLERS_OUTSIDE_ROOT_DIR",
        value_parser = BoolishValueParser::new()
    )]
    allow_handlers_outside_root_dir: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Run the server.
    Serve(Box<Config>),
    /// Compile every handler.
    Check(Handlers, Script, Format),
    /// Print every path.
    Routes(Handlers, Script),
    /// Write a new handler of this name into this folder.
    New(PathBuf, String, &'static Template),
    /// Print the names of the templates.
    Templates,
    /// Print the reference, or write definition files into a folder.
    Api(Option<PathBuf>),
    /// Print a shell's completions.
    Completions(Shell),
    /// Print the manual page of the program or of a command.
    Man(Option<String>),
}

impl Cli {
    /// What is asked for, with the flags as configuration.
    pub fn task(self) -> Task {
        match self.command {
            Some(Command::Check { look, format }) => {
                Task::Check(look.folder.into(), look.power.into(), format)
            }
            Some(Command::Routes(look)) => Task::Routes(look.folder.into(), look.power.into()),
            Some(Command::New(new)) => match new.name {
                Some(name) => Task::New(new.root.websock_handlers, name, new.template),
                None => Task::Templates,
            },
            Some(Command::Api { definitions }) => Task::Api(definitions),
            Some(Command::Completions { shell }) => Task::Completions(shell),
            Some(Command::Man { command }) => Task::Man(command),
            None => Task::Serve(Box::new(self.serve.into())),
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
                tls: false,
                tls_port: None,
                unix: Vec::new(),
                backlog: limits::BACKLOG,
            },
            handlers: serve.folder.into(),
            document_root: serve.document_root,
            script: serve.power.into(),
            workers: serve.workers.map_or_else(cores, usize::from),
            tls: None,
            admission: Admission::default(),
            proxy: Proxy::default(),
            deflate: Deflate::default(),
            limits: Limits::default(),
            drain: limits::DRAIN,
        }
    }
}

impl From<Folder> for Handlers {
    fn from(folder: Folder) -> Self {
        Self {
            root: folder.root.websock_handlers,
            scan_dir: folder.scan_dir,
            map_file: folder.websock_handlers_map_file,
            outside_root: folder.allow_handlers_outside_root_dir,
        }
    }
}

impl From<Power> for Script {
    fn from(power: Power) -> Self {
        Self {
            allow_raw: power.allow_raw,
            env: Arc::from(power.allow_env),
            ..Self::default()
        }
    }
}

/// A template by its name.
fn template() -> impl TypedValueParser<Value = &'static Template> {
    let names = TEMPLATES
        .iter()
        .map(|template| PossibleValue::new(template.name).help(template.about));
    PossibleValuesParser::new(names).try_map(|name| {
        let named = TEMPLATES.iter().find(|template| template.name == name);
        named.ok_or("there is no such template")
    })
}
