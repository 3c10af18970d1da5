//! The run in order: flags, logging, the task, the exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use wsh_server::cli::{Cli, Task};
use wsh_server::{commands, observe, script};

#[global_allocator]
static ALLOCATOR: script::Heap = script::Heap;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = observe::init(&cli.log_level) {
        eprintln!(
            "error: --log-level {:?}: {error}; try info, or info,wsh_server::http=debug",
            cli.log_level
        );
        return ExitCode::from(2);
    }
    let done = match cli.task() {
        Task::Serve(config) => commands::serve(*config),
        Task::Check(handlers, script, format) => commands::check(handlers, script, format),
        Task::Routes(handlers, script) => commands::routes(handlers, script),
        Task::New(root, name, template) => commands::new(&root, &name, template),
        Task::Templates => commands::templates(),
        Task::Api(definitions) => commands::api(definitions.as_deref()),
        Task::Completions(shell) => commands::completions(Cli::command(), shell),
        Task::Man(command) => commands::man(Cli::command(), command.as_deref()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
