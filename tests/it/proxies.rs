//! Behind real proxies, with the configurations of `docs/behind-a-proxy.md` as they stand there;
//! and the PROXY protocol.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::support::proxy::{Identity, Kind, Proxy};
use super::support::{ECHO, Raw, Request, Server, Wire, every_case, within};

const PAGE: &str = include_str!("../../docs/behind-a-proxy.md");

/// The address that the clients here have; the proxies call from 127.0.0.1.
const CLIENT: &str = "127.0.0.2";

const WHO: &str = r#"
fn do_extra_handshake(request) {
    if "chat" in request.requested_protocols { request.protocol = "chat"; }
}
fn on_open(ws) { ws.send(`${ws.remote_addr} ${ws.secure} ${ws.protocol}`); }
fn transfer_data(ws, message) { ws.close(4321, message); }
"#;

/// The first code block under a heading of the page.
fn block(heading: &str) -> &'static str {
    block_of(PAGE, heading)
}

/// The first code block under a heading of a page.
pub fn block_of<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) = page
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let (_, rest) = rest.split_once("\n```").expect("a code block");
    let (_, rest) = rest.split_once('\n').expect("a code block");
    let end = rest.find("```").expect("the end of a code block");
    &rest[..end]
}

/// The text with this in place of that, which must be there.
pub fn with(text: &str, that: &str, this: &str) -> String {
    assert!(text.contains(that), "{that} in {text}");
    text.replace(that, this)
}

/// A server with what the page says is its side.
async fn serve(args: &[&str]) -> Server {
    let builder = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .file("who_wsh.rhai", WHO)
        .file("www/index.html", "the page");
    let root = builder.dir().join("www");
    builder
        .args([
            "--allow-host",
            "example.com",
            "--allow-origin",
            "same",
            "-d",
        ])
        .arg(root)
        .args(args)
        .start()
        .await
}

/// Starts a proxy in front of this server.
async fn start(kind: Kind, site: &str, server: &Server) -> Proxy {
    let own = format!("127.0.0.1:{}", server.port());
    start_at(kind, "80", &with(site, "127.0.0.1:9998", &own)).await
}

/// Starts a proxy with a site that listens on this port, in whose place a free one is put.
pub async fn start_at(kind: Kind, listens: &str, site: &str) -> Proxy {
    let (from, to): (_, fn(u16) -> String) = match kind {
        Kind::Apache => (format!("*:{listens}>"), |port| format!("*:{port}>")),
        Kind::Nginx => (format!("listen {listens}"), |port| {
            format!("listen 127.0.0.1:{port}")
        }),
        Kind::Haproxy => (format!("bind :{listens}"), |port| {
            format!("bind 127.0.0.1:{port}")
        }),
    };
    Proxy::start(kind, |port| with(site, &from, &to(port))).await
}

#[tokio::test]
async fn apache_over_tcp() {
    let server = serve(&["--trusted-proxy", "127.0.0.1"]).await;
    let proxy = start(Kind::Apache, block("Apache over TCP"), &server).await;
    let site = Site::plain(&proxy);
    site.passes_messages().await;
    site.passes_who().await;
    site.refuses_strangers().await;
    site.passes_requests().await;
}

#[tokio::test]
async fn nginx_over_tcp() {
    let server = serve(&["--trusted-proxy", "127.0.0.1"]).await;
    let proxy = start(Kind::Nginx, block("nginx over TCP"), &server).await;
    let site = Site::plain(&proxy);
    site.passes_messages().await;
    site.passes_who().await;
    site.refuses_strangers().await;
    site.passes_requests().await;
}

