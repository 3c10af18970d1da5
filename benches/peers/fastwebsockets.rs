//! A bare echo server on fastwebsockets, with the read loop of its own example. The handshake is
//! done here in a few lines instead of by hyper, which would only slow this peer down.

use std::error::Error;

use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tungstenite::handshake::derive_accept_key;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    // Without a port it was started by a plain `cargo bench` or `cargo test --all-targets`.
    let Some(port) = std::env::args()
        .nth(1)
        .and_then(|port| port.parse::<u16>().ok())
    else {
        return Ok(());
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(tokio::task::unconstrained(async {
            // A peer that breaks off is the benchmark's business.
            let _ = echo(stream).await;
        }));
    }
}

async fn echo(mut stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    upgrade(&mut stream).await?;
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn upgrade(stream: &mut TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut head = Vec::with_capacity(1024);
    let key = loop {
        if stream.read_buf(&mut head).await? == 0 || head.len() > 16 * 1024 {
            return Err("no request head".into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&head)?.is_complete() {
            let key = request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
            break derive_accept_key(key.ok_or("no key")?.value);
        }
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {key}\r\n\r\n"
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}
