//! The run in order: flags, logging, the task, the exit code.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use wsh_server::cli::{Cli, Given, Task};
use wsh_server::observe::Log;
use wsh_server::{commands, observe, script};

#[global_allocator]
static ALLOCATOR: script::Heap = script::Heap;

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(FAILURE)
    })
}

/// The exit code of a program that could not do what it was asked for.
const FAILURE: u8 = 2;

fn run() -> Result<ExitCode> {
    let (cli, given) = Cli::read()?;
    let written = &cli.log;
    let log = observe::init(
        &written.log_level,
        written.log_file.as_deref(),
        written.log_format,
    )?;
    // What it fails for is the last that the log says.
    task(cli, given, &log).or_else(|error| {
        observe::fail(&error);
        Ok(ExitCode::from(FAILURE))
    })
}

fn task(cli: Cli, given: Given, log: &Log) -> Result<ExitCode> {
    match cli.task(given)? {
        Task::Serve(config) => commands::serve(*config, log),
        Task::Check(config, format, strict) => commands::check(*config, format, strict),
        Task::Routes(handlers, script) => commands::routes(handlers, *script),
        Task::New(root, name, template, with_test) => {
            commands::new(&root, &name, template, with_test)
        }
        Task::NewFrom(root, name, har) => commands::new_from(&root, &name, &har),
        Task::Replay(options) => commands::replay(*options),
        Task::Proxy(options) => commands::proxy(*options),
        Task::Test(handlers, script, tested) => commands::test(&handlers, &script, &tested),
        Task::Templates => commands::templates(),
        Task::Connect(options) => commands::connect(*options),
        Task::Config(effective) => commands::config(&effective),
        Task::Api => commands::api(),
        Task::Entry(name) => commands::entry(&name),
        Task::Definitions(folder) => commands::definitions(&folder),
        Task::Completions(shell) => commands::completions(Cli::command(), shell),
        Task::Man(command) => commands::man(Cli::command(), command.as_deref()),
    }
}
