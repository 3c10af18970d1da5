//! A client of bytes: it sends what a test wants, right or wrong, and reads heads, frames and ends.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::request::ACCEPT;
use super::{Frame, PATIENCE, Request, Server, within};

pub struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    pub async fn connect(server: &Server) -> Raw {
        Raw::connect_to(server.port()).await
    }

    /// For cases that run side by side and cannot borrow the server.
    pub async fn connect_to(port: u16) -> Raw {
        Raw::connect_from("127.0.0.1", port).await
    }

    /// A connection whose upgrade has been accepted, and whose socket holds little of what is not
    /// read.
    pub async fn open_narrow(server: &Server, path: &str) -> Raw {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a size");
        let mut raw = Raw::connect_by(socket, "127.0.0.1", server.port()).await;
        raw.handshake(path, &[]).await.expect_upgrade();
        raw
    }

    /// From another address of loopback, as a client that the server can tell from others.
    pub async fn connect_from(address: &str, port: u16) -> Raw {
        let socket = TcpSocket::new_v4().expect("a socket");
        Raw::connect_by(socket, address, port).await
    }

    async fn connect_by(socket: TcpSocket, address: &str, port: u16) -> Raw {
        let own = SocketAddr::new(address.parse().expect("an address"), 0);
        socket.bind(own).expect("an address of this machine");
        let connecting = socket.connect(([127, 0, 0, 1], port).into());
        let stream = within("a connection", connecting).await.expect("connect");
        // A segment of its own for each `send`, which the split tests are about.
        stream.set_nodelay(true).expect("no delay");
        Raw {
            stream: BufReader::with_capacity(64 * 1024, stream),
        }
    }

    /// A connection whose upgrade has been accepted.
    pub async fn open(server: &Server, path: &str) -> Raw {
        Raw::open_at(server.port(), path).await
    }

    pub async fn open_at(port: u16, path: &str) -> Raw {
        let mut raw = Raw::connect_to(port).await;
        let head = raw.handshake(path, &[]).await;
        head.expect_upgrade();
        raw
    }

    /// Sends an upgrade with these additional headers and reads the answer's head.
    pub async fn handshake(&mut self, path: &str, headers: &[(&str, &str)]) -> Head {
        let request = Request::upgrade(path);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.with(name, value));
        self.send(request.bytes()).await;
        self.head().await
    }

    /// This end's port, by which the server knows the connection.
    pub fn port(&self) -> u16 {
        let address = self.stream.get_ref().local_addr();
        address.expect("a connected socket").port()
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let writing = self.stream.get_mut().write_all(bytes.as_ref());
        within("room to send", writing).await.expect("send");
    }

    /// Sends as far as the server lets it: for floods that are refused half-way.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let writing = self.stream.get_mut().write_all(bytes.as_ref());
        within("room to send", writing).await
    }

    /// Ends the sending side; the server sees FIN and may still send.
    pub async fn finish(&mut self) {
        let ending = self.stream.get_mut().shutdown();
        within("the end of sending", ending).await.expect("FIN");
    }

    /// Drops the connection with RST instead of FIN.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.stream.get_ref());
        socket.set_linger(Some(Duration::ZERO)).expect("linger 0");
    }

    /// The head of an answer; its body stays to be read.
    pub async fn head(&mut self) -> Head {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = within("an HTTP head", self.stream.read_until(b'\n', &mut line)).await;
            assert_ne!(
                read.expect("an HTTP head"),
                0,
                "the connection ended within the head: {lines:?}"
            );
            let line = String::from_utf8(line).expect("a head in UTF-8");
            let line = line.strip_suffix("\r\n").expect("lines end in CR LF");
            if line.is_empty() {
                return Head::parse(&lines);
            }
            lines.push(line.to_owned());
        }
    }

    /// The body that belongs to a head with a `Content-Length`.
    pub async fn body(&mut self, head: &Head) -> Vec<u8> {
        let length = head.header("Content-Length").expect("a Content-Length");
        self.exactly(length.parse().expect("a number")).await
    }

    /// One answer with this status that ends the connection: nothing behind it but FIN.
    pub async fn expect_refusal(&mut self, status: u16) -> Head {
        let head = self.head().await;
        assert_eq!(head.status, status, "{head:?}");
        assert!(
            head.has("Connection", "close"),
            "no Connection: close in {head:?}"
        );
        let body = self.until_eof().await;
        let announced = head.header("Content-Length").expect("a Content-Length");
        assert_eq!(
            announced,
            body.len().to_string(),
            "nothing behind the body: {}",
            body.escape_ascii()
        );
        head
    }

    pub async fn frame(&mut self) -> Frame {
        let start = self.exactly(2).await;
        let length = match start[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.array().await)),
            127 => u64::from_be_bytes(self.array().await),
            short => u64::from(short),
        };
        let masked = start[1] & 0x80 != 0;
        assert!(!masked, "a server must not mask");
        Frame {
            fin: start[0] & 0x80 != 0,
            rsv: start[0] >> 4 & 7,
            opcode: start[0] & 0xf,
            masked,
            payload: self.exactly(length as usize).await,
        }
    }

    /// A whole, unfragmented frame of this opcode with this payload.
    pub async fn expect_frame(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        let frame = self.frame().await;
        assert!(
            frame.fin && frame.rsv == 0 && frame.opcode == opcode,
            "opcode {opcode} expected: {frame:?}"
        );
        assert_eq!(
            Shown(&frame.payload),
            Shown(payload.as_ref()),
            "payload of opcode {opcode}"
        );
    }

    pub async fn expect_text(&mut self, text: &str) {
        self.expect_frame(1, text).await;
    }

    /// A Close with this code; returns its reason.
    pub async fn expect_close(&mut self, code: u16) -> String {
        let frame = self.frame().await;
        assert!(
            frame.fin && frame.rsv == 0 && frame.opcode == 8 && frame.payload.len() >= 2,
            "Close {code} expected: {frame:?}"
        );
        let (found, reason) = frame.payload.split_at(2);
        let reason = String::from_utf8(reason.to_vec()).expect("a reason in UTF-8");
        assert_eq!(
            u16::from_be_bytes([found[0], found[1]]),
            code,
            "close code, with reason {reason:?}"
        );
        reason
    }

    /// A Close without code and reason.
    pub async fn expect_empty_close(&mut self) {
        self.expect_frame(8, []).await;
    }

    /// Exactly these bytes next, whatever they mean.
    pub async fn expect_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let found = self.exactly(bytes.as_ref().len()).await;
        assert_eq!(Shown(&found), Shown(bytes.as_ref()));
    }

    /// A text that is JSON.
    pub async fn json(&mut self) -> serde_json::Value {
        let frame = self.frame().await;
        assert!(frame.fin && frame.opcode == 1, "JSON expected: {frame:?}");
        serde_json::from_slice(&frame.payload).expect("JSON")
    }

    /// FIN, with nothing before it; a reset is a failure.
    pub async fn expect_eof(&mut self) {
        let rest = self.until_eof().await;
        assert_eq!(Shown(&rest), Shown(&[]), "nothing but the end");
    }

    /// All that comes before FIN.
    pub async fn until_eof(&mut self) -> Vec<u8> {
        self.until_eof_within(PATIENCE).await
    }

    /// The same, for ends that take as long as a time-out of the server.
    pub async fn until_eof_within(&mut self, bound: Duration) -> Vec<u8> {
        let mut rest = Vec::new();
        let reading = self.stream.read_to_end(&mut rest);
        match tokio::time::timeout(bound, reading).await {
            Ok(read) => read.expect("FIN, not a reset"),
            Err(_) => panic!("no end of the connection, after {:?}", Shown(&rest)),
        };
        rest
    }

    /// All that comes before the end, and whether that was FIN and not a reset.
    pub async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        let reading = self.stream.read_to_end(&mut rest);
        let is_fin = within("the end", reading).await.is_ok();
        (rest, is_fin)
    }

    /// Waits until there are bytes to read, which gives `false`, or an end. Without a bound of its
    /// own.
    pub async fn at_end(&mut self) -> bool {
        self.stream.fill_buf().await.map_or(true, <[u8]>::is_empty)
    }

    /// Waits for an end, which may be a reset; `false` if there are bytes to read instead.
    pub async fn at_end_or_reset(&mut self) -> bool {
        let read = within("an end", self.stream.fill_buf()).await;
        read.map_or(true, <[u8]>::is_empty)
    }

    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let reading = self.stream.read_exact(&mut bytes);
        if let Err(error) = within("bytes of the server", reading).await {
            panic!("{length} bytes expected, but {error}");
        }
        bytes
    }

    async fn array<const N: usize>(&mut self) -> [u8; N] {
        self.exactly(N).await.try_into().expect("exactly N bytes")
    }
}

