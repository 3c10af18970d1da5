//! An opening handshake, from its checked head to an open connection: asked, agreed on, opened.
//! RFC 6455 section 4.2.2.

mod ask;
mod recorded;

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use super::client::Client;
use super::head::Head;
use super::respond::Refusal;
use super::site::Site;
use super::trace;
use crate::observe::event::{Event, text};
use crate::observe::{access, live};
use crate::script::{Answer, Wire};
use crate::websocket::extensions::{self, Agreed, Parameters};
use crate::websocket::handshake::accept_key;
use crate::websocket::{
    Connection, Handle, Onlooker, Outbox, Session, Shaped, Tally, Transport, Watch,
};
pub use ask::{REJECTED, Target, Unopened};

/// A checked opening handshake that has no answer yet. Its steps are [`ask`](Self::ask), where a
/// handler has a say, [`agree`](Self::agree) and [`open`](Self::open).
pub struct Upgrade<'s> {
    /// The worker's.
    pub site: &'s Rc<Site>,
    /// The request.
    pub head: Head,
    /// The path, decoded.
    pub path: String,
    /// Who sent it.
    pub client: Client,
    /// The connection's number.
    pub id: u64,
}

/// A handshake's answer, and the bytes around it.
#[derive(Debug, Default)]
pub struct Reply {
    /// What a script has put into the answer.
    pub answer: Answer,
    /// What goes out before the answer, and what came behind the head.
    pub wire: Wire,
}

/// A connection whose session is about to begin.
pub struct Accepted {
    /// What others hold of it.
    pub handle: Rc<Handle>,
    /// The path, decoded.
    pub path: String,
    /// The subprotocol, or nothing.
    pub protocol: String,
}

/// Who serves a connection, as the access log names it.
#[derive(Debug, Clone)]
pub struct Server {
    /// A file, or another name.
    pub name: String,
    /// The version that serves.
    pub version: u64,
    /// Whether a developer's console shows it.
    pub is_seen: bool,
}

impl Upgrade<'_> {
    /// The bytes around an answer to which no script adds any.
    pub fn plain_reply(&self) -> Reply {
        let incoming = self.head.rest().to_vec();
        Reply {
            wire: Wire {
                incoming,
                ..Wire::default()
            },
            ..Reply::default()
        }
    }

    fn linger(&self) -> Duration {
        self.site.settings.limits.head.linger
    }

    /// Agrees on compression. A script that writes the header, or all of the answer, by itself
    /// agrees on nothing.
    pub fn agree(&self, answer: &Answer) -> Result<Option<Agreed>, Refusal> {
        let (head, deflate) = (&self.head, &self.site.settings.deflate);
        let is_written = answer.is_written || has_header(answer, EXTENSIONS);
        if !deflate.enabled || answer.deflate.refused || is_written {
            return Ok(None);
        }
        let terms = Parameters {
            is_forgiven: is_webkit(head),
            ..Parameters::from(deflate).with(&answer.deflate)
        };
        Ok(extensions::negotiate(&head.extensions()?, &terms))
    }

    /// Answers with 101 and starts the connection's task, which `session` makes the session of.
    pub fn open<S, T>(
        self,
        stream: S,
        reply: Reply,
        agreed: Option<Agreed>,
        server: Server,
        session: impl FnOnce(Accepted) -> T,
    ) where
        S: Transport + 'static,
        T: Session + Unpin + 'static,
    {
        let Reply { answer, wire } = reply;
        let Self {
            site, client, id, ..
        } = self;
        let mut prologue = wire.outgoing;
        if !answer.is_written {
            switching_protocols(&mut prologue, self.head.key(), &answer, agreed.as_ref());
        }
        trace::head(id, "out", &prologue);
        let tally = (site.settings.access_log && access::is_wanted()).then(|| {
            let client = client.to_string();
            access::Opened {
                connection: id,
                path: &self.path,
                client: &client,
                handler: &server.name,
                version: server.version,
                protocol: answer.protocol.as_deref(),
            }
            .log();
            Tally::new(&client, prologue.len())
        });
        let seen = (live::is_on() && server.is_seen).then(|| {
            let person = live::Person {
                connection: id,
                worker: site.runtime.worker(),
                handler: server.name.clone(),
                path: self.path.clone(),
                client: client.to_string(),
                protocol: answer.protocol.clone().unwrap_or_default(),
                compresses: agreed.is_some(),
            };
            live::Entered::new(person, server.version)
        });
        let recorded = site.settings.recorder.as_ref().filter(|_| server.is_seen);
        let tape = recorded.and_then(|recorder| {
            recorder.begin(&self.path, &server.name, id, || {
                let served = (server.name.as_str(), server.version);
                recorded::head(&self.head, &client, &prologue, served, id)
            })
        });
        let onlooker = tape.map(|tape| Box::new(tape) as Box<dyn Onlooker>);
        let mut outbox = Outbox::new(prologue);
        if let Some(account) = &answer.account {
            account.asked(self.head.raw().len());
        }
        if let Some(watch) = Watch::new(id, tally, seen, onlooker, answer.account) {
            outbox = outbox.watched(watch);
        }
        if let Some(agreed) = agreed {
            outbox = outbox.deflating(agreed, Rc::clone(&site.shared.pool));
        }
        let handle = Handle::new(id, outbox);
        Event::ConnectionOpened {
            connection: id,
            client: text(&client),
            handler: &server.name,
        }
        .tell();
        let session = session(Accepted {
            handle: Rc::clone(&handle),
            path: self.path,
            protocol: answer.protocol.unwrap_or_default(),
        });
        let max_message = answer.max_message.unwrap_or(site.shared.limits.message);
        let shared = Rc::clone(&site.shared);
        let incoming = wire.incoming;
        let link = answer
            .link
            .or(site.settings.link.filter(|_| server.is_seen));
        match link {
            None => tokio::task::spawn_local(
                Connection::new(stream, session, handle, shared, incoming)
                    .with_max_message(max_message),
            ),
            Some(link) => {
                let stream = Shaped::new(stream, link);
                tokio::task::spawn_local(
                    Connection::new(stream, session, handle, shared, incoming)
                        .with_max_message(max_message),
                )
            }
        };
    }
}

