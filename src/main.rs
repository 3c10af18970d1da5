//! The run in order: flags, logging, the task, the exit code.

use std::process::ExitCode;

use clap::Parser;
use wsh_server::cli::{Cli, Task};
use wsh_server::{commands, observe};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Task::Serve(config) => commands::serve(config),
        Task::Check(handlers) => commands::check(handlers),
        Task::Routes(handlers) => commands::routes(handlers),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
