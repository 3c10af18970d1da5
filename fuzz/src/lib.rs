//! Generated scripts, and a server in small that runs them: for cargo-fuzz, and for a test that is bounded in time.

pub mod generate;
mod run;

pub use run::run;
