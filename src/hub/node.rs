//! This process among others that share a broker: the name by which they know what comes from it.

use std::fmt;

/// A node's name, which no other process has, nor this one after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

impl Node {
    /// A new name.
    pub fn new() -> Self {
        Self(fastrand::u64(1 << 60..))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}
