//! What is compiled: a handler's file and the modules that it imports, as read.

use std::collections::BTreeSet;
use std::sync::Arc;

/// A handler's file as read: what crosses threads, since a compiled script belongs to one worker.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name below the handler folder, with `/`.
    pub file: String,
    /// Source text of the file.
    pub text: String,
    /// Counts the versions of this file that were served.
    pub version: u64,
    /// The modules that it imports, directly or not, each behind those that it imports itself.
    pub modules: Vec<Arc<ModuleText>>,
}

impl Source {
    /// Returns the text of one of its files, its own or a module's.
    pub fn text_of(&self, file: &str) -> &str {
        let mut texts = self.texts();
        texts
            .find(|(name, _)| *name == file)
            .map_or("", |(_, text)| text)
    }

    /// Every file of it with what it says.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let modules = self
            .modules
            .iter()
            .map(|module| (module.file.as_str(), module.text.as_str()));
        modules.chain([(self.file.as_str(), self.text.as_str())])
    }
}

/// The end of a module's file name, which an import leaves out.
pub const SUFFIX: &str = ".rhai";

/// A module's file as read.
#[derive(Debug, PartialEq, Eq)]
pub struct ModuleText {
    /// The file's name below the handler folder, with `/`.
    pub file: String,
    /// Source text of the file.
    pub text: String,
    /// Another for every other text, and whenever a module that it imports has another.
    pub version: u64,
    /// The names of the modules that it imports.
    pub imports: BTreeSet<String>,
}

impl ModuleText {
    /// Returns the module's name in an import.
    pub fn name(&self) -> &str {
        self.file.strip_suffix(SUFFIX).unwrap_or(&self.file)
    }
}
