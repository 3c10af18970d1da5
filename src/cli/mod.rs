//! Flags and subcommands: what was written on the command line, in the environment and in the configuration file, and
//! what it asks for.

mod environment;
pub mod file;
mod help;
mod predecessor;
mod serve;
mod vain;
pub mod value;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::{Effective, Format, TEMPLATES, Template};
use crate::config::{Config, Handlers, Script, nearest};
use crate::observe::Filter;
use serve::{Serve, Settings};

/// A WebSocket server whose handlers are small Rhai scripts in a folder
///
/// Drop NAME_wsh.rhai into the folder, and ws://HOST:PORT/NAME answers; save it, and the next message of every open
/// connection runs the new code.
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
    /// What is logged, and where.
    #[command(flatten)]
    pub log: Log,
}

/// Heads what every subcommand takes.
const GENERAL: &str = "Configuration and log";

/// What is logged, and where.
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
    /// A level, or off, or TARGET=LEVEL items with commas. Targets are server, http, websocket, handlers, script, access, and print for what scripts print. What no item names has the
    /// level that stands alone, or info: warn,http=debug.
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
}

impl Log {
    /// Whether somebody watches it at a terminal.
    pub fn at_terminal(&self) -> bool {
        self.log_file.is_none() && std::io::stderr().is_terminal()
    }
}

/// Heads what only `check` takes.
const CHECK: &str = "Check";

#[derive(Debug, Subcommand)]
enum Command {
    /// Find mistakes in handlers without running them
    ///
    /// Compiles every handler, opens what the configuration names, and prints every problem. Exit status 1 if a handler
    /// would not serve, 2 if the server would not start.
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
    /// Print the settings in force, and where each comes from
    ///
    /// They are those that a server with these flags, this environment and this configuration file would have, as a
    /// configuration file.
    Config(Box<Serve>),
    /// Print the reference of hooks and functions
    ///
    /// Of everything that a handler may define and call, or of one of them: `api ws.send`, `api send`, `api transfer_data`, or
    /// a package, `api json`.
    Api {
        /// A hook, a function with or without what it is called on, or a package [default: everything]
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
    /// Let scripts break the protocol, to test clients
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
    /// Compile every handler; whether warnings count.
    Check(Box<Config>, Format, bool),
    /// Print every path.
    Routes(Handlers, Box<Script>),
    /// Write a new handler of this name into this folder.
    New(PathBuf, String, &'static Template),
    /// Print the names of the templates.
    Templates,
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
    /// Reads the command line, the environment and the configuration file; ends the process when the command line is
    /// wrong, or asks for help.
    pub fn read() -> Result<(Self, Given)> {
        let command = Self::command();
        let written = help::matches(&command);
        let mut given = Given::default();
        let config = innermost(&written).get_one::<PathBuf>("config").cloned();
        let matches = match config {
            None => written,
            Some(path) => {
                given.file = file::read(&path, &command)?;
                given.path = Some(path);
                help::matches(&file::with_defaults(command, &given.file))
            }
        };
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        given.matches = matches;
        Ok((cli, given))
    }

    /// What is asked for, with what was given as configuration.
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
                Task::Routes(look.folder.into(), Box::new(look.power.into()))
            }
            Some(Command::New(new)) => match new.name {
                Some(name) => Task::New(new.root.websock_handlers, name, new.template),
                None => Task::Templates,
            },
            Some(Command::Api {
                name: Some(name), ..
            }) => Task::Entry(name),
            Some(Command::Api { definitions, .. }) => {
                definitions.map_or(Task::Api, Task::Definitions)
            }
            Some(Command::Completions { shell }) => Task::Completions(shell),
            Some(Command::Man { command }) => Task::Man(command),
            Some(Command::Config(serve)) => {
                for warning in checked(serve.config()?, &given).warnings {
                    tracing::warn!("{warning}");
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

/// What was written where.
#[derive(Debug, Default)]
pub struct Given {
    matches: ArgMatches,
    path: Option<PathBuf>,
    file: file::Values,
}

impl Given {
    /// The flags of the subcommand, or of the server.
    pub fn matches(&self) -> &ArgMatches {
        innermost(&self.matches)
    }

    /// Whether a setting was written anywhere.
    fn has(&self, key: &str) -> bool {
        let source = self.matches().value_source(&key.replace('-', "_"));
        let written = [ValueSource::CommandLine, ValueSource::EnvVariable];
        source.is_some_and(|source| written.contains(&source)) || self.file.contains_key(key)
    }

    /// The configuration file, and its values.
    pub fn file(&self) -> Option<(&Path, &file::Values)> {
        Some((self.path.as_deref()?, &self.file))
    }
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches
        .subcommand()
        .map_or(matches, |(_, matches)| innermost(matches))
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

impl Power {
    /// Variables that scripts may read and that are not there, a sentence each.
    fn warnings(&self) -> Vec<String> {
        let names: Vec<_> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect();
        let missing = self.allow_env.iter().filter(|name| !names.contains(name));
        let warning = |name: &String| {
            let advice = nearest(name, names.iter().map(String::as_str))
                .map(|meant| format!("; did you mean {meant}?"));
            format!(
                "--allow-env {name}: the environment has no such variable{}",
                advice.unwrap_or_default()
            )
        };
        missing.map(warning).collect()
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
