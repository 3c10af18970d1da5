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
    /// Why the newest version of some files does not serve: a module's fault keeps back all that import it.
    pub broken: Vec<(Fault, Vec<String>)>,
    /// What else should be said.
    pub problems: Vec<Fault>,
    /// What should be said of problems that were said before and are none any more, by file.
    pub over: Vec<(String, String)>,
}
