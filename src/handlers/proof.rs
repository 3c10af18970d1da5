//! What new versions have to stand before they serve.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::registry::Generation;
use crate::script::Fault;

/// A proof that new versions have to stand before they serve.
pub trait Proof: Debug + Send {
    /// Tries a generation in which these files are new: those that are not to serve, and why. It
    /// holds up all that was saved, and so has an end.
    fn refused(&mut self, generation: Generation, files: &BTreeSet<String>)
    -> Vec<(String, Fault)>;
}
