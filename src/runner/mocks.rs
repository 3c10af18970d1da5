//! What a test has said of servers elsewhere, and what these were asked.

use std::cell::RefCell;

use rhai::{Dynamic, ImmutableString, Map};

/// What a test has said of other servers, and what these were asked.
#[derive(Debug, Default)]
pub struct Mocks {
    /// Answers of HTTP, by how a URL begins; the last that fits counts.
    pub http: RefCell<Vec<(ImmutableString, Dynamic)>>,
    /// Paths of handlers that answer for WebSockets, likewise.
    pub dialed: RefCell<Vec<(ImmutableString, ImmutableString)>>,
    /// The requests so far, by their URLs.
    pub asked: RefCell<Vec<(String, Map)>>,
}