/// The header that names what was agreed on.
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// Whether the client is WebKit, or what Apple's systems give to other programs: that of Safari 15
/// keeps its window whatever it is asked, and fails at its second compressed message. Chromium has
/// inherited the name and not the fault.
fn is_webkit(head: &Head) -> bool {
    let mut agents = head.values("user-agent");
    agents.any(|agent| {
        let names = |name| agent.contains(name);
        names("CFNetwork/") || names("AppleWebKit/") && !names("Chrome/")
    })
}

/// Whether a script has written such a header by itself.
fn has_header(answer: &Answer, name: &str) -> bool {
    let mut names = answer.headers.iter().map(|(name, _)| name);
    names.any(|known| known.eq_ignore_ascii_case(name))
}

/// The 101 response.
fn switching_protocols(out: &mut Vec<u8>, key: &str, answer: &Answer, agreed: Option<&Agreed>) {
    out.reserve(if agreed.is_some() { 320 } else { 192 });
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
        Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept_key(key.as_bytes()).as_bytes());
    if let Some(protocol) = &answer.protocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    if let Some(agreed) = agreed {
        // A Vec takes every write.
        let _ = write!(out, "\r\n{EXTENSIONS}: {agreed}");
    }
    for (name, value) in &answer.headers {
        for part in ["\r\n", name, ": ", value] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use futures_util::{SinkExt, StreamExt};
    use tokio::io::AsyncReadExt;
    use tokio::sync::Semaphore;
    use tokio::task::LocalSet;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::config::{Admission, Deflate, Limits, Proxy};
    use crate::http::{Descriptors, Health, Settings, head};
    use crate::script::{Host, Runtime};
    use crate::websocket::Message::Text;
    use crate::websocket::{Event, Ledger, Outcome, Shared};

    /// A session without a script: it tells its path, and sends back what comes.
    struct Parrot(Accepted);

    impl Session for Parrot {
        fn start(
            &mut self,
            event: Event<'_>,
            handle: &Rc<Handle>,
            _: &mut Context<'_>,
        ) -> Poll<Outcome> {
            let sent = match event {
                Event::Opened => handle.send(&Text(self.0.path.as_str().into())),
                Event::Message(message) => handle.send(&message),
                _ => Ok(()),
            };
            assert_eq!(sent, Ok(()));
            Poll::Ready(Outcome::Done)
        }
    }

    fn site() -> Rc<Site> {
        let limits = Limits::default();
        Rc::new(Site {
            generation: RefCell::default(),
            runtime: Rc::new(Runtime::new(&Host::default())),
            shared: Rc::new(Shared::new(limits.websocket)),
            turns: Semaphore::new(1),
            settings: Settings {
                files: None,
                room: Descriptors::new(1),
                health: Arc::new(Health::new(1)),
                probes: Vec::new(),
                dev: false,
                access_log: true,
                limits,
                admission: Admission::default(),
                proxy: Proxy::default(),
                deflate: Deflate::default(),
                link: None,
                ledger: Ledger::new(usize::MAX),
                console: None,
                recorder: None,
            },
        })
    }

    /// Whatever speaks through a connection can be opened so, and not only a script.
    #[tokio::test]
    async fn a_session_without_a_script_is_opened() {
        let (client, mut stream) = tokio::io::duplex(4096);
        let serving = async {
            let site = site();
            let (mut bytes, limits) = (Vec::new(), &site.settings.limits.head);
            let length = loop {
                let count = stream.read_buf(&mut bytes).await.unwrap();
                if let Some(length) = head::end(&bytes, count, limits).unwrap() {
                    break length;
                }
            };
            let head = Head::parse(bytes, length, limits).unwrap();
            head.check_upgrade().unwrap();
            let upgrade = Upgrade {
                site: &site,
                path: head.path().to_owned(),
                client: Client::default(),
                id: 7,
                head,
            };
            let reply = upgrade.plain_reply();
            let agreed = upgrade.agree(&reply.answer).unwrap();
            let server = Server {
                name: "parrot".to_owned(),
                version: 1,
                is_seen: true,
            };
            upgrade.open(stream, reply, agreed, server, Parrot);
        };
        let asking = async {
            let connected = tokio_tungstenite::client_async("ws://localhost/cage", client).await;
            let (mut client, answer) = connected.unwrap();
            assert_eq!(answer.status(), 101);
            client.send(Message::text("hello")).await.unwrap();
            let heard: Vec<_> = client.by_ref().take(2).map(Result::unwrap).collect().await;
            assert_eq!(heard, [Message::text("/cage"), Message::text("hello")]);
        };
        LocalSet::new()
            .run_until(async { tokio::join!(serving, asking) })
            .await;
    }
}
