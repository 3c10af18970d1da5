//! The requests of one connection, until one takes it over or it ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::asking::{Asking, FAULT};
use super::client::Client;
use super::decide::{BROKEN, Decision, decide};
use super::files::Files;
use super::finish::finish;
use super::head::{self, Head};
use super::refusals::{self, Kind};
use super::respond::Refusal;
use super::response::{Persistence, Response, SendPolicy};
use super::site::Site;
use super::upgrade::{REJECTED, Target, Unopened, Upgrade};
use super::{entrance, exchange, own, pages, trace};
use crate::config::limits;
use crate::handlers::Generation;
use crate::observe::event::{Event, Lazily, text};
use crate::observe::{access, one_line};
use crate::websocket::{Handle, Transport};

/// Answers one connection from its first byte on. `permit` is dropped when it ends.
pub async fn serve<S, P>(site: Rc<Site>, mut stream: S, client: Client, mut permit: P)
where
    S: Transport + 'static,
    P: Unpin + 'static,
{
    let id = Handle::next_id();
    let (mut behind, mut number) = (Vec::new(), 0);
    loop {
        number += 1;
        let head = match next_head(&site, &mut stream, behind, number == 1).await {
            Ok(Some(head)) => Ok(head),
            Ok(None) => return,
            Err(refusal) => Err(refusal),
        };
        let client = client.clone();
        // It takes several times the memory of what is above, which is all that a client has that
        // only connects.
        let answering = Box::pin(answer(&site, stream, head, client, id, number, permit));
        match answering.await {
            Some(kept) => (stream, permit, behind) = kept,
            None => return,
        }
    }
}

/// Takes streams in whose other end is in memory, as if they had come from this client.
fn entry(site: Rc<Site>, client: Client) -> Box<dyn Fn(DuplexStream)> {
    // Who it is, is found out anew.
    let client = Client {
        user: None,
        ..client
    };
    Box::new(move |stream| {
        tokio::task::spawn_local(serve(Rc::clone(&site), stream, client.clone(), ()));
    })
}

/// A stream that waits for its next request, with what has come of it.
type Kept<S, P> = (S, P, Vec<u8>);

