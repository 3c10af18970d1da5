//! A folder to the current generation: which path is answered by which script.
//!
//! `scan` walks the folder, and `texts` reads what has come to rest in it. `trial` makes handlers
//! of texts, `path` turns file names into routes, `registry` holds one immutable [`Generation`].
//! `suites` finds the files of tests, which are not served.
//! `proof` is what new versions have to stand.
//! `reconcile` makes the next one when something has changed, and `watch` has it look. `aliases` is
//! the map file; `near` names what is no handler and was probably meant as one; `standing` says
//! what is wrong once, and once more when it is over.

mod aliases;
mod near;
mod path;
mod proof;
mod reconcile;
mod registry;
mod report;
mod scan;
mod standing;
mod suites;
mod texts;
mod trial;
mod watch;

use std::time::Duration;

pub(crate) use path::IGNORED_PREFIXES;
pub use path::{PathError, Route, SUFFIX, decode_path};
pub(crate) use proof::Proof;
pub(crate) use reconcile::Reconciler;
pub(crate) use registry::{Entry, Found, Generation, PAGES};
pub(crate) use report::Report;
pub(crate) use suites::Suites;

/// Debounce time: a file must stay unchanged for so long before it is read, which is longer than an
/// editor pauses between two writes.
const STILL: Duration = Duration::from_millis(25);
/// Upper bound on the wait for a file that never stays unchanged.
const LONGEST: Duration = Duration::from_millis(500);

/// What the name of a file of tests ends with.
const TESTS: &str = "_test.rhai";

/// Whether a script is a file of tests, by its name.
fn is_test(file: &str) -> bool {
    file.ends_with(TESTS)
}

/// Whether a file is a handler by its name; other scripts are modules.
fn is_handler(file: &str) -> bool {
    file.ends_with(SUFFIX)
}
