//! What a request is for: an upgrade, a page, a file, or nothing that is here.

use std::sync::Arc;

use super::client::Client;
use super::files::Files;
use super::head::{self, Head};
use super::own::Own;
use super::pages;
use super::respond::Refusal;
use super::response::Response;
use super::site::Site;
use super::upgrade::Target;
use crate::console::{self, ApiRequest, Console};
use crate::handlers::{Entry, Found, PAGES, decode_path};
use crate::script::Hook;

/// The way to answer a request: an upgrade, a response or a file.
pub enum Decision {
    /// A WebSocket of the server's own.
    Own(Own),
    /// An operation of the console, which may take a while.
    Operation(Arc<Console>, ApiRequest),
    /// A connection to a handler, at this path.
    Upgrade(Target, String),
    /// This.
    Respond(Response),
    /// A request that a handler answers, at this path.
    Exchange(Target, String),
    /// The file at this path, which is still to be read.
    File(Arc<Files>, String),
}

/// The id of a refusal for a handler without a version that compiles.
pub const BROKEN: &str = "broken";

/// Decides, for a client that has been admitted.
pub fn decide(site: &Site, head: &Head, client: &Client) -> Result<Decision, Refusal> {
    if head.is_for_server() {
        head.check_empty()?;
        let response = Response::new(204).header("Allow", head::METHODS);
        return Ok(Decision::Respond(response));
    }
    let path = decode_path(head.path())
        .map_err(|error| Refusal::new(400, error.to_string()).named("path"))?;
    let generation = site.generation.borrow().clone();
    let found = generation.find(&path);
    if !head.is_upgrade()
        && let Some(found) = &found
        && found.entry.hooks.contains(&Hook::OnRequest)
        && !found.file.starts_with(PAGES)
        && let Some(source) = &found.entry.source
    {
        let target = Target {
            source: Arc::clone(source),
            params: found.params.clone(),
        };
        return Ok(Decision::Exchange(target, path));
    }
    head.check_empty()?;
    if head.is_upgrade() {
        head.check_upgrade()?;
        if site.shared.is_draining() {
            return Err(Refusal::draining());
        }
        if let Some(console) = &site.settings.console
            && let Some(own) = Own::at(&path, console)
        {
            return match pages::console_is_for(site, head, client) {
                true => own.map(Decision::Own),
                false => Err(Refusal::new(
                    403,
                    "this is for pages of this server, on this machine or behind a password",
                )),
            };
        }
        let Some(found) = found else {
            return Err(Refusal::new(404, "no handler has this path"));
        };
        let Found { entry, params, .. } = found;
        let is_for_messages = |hook: &Hook| matches!(hook, Hook::TransferData | Hook::TransferLoop);
        if entry.source.is_some() && !entry.hooks.iter().any(is_for_messages) {
            return Err(Refusal::new(
                400,
                "this is no WebSocket resource: it answers requests",
            ));
        }
        return match &entry.source {
            Some(source) => Ok(Decision::Upgrade(
                Target {
                    source: Arc::clone(source),
                    params,
                },
                path,
            )),
            None => Err(
                Refusal::new(500, "the handler is broken; the server's log says where")
                    .named(BROKEN),
            ),
        };
    }
    let has_pages = pages::are_for(site, head, client);
    let has_console = site.settings.console.is_some() && pages::console_is_for(site, head, client);
    if has_console
        && path.starts_with(console::API)
        && !pages::is_foreign(head)
        && let Some(console) = &site.settings.console
    {
        let request = ApiRequest {
            method: head.method().to_owned(),
            path,
            query: head.query().unwrap_or_default().to_owned(),
        };
        return Ok(Decision::Operation(Arc::clone(console), request));
    }
    if has_console
        && let Some(console) = &site.settings.console
        && let Some(response) = pages::of_console(head, &path, console)
    {
        return Ok(Decision::Respond(response));
    }
    if has_pages && let Some(found) = pages::asset(head, &path, &generation) {
        return found
            .map(Decision::Respond)
            .ok_or_else(|| Refusal::new(404, "nothing has this path"));
    }
    if let Some(Found { entry, file, .. }) = found {
        return if head.method() == "OPTIONS" {
            let response = Response::new(204).header("Allow", METHODS);
            Ok(Decision::Respond(response))
        } else if has_pages && head.wants_page() {
            let page = pages::of_handler(head, &path, file, entry);
            Ok(Decision::Respond(page))
        } else {
            Err(refuse_plain(head, entry, has_pages))
        };
    }
    match &site.settings.files {
        Some(files) => Ok(Decision::File(Arc::clone(files), path)),
        None => Err(Refusal::new(404, "nothing has this path")),
    }
}

/// The methods that handlers know, as `Allow` has them.
const METHODS: &str = "GET, OPTIONS";

/// A request without an upgrade on a handler's path. `tells`: what is wrong with the handler may be
/// said.
fn refuse_plain(head: &Head, entry: &Entry, tells: bool) -> Refusal {
    if !matches!(head.method(), "GET" | "HEAD") {
        return Refusal::new(405, "this is a WebSocket resource").header("Allow", METHODS);
    }
    let refusal = match entry.source {
        Some(_) => Refusal::new(
            426,
            "this is a WebSocket resource: open it with new WebSocket(\"ws://…\"), or over \
            TLS \"wss://…\"",
        )
        .header("Upgrade", "websocket"),
        None => Refusal::new(500, "the handler is broken; the server's log says where"),
    };
    match &entry.fault {
        Some(fault) if tells => refusal.adding(&format!("\n\n{fault}")),
        _ => refusal,
    }
}