/// Answers a request, or what is none.
async fn answer<S, P>(
    site: &Rc<Site>,
    mut stream: S,
    head: Result<Head, Refusal>,
    mut client: Client,
    id: u64,
    number: u32,
    permit: P,
) -> Option<Kept<S, P>>
where
    S: Transport + 'static,
    P: Unpin + 'static,
{
    let limits = &site.settings.limits.head;
    let head = match head {
        Ok(head) => head,
        Err(refusal) => {
            say_refused(site, &refusal, None, id, &client);
            refusal.trace(id, Persistence::Close);
            refusal.send(stream, limits.linger, false).await;
            return None;
        }
    };
    trace::head(id, "in", head.raw());
    let goes_on = head.leaves_open() && number < limits.requests && !site.shared.is_draining();
    let without_body = head.method() == "HEAD";
    // Before all questions: whoever probes names the server by its address, and has no password.
    let probe = entrance::probe(&site.settings, &head, &client);
    let is_probe = probe.is_some();
    let decision = match probe {
        Some(response) => Ok(Decision::Respond(response)),
        None => entrance::admit(&site.settings, &head, &mut client)
            .and_then(|()| decide(site, &head, &client)),
    };
    // The bytes that came behind the request, where somebody else has looked at them.
    let mut behind = None;
    let (head, answered) = match decision {
        Ok(Decision::Upgrade(target, path)) => {
            let upgrade = Upgrade {
                site,
                head,
                path,
                client,
                id,
            };
            open(upgrade, target, stream, permit).await;
            return None;
        }
        Ok(Decision::Own(own)) => {
            let path = head.path().to_owned();
            let enter = entry(Rc::clone(site), client.clone());
            let upgrade = Upgrade {
                site,
                head,
                path,
                client,
                id,
            };
            own.open(upgrade, stream, permit, enter);
            return None;
        }
        Ok(Decision::Operation(console, request)) => {
            let response = own::operate(site, console, &request).await;
            (head, Ok(response))
        }
        Ok(Decision::Exchange(target, path)) => {
            let asking = Asking {
                site,
                head: &head,
                client: &client,
                id,
            };
            // It takes memory that files need not have.
            let exchange = Box::pin(exchange::answer(&asking, target, &path, &mut stream));
            let (answered, more) = exchange.await?;
            behind = Some(more);
            (head, answered)
        }
        Ok(Decision::Respond(response)) => (head, Ok(response)),
        Ok(Decision::File(files, path)) => read_file(site, files, head, path).await?,
        Err(refusal) => {
            if head.is_upgrade() {
                say_no_handshake(&refusal, id, &client);
            }
            (head, Err(refusal))
        }
    };
    let answered = match answered {
        Err(refusal)
            if refusal.status == 404
                && head.wants_page()
                && pages::are_for(site, &head, &client) =>
        {
            let status = if head.path() == "/" { 200 } else { 404 };
            if status == 404 {
                let asked = (head.method(), head.path());
                say_refused(site, &refusal, Some(asked), id, &client);
            }
            Ok(pages::of_all(&head, status, &site.generation.borrow()))
        }
        answered => answered,
    };
    let then = match goes_on {
        true => Persistence::Keep(limits.keep_alive),
        false => Persistence::Close,
    };
    match answered {
        Ok(response) => {
            let pace = SendPolicy {
                turns: &site.turns,
                stall: Duration::from_secs(site.settings.limits.websocket.send.into()),
                connection: id,
            };
            // What has become of a page because nothing was there is said.
            let is_said = !is_probe && response.status != 404;
            if site.settings.access_log && is_said && access::is_wanted() {
                access::Answered {
                    connection: id,
                    method: head.method(),
                    path: head.path(),
                    client: &client.to_string(),
                    status: response.status,
                    bytes: if without_body { 0 } else { response.body.len() },
                }
                .log();
            }
            let sent = response.send(&mut stream, &pace, then, without_body).await;
            // The peer's leaving early is its own affair.
            sent.ok()?;
        }
        Err(refusal) if goes_on && refusal.leaves_open() => {
            let asked = (head.method(), head.path());
            say_refused(site, &refusal, Some(asked), id, &client);
            refusal.trace(id, then);
            let limits::Head {
                linger, keep_alive, ..
            } = *limits;
            let sending = refusal.send_and_keep(&mut stream, linger, keep_alive, without_body);
            sending.await.then_some(())?;
        }
        Err(refusal) => {
            let asked = (head.method(), head.path());
            say_refused(site, &refusal, Some(asked), id, &client);
            refusal.trace(id, Persistence::Close);
            refusal.send(stream, limits.linger, without_body).await;
            return None;
        }
    }
    if goes_on {
        let behind = behind.unwrap_or_else(|| head.into_rest());
        return Some((stream, permit, behind));
    }
    finish(stream, &[], limits.linger).await;
    None
}

