//! The log, with whose line it is.

use tracing::Level;

use super::{Allowed, Function, Package};
use crate::script::caller;

/// The functions that log.
pub const PACKAGE: Package = Package {
    name: "log",
    about: "A line of the server's log, with the handler, the hook and the connection. One event is one line: line breaks and other control \
            characters are escaped, and what is longer than 8 KiB is cut. What one file logs beyond 2,000 lines or 1 MiB a second \
            (on one worker) is not logged but counted, in a line of its own. Rhai's own `print(value)` logs as `info` does, \
            `debug(value)` at level debug, which is shown with `--log-level debug`.",
    functions: &[
        Function {
            signatures: &["info(text: string)"],
            about: "Something worth knowing.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "info(`${ws.id} said ${message}`);",
            register: |engine, _| {
                engine.register_fn("info", |text: &str| caller::log(Level::INFO, text));
            },
        },
        Function {
            signatures: &["warn(text: string)"],
            about: "Something that should not be, and does no harm.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "warn(\"no name given, using 'guest'\");",
            register: |engine, _| {
                engine.register_fn("warn", |text: &str| caller::log(Level::WARN, text));
            },
        },
        Function {
            signatures: &["error(text: string)"],
            about: "Something that failed. The connection stays; `throw` ends it.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "try { parse_json(message) } catch (e) { error(e.message); }",
            register: |engine, _| {
                engine.register_fn("error", |text: &str| caller::log(Level::ERROR, text));
            },
        },
    ],
};
