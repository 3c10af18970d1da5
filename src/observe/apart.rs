//! A thread whose events are its own: what happens in a server that is only tried out is neither
//! logged nor counted nor shown to who looks on.

use std::cell::RefCell;

/// Reports that are kept: the first ones say what is wrong.
const MOST: usize = 3;

thread_local! {
    static REPORTS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// From now on this thread's events are its own.
pub fn begin() {
    REPORTS.set(Some(Vec::new()));
}

/// Whether they are.
pub fn is_here() -> bool {
    REPORTS.with_borrow(Option::is_some)
}

/// Keeps a report of what went wrong, if they are.
pub fn keep(report: impl FnOnce() -> String) {
    REPORTS.with_borrow_mut(|reports| {
        if let Some(reports) = reports.as_mut().filter(|reports| reports.len() < MOST) {
            reports.push(report());
        }
    });
}

/// Takes the reports that were kept.
pub fn take() -> Vec<String> {
    REPORTS.with_borrow_mut(|reports| reports.as_mut().map(std::mem::take).unwrap_or_default())
}
