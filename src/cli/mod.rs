//! Flags and subcommands: what was written on the command line, in the environment and in the
//! configuration file, and what it asks for.

mod bounds;
mod connect;
mod effective;
mod environment;
pub mod file;
mod given;
mod handlers;
mod help;
mod predecessor;
mod proxy;
mod replay;
mod serve;
mod vain;
mod value;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::{Connect, Format, Proxy, Replay, Results, TEMPLATES, Template, Tested};
use crate::config::{Config, Handlers, Script};
use crate::observe::{self, Filter, Format as LogFormat};
use connect::Dial;
pub use effective::Effective;
pub use given::Given;
use handlers::{Folder, Power, Root};
use proxy::Between as Proxying;
use replay::Again;
use serve::{Serve, Settings};

/// A WebSocket server whose handlers are small Rhai scripts in a folder
///
/// Drop NAME_wsh.rhai into the folder, and ws://HOST:PORT/NAME answers; save it, and the next
/// message of every open connection runs the new code.
#[derive(Debug, Parser)]
#[command(
    name = "wsh-server",
    version,
    args_conflicts_with_subcommands = true,
    after_help = help::MORE,
    after_long_help = help::LEARN
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Box<Serve>,
    /// Configuration file, TOML
    ///
    /// Its keys are the long flags; flags and environment go before it.
    #[arg(long, value_name = "FILE", env = "WSH_CONFIG", global = true, help_heading = GENERAL)]
    config: Option<PathBuf>,
    /// The log's flags: its filter and its file.
    #[command(flatten)]
    pub log: Log,
}

/// Heads what every subcommand takes.
const GENERAL: &str = "Configuration and log";

/// The log's flags: its filter and its file.
#[derive(Debug, Args)]
pub struct Log {
    /// File for the log [default: standard error]
    ///
    /// Lines are added at its end. SIGUSR1 and SIGHUP open it anew, after it was renamed.
    #[arg(
        short = 'l',
        long,
        alias = "log_file",
        value_name = "FILE",
        env = "WSH_LOG_FILE",
        global = true,
        help_heading = GENERAL
    )]
    pub log_file: Option<PathBuf>,
    /// error, warn, info, debug, trace
    ///
    /// A level, or off, or TARGET=LEVEL items with commas. Targets are server, http, websocket,
    /// handlers, script, access, and print for what scripts print. What no item names has the level
    /// that stands alone, or info: warn,http=debug.
    #[arg(
        long,
        alias = "log_level",
        value_name = "FILTER",
        default_value = "info",
        env = "WSH_LOG_LEVEL",
        global = true,
        help_heading = GENERAL
    )]
    pub log_level: Filter,
    /// How log lines look
    ///
    /// text is for people; json is one object a line, with numbers as numbers and reports of
    /// scripts as objects.
    #[arg(
        long,
        alias = "log_format",
        value_enum,
        default_value_t = LogFormat::Text,
        value_name = "FORMAT",
        env = "WSH_LOG_FORMAT",
        global = true,
        hide_possible_values = true,
        help_heading = GENERAL
    )]
    pub log_format: LogFormat,
}

impl Log {
    /// Whether somebody watches it at a terminal.
    pub fn at_terminal(&self) -> bool {
        self.log_file.is_none()
            && self.log_format == LogFormat::Text
            && std::io::stderr().is_terminal()
    }
}

/// Heads what only `check` takes.
const CHECK: &str = "Check";

#[derive(Debug, Subcommand)]
enum Command {
    /// Find mistakes in handlers without running them
    ///
    /// Compiles every handler, opens what the configuration names, and prints every problem. Exit
    /// status 1 if a handler would not serve, 2 if the server would not start.
    Check {
        #[command(flatten)]
        settings: Box<Settings>,
        /// How problems are printed
        #[arg(long, value_enum, default_value_t = Format::Text, help_heading = CHECK)]
        format: Format,
        /// Exit with 1 for warnings, too
        #[arg(long, help_heading = CHECK)]
        strict: bool,
    },
    /// List the paths, files and hooks of handlers
    Routes(Look),
    /// Write a new handler, to begin with
    New(New),
    /// Talk to a WebSocket server from the terminal, or from a pipe
    ///
    /// In a terminal with line editing, history and commands: /help lists them. In a pipe each line
    /// is a message, and each message a line. The exit status tells how it ended: 0 as it should, 1
    /// refused, 2 not reached, 3 lost without a Close, others by the code of the server's Close.
    Connect(Box<Dial>),
    /// Replay recordings, and show what is answered otherwise
    ///
    /// Recordings are HAR files, of `connect --record`, of Chrome's network panel, Playwright, HTTP
    /// Toolkit or mitmproxy. Each message is sent when what was answered before it has come again.
    /// Exit status 1 if anything differs.
    Replay(Box<Again>),
    /// Stand between a client and its server, and show what they say
    ///
    /// Bytes go through as they are. Point the client at the address that is printed.
    Proxy(Box<Proxying>),
    /// Run the tests beside the handlers
    ///
    /// Tests are functions `fn test_NAME()` in files NAME_test.rhai, which are not served. Each
    /// runs in a server of its own in memory, whose clock jumps when everybody waits. Exit status
    /// 1 if one fails, 2 if there is none.
    Test(Test),
    /// Print the settings in force, and where each comes from
    ///
    /// They are those that a server with these flags, this environment and this configuration file
    /// would have, as a configuration file.
    Config(Box<Serve>),
    /// Print the reference of hooks and functions
    ///
    /// Of everything that a handler may define and call, or of one of them: `api ws.send`, `api
    /// send`, `api transfer_data`, or a package, `api json`.
    Api {
        /// A hook, a function with or without what it is called on, or a package [default:
        /// everything]
        #[arg(conflicts_with = "definitions")]
        name: Option<String>,
        /// Write definition files for editors' Rhai language servers into this folder instead
        #[arg(long, value_name = "DIR")]
        definitions: Option<PathBuf>,
    },
    /// Print a shell's completions of this program
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

/// Flags of commands that inspect handlers, which are compiled with the same permissions as in the
/// server.
#[derive(Debug, Args)]
struct Look {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    power: Power,
}

/// Heads what only `test` takes.
const TEST: &str = "Test";

#[derive(Debug, Args)]
struct Test {
    /// Files of tests, or folders with such [default: all of the handler folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    look: Look,
    /// Only the test of this name, or those with this in their names
    #[arg(long, value_name = "NAME", help_heading = TEST)]
    filter: Option<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Results::Text, help_heading = TEST)]
    format: Results,
    /// Run them again whenever a script is saved
    #[arg(long, help_heading = TEST)]
    watch: bool,
    /// What random numbers follow from
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = TEST)]
    seed: u64,
    /// Write which lines of the handlers have run to this file, in the lcov format
    #[arg(long, value_name = "FILE", help_heading = TEST)]
    coverage: Option<PathBuf>,
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
    /// Answer as in this recording, a HAR file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["template", "list", "with_test"])]
    from: Option<PathBuf>,
    /// Write a file of tests beside it
    #[arg(long)]
    with_test: bool,
    /// Print the names of all templates
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