#[tokio::test]
async fn haproxy_passing_on_bytes() {
    let server = serve(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol"]).await;
    let text = block("HAProxy, passing on bytes");
    let proxy = start(Kind::Haproxy, text, &server).await;
    let site = Site::plain(&proxy);
    site.passes_messages().await;
    site.passes_who().await;
    site.refuses_strangers().await;

    let text = with(text, "send-proxy-v2", "send-proxy");
    let proxy = start(Kind::Haproxy, &text, &server).await;
    Site::plain(&proxy).passes_who().await;
}

/// Messages and visitors' addresses through a site of the page that speaks TLS.
async fn passes_with_tls(kind: Kind, heading: &str, files: &[(&str, &str)], args: &[&str]) {
    let server = serve(args).await;
    let identity = Identity::of("example.com");
    let own = format!("127.0.0.1:{}", server.port());
    let mut text = with(block(heading), "127.0.0.1:9998", &own);
    for (documented, file) in files {
        text = with(&text, documented, &identity.file(file));
    }
    let proxy = start_at(kind, "443", &text).await;
    let site = Site {
        port: identity.tunnel("example.com", CLIENT, proxy.port()).await,
        client: CLIENT,
        secure: true,
    };
    site.passes_messages().await;
    site.passes_who().await;
    site.refuses_strangers().await;
}

/// As Apache and nginx read them.
const FILES: [(&str, &str); 2] = [
    ("/etc/ssl/example.com.pem", "site.pem"),
    ("/etc/ssl/example.com.key", "site.key"),
];

#[tokio::test]
async fn apache_with_tls_in_front() {
    let args = ["--trusted-proxy", "127.0.0.1"];
    passes_with_tls(
        Kind::Apache,
        "Apache over TCP, with TLS in front",
        &FILES,
        &args,
    )
    .await;
}

#[tokio::test]
async fn nginx_with_tls_in_front() {
    let args = ["--trusted-proxy", "127.0.0.1"];
    passes_with_tls(
        Kind::Nginx,
        "nginx over TCP, with TLS in front",
        &FILES,
        &args,
    )
    .await;
}

#[tokio::test]
async fn haproxy_with_tls_in_front() {
    let args = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol"];
    let files = [("/etc/ssl/example.com.both.pem", "both.pem")];
    passes_with_tls(Kind::Haproxy, "HAProxy, with TLS in front", &files, &args).await;
}

/// The header of the PROXY protocol comes before TLS, which goes through to the server itself.
#[tokio::test]
async fn haproxy_passing_on_tls() {
    let identity = Identity::of("example.com");
    let (certificate, key) = (identity.file("site.pem"), identity.file("site.key"));
    let args = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol", "--tls"];
    let args = [&args[..], &["-c", &certificate, "-k", &key]].concat();
    let server = serve(&args).await;
    let proxy = start(Kind::Haproxy, block("HAProxy, passing on bytes"), &server).await;
    let site = Site {
        port: identity.tunnel("example.com", CLIENT, proxy.port()).await,
        client: CLIENT,
        secure: true,
    };
    site.passes_messages().await;
    site.passes_who().await;
    site.refuses_strangers().await;
}

/// A server on a Unix-domain socket that everybody may write to, and the proxy in front of it.
async fn passes_over_unix(kind: Kind, heading: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("ours");
    let socket = dir.path().join("socket").display().to_string();
    let _server = serve(&["--trusted-proxy", "unix", "--unix-socket", &socket]).await;
    std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("ours");
    let text = with(block(heading), "/run/wsh-server/socket", &socket);
    let proxy = start_at(kind, "80", &text).await;
    let site = Site::plain(&proxy);
    site.passes_messages().await;
    site.passes_who().await;
    site.refuses_strangers().await;
    site.passes_requests().await;
}

#[tokio::test]
async fn apache_over_a_unix_domain_socket() {
    passes_over_unix(Kind::Apache, "Apache over a Unix-domain socket").await;
}

#[tokio::test]
async fn nginx_over_a_unix_domain_socket() {
    passes_over_unix(Kind::Nginx, "nginx over a Unix-domain socket").await;
}

/// A site as its visitors see it.
struct Site {
    port: u16,
    /// Where its visitors come from.
    client: &'static str,
    secure: bool,
}

impl Site {
    fn plain(proxy: &Proxy) -> Site {
        Site {
            port: proxy.port(),
            client: CLIENT,
            secure: false,
        }
    }

    /// A request of somebody who calls the site by its public name.
    fn upgrade(&self, path: &str) -> Request {
        Request::upgrade(path).set("Host", format!("example.com:{}", self.port))
    }

    async fn ask(&self, request: Request) -> Raw {
        let mut raw = Raw::connect_from(self.client, self.port).await;
        raw.send(request.bytes()).await;
        raw
    }

    /// Messages of every size, control frames between them, and the client's close code.
    async fn passes_messages(&self) {
        let mut raw = self.ask(self.upgrade("/echo")).await;
        raw.head().await.expect_upgrade();
        raw.send(Wire::text("hello").bytes()).await;
        raw.expect_text("hello").await;
        let large: Vec<u8> = (0..8 * 1024 * 1024).map(|i| (i * 31 % 251) as u8).collect();
        raw.send(Wire::binary(&large).bytes()).await;
        let frame = raw.frame().await;
        assert!(
            frame.opcode == 2 && frame.payload == large,
            "8 MiB come back"
        );
        raw.send(Wire::ping("are you there").bytes()).await;
        raw.expect_frame(10, "are you there").await;
        raw.send(Wire::close(4001, "enough").bytes()).await;
        raw.expect_close(4001).await;
        raw.expect_eof().await;
    }

    /// The server's close code, the subprotocol, and the client's own address and scheme, whatever
    /// it says of itself.
    async fn passes_who(&self) {
        for made_up in [
            None,
            Some(("Forwarded", "for=192.0.2.66;proto=gopher;host=evil.example")),
            Some(("X-Forwarded-For", "192.0.2.66")),
            Some((
                "X-Forwarded-Proto",
                if self.secure { "http" } else { "https" },
            )),
            Some(("X-Forwarded-Host", "evil.example")),
        ] {
            let request = self
                .upgrade("/who")
                .with("Sec-WebSocket-Protocol", "soap, chat");
            let request = made_up
                .into_iter()
                .fold(request, |request, (name, value)| request.with(name, value));
            let mut raw = self.ask(request).await;
            let head = raw.head().await;
            head.expect_upgrade();
            assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("chat"));
            raw.expect_text(&format!("{} {} chat", self.client, self.secure))
                .await;
            raw.send(Wire::text("bye").bytes()).await;
            assert_eq!(raw.expect_close(4321).await, "bye");
            raw.send(Wire::close(4321, "bye").bytes()).await;
            raw.expect_eof().await;
        }
    }

    /// Pages of the site itself may connect, and no others; nor does another name lead to it.
    async fn refuses_strangers(&self) {
        let (own, other) = if self.secure {
            ("https", "http")
        } else {
            ("http", "https")
        };
        let own = format!("{own}://example.com:{}", self.port);
        let other = format!("{other}://example.com:{}", self.port);
        for (origin, status) in [
            (&*own, 101),
            (&*other, 403),
            ("http://evil.example", 403),
            ("http://localhost", 403),
            ("null", 403),
        ] {
            let request = self.upgrade("/echo").with("Origin", origin);
            let head = self.ask(request).await.head().await;
            assert_eq!(head.status, status, "{origin}");
        }
        let request = self.upgrade("/echo").set("Host", "evil.example");
        assert_eq!(self.ask(request).await.head().await.status, 403);
    }

    /// Ordinary requests, one after the other on the client's connection to the proxy.
    async fn passes_requests(&self) {
        let mut raw = Raw::connect_from(self.client, self.port).await;
        for (path, status, body) in [
            ("/", 200, "the page"),
            ("/none", 404, "nothing has this path\n"),
            ("/", 200, "the page"),
        ] {
            let request = Request::get(path).set("Host", "example.com");
            raw.send(request.bytes()).await;
            let head = raw.head().await;
            assert_eq!(head.status, status, "{path}");
            assert_eq!(raw.body(&head).await, body.as_bytes(), "{path}");
        }
    }
}

