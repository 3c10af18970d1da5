//! `api`: the reference of handlers, for people and for their editors.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::print;
use crate::script::reference;

/// Prints the reference.
pub fn api() -> Result<ExitCode> {
    print(&reference::markdown());
    Ok(ExitCode::SUCCESS)
}

/// Prints what the reference says about a name: a function, a hook or a package.
pub fn entry(name: &str) -> Result<ExitCode> {
    match reference::entry(name) {
        Ok(text) => print(&text),
        Err(near) if near.is_empty() => {
            bail!("the reference has nothing of the name {name}: `wsh-server api` prints all of it")
        }
        Err(near) => bail!(
            "the reference has nothing of the name {name}; did you mean {}?",
            near.join(" or ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes definition files into a folder, and says which.
pub fn definitions(folder: &Path) -> Result<ExitCode> {
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    for (name, text) in reference::definitions() {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        print(&format!("wrote {}\n", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}
