//! The subcommands, one file each; every one gives the process's exit code.

mod check;
mod routes;
mod serve;

pub use check::check;
pub use routes::routes;
pub use serve::serve;