/// Opens a connection to a handler, or tells the client why there is none.
async fn open<S, P>(upgrade: Upgrade<'_>, target: Target, mut stream: S, permit: P)
where
    S: Transport + 'static,
    P: Unpin + 'static,
{
    let site = upgrade.site;
    let asked = upgrade.ask(target, &mut stream).await;
    let agreed = asked.and_then(|(reply, prepared)| {
        let agreed = upgrade.agree(&reply.answer)?;
        Ok((reply, prepared, agreed))
    });
    match agreed {
        Ok((reply, prepared, agreed)) => {
            let server = prepared.server();
            let session = |accepted| prepared.session(site, accepted, permit);
            upgrade.open(stream, reply, agreed, server, session);
        }
        Err(Unopened::HandshakeFailure(refusal)) => {
            let Upgrade {
                path, client, id, ..
            } = &upgrade;
            say_no_handshake(&refusal, *id, client);
            say_refused(site, &refusal, Some(("GET", path)), *id, client);
            refusal.trace(*id, Persistence::Close);
            let linger = site.settings.limits.head.linger;
            refusal.send(stream, linger, false).await;
        }
        Err(Unopened::Dropped) => {}
    }
}

/// Reads a file on a thread that may wait for the disk, when it is this connection's turn; `None`
/// if that broke.
async fn read_file(
    site: &Site,
    files: Arc<Files>,
    head: Head,
    path: String,
) -> Option<(Head, Result<Response, Refusal>)> {
    let _turn = site.turns.acquire().await.ok()?;
    let reading = tokio::task::spawn_blocking(move || {
        let answered = files.answer(&head, &path);
        (head, answered)
    });
    timeout(limits::FILES.time, reading).await.ok()?.ok()
}

/// Logs a refusal with what was asked for, without the query, which may hold secrets: browsers tell
/// their pages nothing.
fn say_refused(
    site: &Site,
    refusal: &Refusal,
    asked: Option<(&str, &str)>,
    id: u64,
    client: &Client,
) {
    let Refusal {
        id: kind, status, ..
    } = *refusal;
    let line = || {
        let why = refusal.why();
        let Some((method, path)) = asked else {
            return format!("a request: {why}");
        };
        let path = one_line(&path[..path.floor_char_boundary(SHOWN)]);
        let hint = match refusal.has_lost_its_way() {
            true => neighbour(&site.generation.borrow(), &path),
            false => None,
        };
        let hint = hint.map(|path| format!("; did you mean {path}?"));
        format!("{method} {path}: {why}{}", hint.unwrap_or_default())
    };
    // Who may come in has a line of its own, and browsers ask for some files that few sites have.
    let is_said = Kind::ALL.iter().any(|known| known.id() == kind);
    let is_usual = asked.is_some_and(|(_, path)| USUAL.contains(&path)) || status == 308;
    if is_said || is_usual {
        Event::RefusalAnswered {
            connection: id,
            refusal: kind,
            status,
            client: text(client),
            why: &Lazily(line),
            is_counted: !is_said && status != 308,
        }
        .tell();
    } else {
        refusals::note(kind, status, client, line);
    }
}

/// Tells that a handshake was refused, and by whom.
fn say_no_handshake(refusal: &Refusal, id: u64, client: &Client) {
    Event::HandshakeRefused {
        connection: id,
        client: text(client),
        result: match refusal.id {
            REJECTED => "rejected",
            FAULT | BROKEN => "failed",
            _ => "refused",
        },
    }
    .tell();
}

/// The path that somebody may have meant who has asked for this one.
fn neighbour(generation: &Generation, path: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    generation.nearest(&decoded)
}

/// Letters of a path that are logged.
const SHOWN: usize = 200;

/// Paths that browsers request by themselves.
const USUAL: [&str; 4] = [
    "/favicon.ico",
    "/apple-touch-icon.png",
    "/apple-touch-icon-precomposed.png",
    "/.well-known/appspecific/com.chrome.devtools.json",
];

/// The next request of a connection, of which some bytes may be there; `None` if the peer has left,
/// or has sent nothing in time.
async fn next_head<S: AsyncRead + Unpin>(
    site: &Site,
    stream: &mut S,
    mut bytes: Vec<u8>,
    is_first: bool,
) -> Result<Option<Head>, Refusal> {
    let limits = &site.settings.limits.head;
    let begun = Instant::now();
    let waiting = if is_first {
        limits.time
    } else {
        limits.keep_alive
    };
    if bytes.is_empty() {
        bytes.reserve(1024);
        let first = tokio::select! {
            first = timeout(waiting, stream.read_buf(&mut bytes)) => first,
            // Browsers open connections that they may never use. What a client has sent already is
            // read first: it is told.
            () = site.shared.drained() => timeout(UNREAD, stream.read_buf(&mut bytes)).await,
        };
        if !matches!(first, Ok(Ok(1..))) {
            return Ok(None);
        }
    }
    let begun = if is_first { begun } else { Instant::now() };
    tokio::select! {
        reading = timeout_at(begun + limits.time, read_head(stream, bytes, limits)) => {
            reading.unwrap_or_else(|_| {
                let refusal = Refusal::new(408, "the request did not arrive in time");
                Err(refusal.limit("header-timeout"))
            })
        }
        () = site.shared.drained() => Err(Refusal::draining()),
    }
}

/// Time for which a connection that has sent nothing is still read when the server drains.
const UNREAD: Duration = Duration::from_millis(50);

/// Reads up to the end of a request head that has begun; `None` if the peer left before.
pub(super) async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut bytes: Vec<u8>,
    limits: &limits::Head,
) -> Result<Option<Head>, Refusal> {
    let mut count = bytes.len();
    loop {
        if let Some(length) = head::end(&bytes, count, limits)? {
            return Head::parse(bytes, length, limits).map(Some);
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(more) => count = more,
        }
    }
}
