//! A file that refers to others.

use std::rc::Rc;

use super::references::References;

/// A file of a source, with the modules that its imports name.
#[derive(Debug)]
pub struct File {
    /// Its name below the handler folder.
    pub name: String,
    /// References of the file, and the names that it offers to others.
    pub references: Rc<References>,
}
