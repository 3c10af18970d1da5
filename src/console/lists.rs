//! Lists that consoles are told of their own accord, and that can be asked for.

use serde_json::{Value, json};

use crate::handlers::Generation;
use crate::observe::live::{self, FAULTS};

/// All faults that are not mended.
pub fn faults() -> Vec<Value> {
    FAULTS.all().iter().map(live::Fault::to_json).collect()
}

/// The handlers that serve, with the faults of those that do not.
pub fn handlers(generation: &Generation) -> Vec<Value> {
    let routes = generation.routes();
    let entries = generation.entries.iter();
    entries
        .map(|(file, entry)| {
            let paths = routes.iter().filter(|(_, of)| of == file);
            let paths: Vec<_> = paths.map(|(path, _)| path).collect();
            let hooks: Vec<_> = entry.hooks.iter().map(|hook| hook.name()).collect();
            json!({
                "file": file, "paths": paths, "hooks": hooks, "store": format!("file:{file}"),
                "version": entry.source.as_ref().map(|source| source.version),
                "broken": entry.fault.as_ref().map(ToString::to_string),
            })
        })
        .collect()
}
