//! `api`: the reference of handlers, for people and for their editors.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::print;
use crate::script::reference;

/// Prints the reference, or writes definition files into a folder and says which.
pub fn api(definitions: Option<&Path>) -> Result<ExitCode> {
    let Some(folder) = definitions else {
        print(&reference::markdown());
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    for (name, text) in reference::definitions() {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        print(&format!("wrote {}\n", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}
