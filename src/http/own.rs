//! WebSockets of the server's own: the console, and pages that are being developed.

use std::rc::Rc;
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::sync::OwnedSemaphorePermit;

use super::respond::Refusal;
use super::response::{Body, Response};
use super::site::Site;
use super::upgrade::{Server, Upgrade};
use crate::console::{self, ApiRequest, Console, Desk, Door, Preview, Session};
use crate::websocket::Transport;

/// One of them, with its place among those that there may be.
pub struct Own {
    console: Arc<Console>,
    is_console: bool,
    place: OwnedSemaphorePermit,
}

impl Own {
    /// The one at a path, if it is there.
    pub fn at(path: &str, console: &Arc<Console>) -> Option<Result<Self, Refusal>> {
        let is_console = match path {
            console::LIVE => true,
            console::PREVIEW => false,
            _ => return None,
        };
        let place = match is_console {
            true => console.place(),
            false => console.place_of_page(),
        };
        let refusal = || {
            Refusal::new(503, "as many of these are open as there may be: close one")
                .with_retry_after()
        };
        Some(place.ok_or_else(refusal).map(|place| Self {
            console: Arc::clone(console),
            is_console,
            place,
        }))
    }

    /// Opens it. `enter` takes streams in as if they had come from where it has.
    pub fn open<S, P>(
        self,
        upgrade: Upgrade<'_>,
        stream: S,
        permit: P,
        enter: Box<dyn Fn(DuplexStream)>,
    ) where
        S: Transport + 'static,
        P: Unpin + 'static,
    {
        let site = Rc::clone(upgrade.site);
        let reply = upgrade.plain_reply();
        let agreed = upgrade.agree(&reply.answer).ok().flatten();
        let server = Server {
            name: if self.is_console {
                "console"
            } else {
                "preview"
            }
            .into(),
            version: 1,
            is_seen: false,
        };
        let mut desk = desk(&site, self.console);
        let of = |name| upgrade.head.values(name).next().map(str::to_owned);
        desk.door = Some(Door {
            host: of("host").unwrap_or_default(),
            authorization: of("authorization"),
            enter,
        });
        let guard = (permit, self.place);
        if self.is_console {
            upgrade.open(stream, reply, agreed, server, |_| Session::new(desk, guard));
        } else {
            upgrade.open(stream, reply, agreed, server, |_| Preview::new(desk, guard));
        }
    }
}

/// What a console reaches from a worker.
fn desk(site: &Rc<Site>, console: Arc<Console>) -> Desk {
    let site = Rc::clone(site);
    Desk {
        console,
        runtime: Rc::clone(&site.runtime),
        generation: Box::new(move || site.generation.borrow().clone()),
        door: None,
    }
}

/// Does an operation of the console.
pub async fn operate(site: &Rc<Site>, console: Arc<Console>, request: &ApiRequest) -> Response {
    let desk = desk(site, console);
    let (status, answer) = Box::pin(console::answer(&desk, request)).await;
    Response::new(status)
        .header("Content-Type", "application/json")
        .header("Cache-Control", "no-store")
        .header("X-Content-Type-Options", "nosniff")
        .with(Body::of(answer.to_string().into_bytes()))
}
