//! The flags of the handler folder and of what its scripts may do.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::config::{Destination, Destinations, Evaluator, Fixtures, Handlers, Script, nearest};

/// The folder that handlers are in, for commands that write to it, too.
#[derive(Debug, Args)]
pub(super) struct Root {
    /// Folder of handlers, NAME_wsh.rhai
    #[arg(
        short,
        long,
        alias = "websock_handlers",
        value_name = "DIR",
        default_value = ".",
        env = "WSH_WEBSOCK_HANDLERS"
    )]
    pub(super) websock_handlers: PathBuf,
}

/// Flags that grant scripts permissions beyond the default.
#[derive(Debug, Args)]
pub(super) struct Power {
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
    /// Let scripts connect to this host: NAME, ADDRESS or NETWORK, with :PORT if only there; may
    /// be given several times
    #[arg(
        long,
        alias = "allow_connect",
        value_name = "HOST",
        env = "WSH_ALLOW_CONNECT",
        value_delimiter = ','
    )]
    allow_connect: Vec<Destination>,
    /// Let scripts read files of the handler folder
    #[arg(
        long,
        alias = "allow_files",
        env = "WSH_ALLOW_FILES",
        value_parser = BoolishValueParser::new()
    )]
    allow_files: bool,
    /// What runs hooks: "compiled" translates them when they are loaded
    ///
    /// What a script does is the same with "rhai", Rhai's own evaluator, to the letter. A
    /// difference is a fault of this server: please report it, and use "rhai" until it is mended.
    #[arg(
        long,
        default_value = "compiled",
        value_name = "EVALUATOR",
        value_parser = EVALUATORS,
        env = "WSH_EVALUATOR"
    )]
    evaluator: String,
}

/// The evaluators by name, the reference first.
const EVALUATORS: [&str; 2] = ["rhai", "compiled"];

/// The handlers that are served.
#[derive(Debug, Args)]
pub(super) struct Folder {
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

impl From<Folder> for Handlers {
    fn from(folder: Folder) -> Self {
        Self {
            root: folder.root.websock_handlers,
            scan_dir: folder.scan_dir,
            map_file: folder.websock_handlers_map_file,
            outside_root: folder.allow_handlers_outside_root_dir,
            alone: None,
        }
    }
}

impl Power {
    /// What the scripts of these handlers may do.
    pub(super) fn script(self, handlers: &Handlers) -> Script {
        let fixtures = self.allow_files.then(|| Fixtures {
            root: handlers.root.clone(),
            outside_root: handlers.outside_root,
        });
        Script {
            allow_raw: self.allow_raw,
            env: Arc::from(self.allow_env),
            connect: Destinations::from(self.allow_connect),
            files: fixtures.map(Arc::new),
            evaluator: match self.evaluator == EVALUATORS[0] {
                true => Evaluator::Rhai,
                false => Evaluator::Compiled,
            },
            ..Script::default()
        }
    }

    /// Variables that scripts may read and that are not there, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
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
