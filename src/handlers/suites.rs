//! Files of tests: found beside the handlers, and never served.

use std::collections::BTreeMap;
use std::io;

use super::scan::{self, Scan, Stamp};
use super::{is_handler, is_test};
use crate::config;
use crate::config::limits::SCRIPT;
use crate::file::{self, Disk};
use crate::script::{self, Checker, Fault, Host, Library, Tests, Unreadable};

/// The scripts of a folder as they are now.
#[derive(Debug)]
pub struct Suites {
    scan: Scan,
}

impl Suites {
    /// Looks at the folder. `Err` only if the root itself cannot be read.
    pub fn look(config: &config::Handlers) -> io::Result<Self> {
        let scan = scan::scan(config, &mut Disk::default())?;
        Ok(Self { scan })
    }

    /// Whether nothing has changed since the other look.
    pub fn is_as(&self, other: &Self) -> bool {
        self.stamps() == other.stamps()
    }

    fn stamps(&self) -> &BTreeMap<String, Stamp> {
        &self.scan.files
    }

    /// The files of tests, by name below the root.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let names = self.scan.files.keys().map(String::as_str);
        names.filter(|file| is_test(file))
    }

    /// Reads these files of tests, as scripts of this host.
    pub fn read<'f>(
        &self,
        host: &Host,
        files: impl Iterator<Item = &'f str>,
    ) -> Vec<Result<Tests, Fault>> {
        let text = |file: &str| {
            let text = file::read_text(&self.scan.path(file), SCRIPT.source + 1);
            text.map_err(Unreadable::from)
        };
        let mut library = Library::default();
        for file in self.stamps().keys().filter(|file| !is_handler(file)) {
            if let Some(name) = file.strip_suffix(script::SUFFIX) {
                library.set(name, Some(text(file)));
            }
        }
        let mut checker = Checker::new(host, &mut library);
        files.map(|file| checker.tests(file, &text(file))).collect()
    }
}