/// A server that takes the PROXY protocol from 127.0.0.1.
async fn serve_proxied() -> Server {
    serve(&[
        "--proxy-protocol",
        "--trusted-proxy",
        "127.0.0.1",
        "--header-timeout",
        "1s",
        "--allow-host",
        "localhost",
    ])
    .await
}

#[tokio::test]
async fn the_proxy_protocol_tells_the_client_before_anything_else() {
    let server = serve_proxied().await;
    let version_2 = |fields: &[u8]| {
        let length = fields.len() as u8;
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", &[length][..], fields].concat()
    };
    let addresses = [192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];
    let cases = [
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(),
            "192.0.2.7 false ",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(),
            "2001:db8::7 false ",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1 false "),
        (version_2(&addresses), "192.0.2.9 false "),
        (
            version_2(&[&addresses[..], &[0x20, 0, 5, 1, 0, 0, 0, 0]].concat()),
            "192.0.2.9 true ",
        ),
    ];
    for (header, expected) in cases {
        // Both at once, and byte by byte.
        let bytes = [header, Request::upgrade("/who").bytes()].concat();
        for size in [bytes.len(), 1] {
            let mut raw = Raw::connect(&server).await;
            for piece in bytes.chunks(size) {
                raw.send(piece).await;
            }
            raw.head().await.expect_upgrade();
            raw.expect_text(expected).await;
        }
    }
    // The proxy's word about its client is not that client's word about another.
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/who").with("X-Forwarded-For", "192.0.2.66");
    raw.send(
        [
            &b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"[..],
            &request.bytes(),
        ]
        .concat(),
    )
    .await;
    raw.head().await.expect_upgrade();
    raw.expect_text("192.0.2.7 false ").await;
}

