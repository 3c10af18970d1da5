//! The engine without scripts: an echo [`Session`] on our own connection. `bare PORT` prints a line
//! when it listens.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use wsh_server::config::limits;
use wsh_server::websocket::handshake::accept_key;
use wsh_server::websocket::{Connection, Event, Handle, Outbox, Outcome, Session, Shared};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Echo;

impl Session for Echo {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        _: &mut Context<'_>,
    ) -> Poll<Outcome> {
        let _ = match event {
            Event::Message(message) => handle.send(&message),
            _ => Ok(()),
        };
        Poll::Ready(Outcome::Done)
    }
}

fn main() {
    // `cargo bench` runs every bench target without a port.
    let Some(port) = std::env::args()
        .nth(1)
        .and_then(|port| port.parse::<u16>().ok())
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new()
        .block_on(&runtime, serve(port))
        .expect("a listening socket");
}

async fn serve(port: u16) -> std::io::Result<()> {
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let ticking = Rc::clone(&shared);
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ticking.clock.tick();
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    for id in 0.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(upgrade(stream, id, Rc::clone(&shared)));
    }
    Ok(())
}

async fn upgrade(mut stream: TcpStream, id: u64, shared: Rc<Shared>) {
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        if !stream
            .read_buf(&mut head)
            .await
            .is_ok_and(|count| count > 0)
        {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let Some(key) = key else { return };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
        Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.as_bytes())
    );
    let handle = Handle::new(id, Outbox::new(answer.into_bytes()));
    tokio::task::spawn_local(Connection::new(stream, Echo, handle, shared, Vec::new()));
}
