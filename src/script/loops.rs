//! Connections whose `transfer_data(ws)` runs: each stays on the version of the handler that its
//! loop began in, with all its hooks, so that no local variable is lost and no message is taken for
//! the answer to another question.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use super::program::Program;

/// Number of running loops in the process, by file and version: whoever saves a file is told. It is
/// locked once at a loop's beginning and once at its end.
static LOOPS: Mutex<BTreeMap<String, BTreeMap<u64, usize>>> = Mutex::new(BTreeMap::new());

/// A connection's loop, and what the connection stays on because of it.
#[derive(Debug)]
pub struct Loop {
    /// Program that the loop began in.
    pub program: Rc<Program>,
    is_over: Cell<bool>,
}

impl Loop {
    /// One that begins.
    pub fn begin(program: &Rc<Program>) -> Self {
        let source = &program.source;
        let mut loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = loops.entry(source.file.clone()).or_default();
        *versions.entry(source.version).or_default() += 1;
        Self {
            program: Rc::clone(program),
            is_over: Cell::new(false),
        }
    }

    /// The connection is at its end: it is not counted any more.
    pub fn end(&self) {
        if self.is_over.replace(true) {
            return;
        }
        let source = &self.program.source;
        let mut loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(versions) = loops.get_mut(&source.file) else {
            return;
        };
        if let Some(count) = versions.get_mut(&source.version) {
            *count -= 1;
        }
        versions.retain(|_, count| *count > 0);
        if versions.is_empty() {
            loops.remove(&source.file);
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the number of connections that run a loop of a file in another version than this one, by
/// version.
pub fn of_other_versions(file: &str, version: u64) -> Vec<(u64, usize)> {
    let loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
    let versions = loops.get(file).into_iter().flatten();
    versions
        .map(|(version, count)| (*version, *count))
        .filter(|(other, _)| *other != version)
        .collect()
}