/// The task that the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Run the server.
    Serve(Box<Config>),
    /// Compile every handler; whether warnings count.
    Check(Box<Config>, Format, bool),
    /// Print every path.
    Routes(Handlers, Box<Script>),
    /// Write a new handler of this name into this folder, and whether tests, too.
    New(PathBuf, String, &'static Template, bool),
    /// Run tests of the handlers in this folder.
    Test(Handlers, Box<Script>, Tested),
    /// Print the names of the templates.
    Templates,
    /// Write a new handler of this name into this folder, from a recording.
    NewFrom(PathBuf, String, PathBuf),
    /// Talk to a server.
    Connect(Box<Connect>),
    /// Stand between a client and a server.
    Proxy(Box<Proxy>),
    /// Replay recordings.
    Replay(Box<Replay>),
    /// Print a configuration.
    Config(Effective),
    /// Print the reference.
    Api,
    /// Print what the reference says about this name.
    Entry(String),
    /// Write definition files into a folder.
    Definitions(PathBuf),
    /// Print a shell's completions.
    Completions(Shell),
    /// Print the manual page of the program or of a command.
    Man(Option<String>),
}

impl Cli {
    /// Reads the command line, the environment and the configuration file; ends the process when
    /// the command line is wrong, or asks for help.
    pub fn read() -> Result<(Self, Given)> {
        let command = Self::command();
        let written = help::matches(&command);
        let config = given::innermost(&written).get_one::<PathBuf>("config");
        let (matches, file) = match config.cloned() {
            None => (written, None),
            Some(path) => {
                let values = file::read(&path, &command)?;
                let matches = help::matches(&file::with_defaults(command, &values));
                (matches, Some((path, values)))
            }
        };
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Ok((cli, Given::new(matches, file)))
    }

    /// Returns the task of the command line; `given` has the sources of its settings.
    pub fn task(self, given: Given) -> Result<Task> {
        Ok(match self.command {
            Some(Command::Check {
                settings,
                format,
                strict,
            }) => {
                let config = checked(settings.config()?, &given);
                Task::Check(Box::new(config), format, strict)
            }
            Some(Command::Routes(look)) => {
                let handlers = look.folder.into();
                let script = Box::new(look.power.script(&handlers));
                Task::Routes(handlers, script)
            }
            Some(Command::Replay(again)) => Task::Replay(Box::new(again.options()?)),
            Some(Command::Proxy(proxy)) => Task::Proxy(Box::new(proxy.options()?)),
            Some(Command::New(new)) => match new.name {
                Some(name) => match new.from {
                    Some(har) => Task::NewFrom(new.root.websock_handlers, name, har),
                    None => Task::New(new.root.websock_handlers, name, new.template, new.with_test),
                },
                None => Task::Templates,
            },
            Some(Command::Test(test)) => {
                let tested = Tested {
                    paths: test.paths,
                    filter: test.filter,
                    results: test.format,
                    watch: test.watch,
                    seed: test.seed,
                    coverage: test.coverage,
                };
                let handlers = test.look.folder.into();
                let script = Box::new(test.look.power.script(&handlers));
                Task::Test(handlers, script, tested)
            }
            Some(Command::Api {
                name: Some(name), ..
            }) => Task::Entry(name),
            Some(Command::Api { definitions, .. }) => {
                definitions.map_or(Task::Api, Task::Definitions)
            }
            Some(Command::Connect(dial)) => Task::Connect(Box::new(dial.options()?)),
            Some(Command::Completions { shell }) => Task::Completions(shell),
            Some(Command::Man { command }) => Task::Man(command),
            Some(Command::Config(serve)) => {
                for warning in checked(serve.config()?, &given).warnings {
                    observe::warn(&warning);
                }
                Task::Config(Effective::new(&Self::command(), &given))
            }
            None => Task::Serve(Box::new(Config {
                at_terminal: self.log.at_terminal(),
                ..checked(self.serve.config()?, &given)
            })),
        })
    }
}

/// A configuration, with what was written in vain.
fn checked(mut config: Config, given: &Given) -> Config {
    config.warnings.extend(vain::warnings(given, &config));
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    let names = names.iter().map(std::ffi::OsString::as_os_str);
    let unknown = environment::warnings(names, &Cli::command(), &config.script.env);
    config.warnings.extend(unknown);
    config
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