/// Status and headers of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(lines: &[String]) -> Head {
        let (status, headers) = lines.split_first().expect("a status line");
        let status = status.strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        let header = |line: &String| {
            let (name, value) = line.split_once(':').expect("a header has a colon");
            (name.to_owned(), value.trim().to_owned())
        };
        Head {
            status: status[..3].parse().expect("a status code"),
            headers: headers.iter().map(header).collect(),
        }
    }

    /// The header's value; a header that comes twice is a failure.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        Some(value)
    }

    /// Whether a comma-separated header has this token.
    pub fn has(&self, name: &str, token: &str) -> bool {
        let list = self.header(name).unwrap_or_default();
        list.split(',')
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// A 101 as RFC 6455 4.2.2 wants it for the sample key.
    pub fn expect_upgrade(&self) {
        assert_eq!(self.status, 101, "{self:?}");
        assert!(self.has("Upgrade", "websocket"), "{self:?}");
        assert!(self.has("Connection", "Upgrade"), "{self:?}");
        assert_eq!(self.header("Sec-WebSocket-Accept"), Some(ACCEPT));
    }
}

/// Bytes as a failure shows them: a megabyte's beginning is enough.
struct Shown<'a>(&'a [u8]);

impl PartialEq for Shown<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.0[..self.0.len().min(200)];
        write!(
            f,
            "{} bytes, {:?}",
            self.0.len(),
            start.escape_ascii().to_string()
        )
    }
}
