//! A file that refers to others.

use std::rc::Rc;

use super::references::References;

/// A file of a source, with the modules that its imports name.
#[derive(Debug)]
pub struct File {
    /// Its name below the handler folder.
    pub name: String,
    /// What it refers to.
    pub references: Rc<References>,
}
