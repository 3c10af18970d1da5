//! The changes that a look at the folder found, for the log.

use crate::script::Fault;

/// What one look found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that serve for the first time.
    pub added: Vec<String>,
    /// Files whose new version serves, each with the modules whose change is in it.
    pub reloaded: Vec<(String, Vec<String>)>,
    /// Files that are gone.
    pub removed: Vec<String>,
    /// Faults of newest versions that do not serve, each with the files that it keeps back: a
    /// module's fault keeps back all that import it.
    pub broken: Vec<(Fault, Vec<String>)>,
    /// Other faults to log.
    pub problems: Vec<Fault>,
    /// Problems logged before that are none any more: by file, with the message to log.
    pub over: Vec<(String, String)>,
}
