//! Targets that are more than a path: whole URLs, as clients send them to proxies, `*`, and
//! authorities. RFC 9112 section 3.2.

use super::support::{Builder, Head, Raw, Request, Server, connect};

const TELL: &str = r#"
fn do_extra_handshake(request) {
    this.seen = [request.target, request.path, request.host, request.query, request.header("Host")];
}
fn on_open(ws) { ws.send_json(this.seen); }
fn transfer_data(ws, message) { ws.send(message); }
"#;

fn builder() -> Builder {
    Server::builder()
        .files(&[
            ("tell_wsh.rhai", TELL),
            ("_wsh.rhai", TELL),
            ("www/page.txt", "a page"),
            ("www/sub/index.html", "a folder"),
        ])
        .args(["-d", "www"])
}

async fn ask(server: &Server, request: Request) -> (Raw, Head) {
    let mut raw = Raw::connect(server).await;
    raw.send(request.bytes()).await;
    let head = raw.head().await;
    (raw, head)
}

fn line(request: Request, target: &str) -> Request {
    request.line(format!("GET {target} HTTP/1.1"))
}

#[tokio::test]
async fn a05_a_whole_url_is_a_target() {
    let server = builder().start().await;
    for (target, seen) in [
        (
            "http://127.0.0.1:9998/tell",
            r#"["/tell","/tell","127.0.0.1:9998","","127.0.0.1:9998"]"#,
        ),
        (
            "ws://localhost/tell?a=b",
            r#"["/tell?a=b","/tell","localhost","a=b","localhost"]"#,
        ),
        (
            "HTTP://LOCALHOST/tell?",
            r#"["/tell?","/tell","LOCALHOST","","LOCALHOST"]"#,
        ),
        (
            "http://[::1]:9998/",
            r#"["/","/","[::1]:9998","","[::1]:9998"]"#,
        ),
        (
            "http://localhost",
            r#"["/","/","localhost","","localhost"]"#,
        ),
        (
            "http://localhost?a=/b",
            r#"["/?a=/b","/","localhost","a=/b","localhost"]"#,
        ),
        (
            "/tell?u=http://x/",
            r#"["/tell?u=http://x/","/tell","localhost","u=http://x/","localhost"]"#,
        ),
    ] {
        let (mut raw, head) = ask(&server, line(Request::upgrade("/"), target)).await;
        assert_eq!(head.status, 101, "{target}: {head:?}");
        raw.expect_text(seen).await;
    }
    let (mut raw, head) = ask(
        &server,
        line(Request::get("/"), "http://localhost:1/page.txt"),
    )
    .await;
    assert_eq!(head.status, 200);
    assert_eq!(raw.body(&head).await, b"a page");
    // A redirect stays at the path, whatever the target was.
    let (_, head) = ask(&server, line(Request::get("/"), "http://localhost/sub?a=b")).await;
    assert_eq!(
        (head.status, head.header("Location")),
        (308, Some("/sub/?a=b"))
    );
}

/// The target's authority stands for the Host header, also where it is asked who may come in.
#[tokio::test]
async fn a05_the_targets_host_is_the_one_that_counts() {
    let server = builder().start().await;
    for request in [Request::upgrade("/"), Request::get("/")] {
        for (target, host, status) in [
            ("http://evil.example/page.txt", "localhost", 403),
            ("http://evil.example/tell", "localhost", 403),
            ("http://localhost/nothing", "evil.example", 404),
        ] {
            let request = line(request.clone(), target).set("Host", host);
            let (_, head) = ask(&server, request).await;
            assert_eq!(head.status, status, "{target}, Host: {host}");
        }
        // Section 3.2: a Host header there must be, one, and a good one.
        let target = "http://localhost/page.txt";
        for broken in [
            line(request.clone(), target).without("Host"),
            line(request.clone(), target).with("Host", "localhost"),
            line(request.clone(), target).set("Host", "a b"),
        ] {
            assert_eq!(ask(&server, broken).await.1.status, 400);
        }
    }
    let same = builder().args(["--allow-origin", "same"]).start().await;
    for (origin, status) in [("http://localhost:81", 101), ("http://127.0.0.1", 403)] {
        let request = line(Request::upgrade("/"), "http://localhost:81/tell");
        let request = request.set("Host", "127.0.0.1").with("Origin", origin);
        assert_eq!(ask(&same, request).await.1.status, status, "{origin}");
    }
}

/// RFC 9110 section 7.4: what is to be encrypted is not answered in the clear.
#[tokio::test]
async fn a05_https_is_for_encrypted_connections() {
    let server = builder()
        .args(["--trusted-proxy", "loopback"])
        .start()
        .await;
    for target in ["https://localhost/page.txt", "wss://localhost/page.txt"] {
        let request = line(Request::get("/"), target);
        assert_eq!(
            ask(&server, request.clone()).await.1.status,
            421,
            "{target}"
        );
        // A proxy that is trusted says that it was.
        let request = request.with("X-Forwarded-Proto", "https");
        assert_eq!(ask(&server, request).await.1.status, 200, "{target}");
    }
}

#[tokio::test]
async fn the_server_as_a_whole_and_no_proxy() {
    let server = builder().start().await;
    let (_, head) = ask(&server, Request::get("/").line("OPTIONS * HTTP/1.1")).await;
    assert_eq!(
        (head.status, head.header("Allow")),
        (204, Some("GET, HEAD, OPTIONS"))
    );
    for target in ["localhost:443", "http://localhost/", "/page.txt"] {
        let request = Request::get("/").line(format!("CONNECT {target} HTTP/1.1"));
        let (mut raw, head) = ask(&server, request).await;
        assert_eq!(
            (head.status, head.header("Allow")),
            (405, Some("GET, HEAD, OPTIONS"))
        );
        assert!(
            head.has("Connection", "close"),
            "a client may send what is for another: {head:?}"
        );
        raw.body(&head).await;
        raw.expect_eof().await;
    }
    connect(server.url("/tell")).await.next_text().await;
}
