//! What of the log's events somebody who looks on is told: what was saved, and what scripts print.

use serde_json::json;

use super::faults::save;
use super::journal::JOURNAL;
use super::switch::{is_looked_at, is_on, now};
use crate::observe::event::Event;

/// Hears an event.
pub fn hear(event: &Event<'_>) {
    if !is_on() {
        return;
    }
    match event {
        Event::HandlerAdded { file } => save("handler-added", file, ""),
        Event::HandlerReloaded { file, modules } => {
            save("handler-reloaded", file, modules.unwrap_or_default());
        }
        Event::HandlerRemoved { file } => save("handler-removed", file, ""),
        Event::HandlerBroken { file, plain, .. } => {
            save("handler-broken", file, &plain.to_string());
        }
        Event::Rehearsed {
            file,
            connections,
            messages,
            ..
        } => {
            let text = format!("{connections} connections, {messages} messages");
            save("rehearsed", file, &text);
        }
        Event::RehearsalDiffers { file, plain, .. } => {
            save("rehearsal-differs", file, &plain.to_string());
        }
        Event::RehearsalProblem { file, problem } => {
            save("rehearsal-problem", file, &problem.to_string());
        }
        Event::HandlerDoubt { file, plain, .. } => save("handler-doubt", file, &plain.to_string()),
        Event::HandlerProblem { file, problem } => save("handler-problem", file, problem),
        Event::ProblemOver { file, what } => save("problem-over", file, what),
        Event::LoadFault { file, plain, .. } => save("load-fault", file, &plain.to_string()),
        Event::PrintedError {
            handler,
            hook,
            connection,
            line,
        } => printed("error", *handler, *hook, *connection, line),
        Event::PrintedWarning {
            handler,
            hook,
            connection,
            line,
        } => printed("warn", *handler, *hook, *connection, line),
        Event::PrintedInfo {
            handler,
            hook,
            connection,
            line,
        } => printed("info", *handler, *hook, *connection, line),
        Event::PrintedDebug {
            handler,
            hook,
            connection,
            line,
        } => printed("debug", *handler, *hook, *connection, line),
        _ => {}
    }
}

/// A line of a script.
fn printed(
    level: &str,
    handler: Option<&str>,
    hook: Option<&str>,
    connection: Option<u64>,
    line: &str,
) {
    if is_looked_at() && JOURNAL.admits(false) {
        let row = json!({
            "kind": "printed", "time": now(), "level": level, "handler": handler, "hook": hook,
            "connection": connection, "text": line,
        });
        JOURNAL.add(None, &row.to_string());
    }
}