#[tokio::test]
async fn a_trusted_proxy_without_its_header_is_closed_and_others_need_none() {
    let server = serve_proxied().await;
    let mut raw = Raw::connect_from(CLIENT, server.port()).await;
    raw.send(Request::upgrade("/who").bytes()).await;
    raw.head().await.expect_upgrade();
    raw.expect_text(&format!("{CLIENT} false ")).await;

    let port = server.port();
    let closed = [
        ("a request", Request::upgrade("/who").bytes()),
        (
            "malformed",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n".to_vec(),
        ),
        (
            "never ending",
            [b'P', b'R', b'O', b'X', b'Y', b' ']
                .into_iter()
                .chain([b'x'; 200])
                .collect(),
        ),
        ("a part, then nothing", b"PROXY TCP4".to_vec()),
        ("nothing", Vec::new()),
    ];
    every_case(closed.map(|(name, bytes)| {
        let case = async move {
            let mut raw = Raw::connect_to(port).await;
            raw.send(bytes).await;
            // With or without a reset: what was sent is not read.
            assert!(raw.at_end_or_reset().await);
        };
        (name, case)
    }))
    .await;
    let line = server.log("refusal=\"proxy-protocol\"").await;
    assert!(line.contains("WARN"), "{line}");
}

/// Clients behind the PROXY protocol are counted by their addresses, like those that come by
/// themselves.
#[tokio::test]
async fn l02_an_address_that_a_proxy_tells_has_its_share() {
    let server = serve(&[
        "--proxy-protocol",
        "--trusted-proxy",
        "127.0.0.1",
        "--max-connections-per-address",
        "2",
        "--allow-host",
        "localhost",
    ])
    .await;
    let port = server.port();
    let connect = async |address: &str| {
        let mut raw = Raw::connect_to(port).await;
        let line = format!("PROXY TCP4 {address} 10.0.0.1 4711 443\r\n");
        raw.send([line.as_bytes(), &Request::upgrade("/who").bytes()].concat())
            .await;
        let status = raw.head().await.status;
        (raw, status)
    };
    let mut open = Vec::new();
    for _ in 0..2 {
        let (raw, status) = connect("192.0.2.7").await;
        assert_eq!(status, 101);
        open.push(raw);
    }
    let (_, status) = connect("192.0.2.7").await;
    assert_eq!(status, 503);
    let line = server.log("refusal=\"max-connections-per-address\"").await;
    assert!(line.contains("192.0.2.7"), "{line}");
    let (_other, status) = connect("192.0.2.8").await;
    assert_eq!(status, 101);
    // Its place is free again when the server has noticed the end.
    open.pop();
    within("a place", async {
        while connect("192.0.2.7").await.1 != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_not_trusted_is_not_believed() {
    let server = serve(&[
        "--trusted-proxy",
        "192.0.2.1",
        "--trusted-proxy",
        "unix",
        "--allow-host",
        "localhost",
    ])
    .await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/who")
        .with("Forwarded", "for=192.0.2.66;proto=https;host=evil.example")
        .with("X-Forwarded-For", "192.0.2.66");
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();
    raw.expect_text("127.0.0.1 false ").await;
}

#[tokio::test]
async fn what_a_trusted_proxy_garbles_is_ignored_with_a_line() {
    let server = serve(&[
        "--trusted-proxy",
        "127.0.0.1",
        "--allow-host",
        "localhost",
        "--log-level",
        "debug",
    ])
    .await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/who").with("X-Forwarded-For", "192.0.2.6666");
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();
    raw.expect_text("127.0.0.1 false ").await;
    server
        .log(["DEBUG", "X-Forwarded-For is malformed", "192.0.2.6666"])
        .await;
}
