//! Who may connect: attacks that a browser can be made to carry out, row by row of table 1.6 of the
//! robustness study, in bytes and in a real browser; and users with passwords.

use std::time::Instant;

use super::support::browser::Page;
use super::support::{Builder, ECHO, Raw, Request, Server, every_case};

const PAGE: &str = "<!doctype html><title>a page</title><p>the page";

const HANDLERS: &[(&str, &str)] = &[
    ("echo_wsh.rhai", ECHO),
    (
        "who_wsh.rhai",
        "fn on_open(ws) { ws.send(`user ${ws.user ?? \"nobody\"}`); }\nfn transfer_data(ws, \
        message) {}\n",
    ),
    (
        "fault_wsh.rhai",
        "fn transfer_data(ws, message) { ws.send(message.missing); }\n",
    ),
    (
        "refuse_wsh.rhai",
        "fn do_extra_handshake(request) { throw \"no\"; }\nfn transfer_data(ws, message) {}\n",
    ),
    (
        "broken_shake_wsh.rhai",
        "fn do_extra_handshake(request) { request.reject(\"no\"); }\nfn transfer_data(ws, message) \
        {}\n",
    ),
    (
        "browsers_only_wsh.rhai",
        "fn do_extra_handshake(request) { if request.origin == () { request.reject(403); } }\nfn \
        transfer_data(ws, message) {}\n",
    ),
    ("www/index.html", PAGE),
];

/// Handlers and a page.
fn builder() -> Builder {
    let builder = Server::builder().files(HANDLERS);
    let root = builder.dir().join("www");
    builder.arg("-d").arg(root)
}

async fn serve(args: &[&str]) -> Server {
    builder().args(args).start().await
}

/// What every case is asked for: a handler and a file, which are refused or not alike.
async fn statuses(port: u16, headers: Vec<(&'static str, String)>) -> [u16; 2] {
    let mut statuses = [0; 2];
    for (status, request) in statuses
        .iter_mut()
        .zip([Request::upgrade("/echo"), Request::get("/")])
    {
        let request = headers.iter().fold(request, |request, (name, value)| {
            if *name == "Host" {
                request.set(name, value)
            } else {
                request.with(name, value)
            }
        });
        let mut raw = Raw::connect_to(port).await;
        raw.send(request.bytes()).await;
        let head = raw.head().await;
        *status = head.status;
        assert_eq!(head.header("Access-Control-Allow-Origin"), None, "{head:?}");
        if head.status == 403 {
            let body = String::from_utf8(raw.body(&head).await).expect("text");
            assert!(
                !body.contains("the page") && !body.contains("--allow"),
                "{body}"
            );
            raw.expect_eof().await;
        }
    }
    statuses
}

/// These headers get in, or do not.
async fn check(server: &Server, cases: Vec<(Vec<(&'static str, String)>, bool)>) {
    let port = server.port();
    every_case(cases.into_iter().map(|(headers, may)| {
        let name = format!("{headers:?}");
        let case = async move {
            let expected = if may { [101, 200] } else { [403, 403] };
            assert_eq!(statuses(port, headers).await, expected);
        };
        (name, case)
    }))
    .await;
}

/// Cases of one header each.
fn each(
    name: &'static str,
    values: &[&str],
    may: bool,
) -> Vec<(Vec<(&'static str, String)>, bool)> {
    let case = |value: &&str| (vec![(name, (*value).to_owned())], may);
    values.iter().map(case).collect()
}

#[tokio::test]
async fn o01_a_foreign_origin() {
    let server = serve(&[]).await;
    let foreign = [
        "https://app.example.com",
        "http://192.168.0.10",
        "http://localhost.evil.io",
        "chrome-extension://abc",
    ];
    check(&server, each("Origin", &foreign, false)).await;
    let own = [
        "http://localhost",
        "https://localhost:5173",
        "http://127.0.0.1:8080",
        "http://[::1]:3000",
        "http://app.localhost",
    ];
    check(&server, each("Origin", &own, true)).await;

    let server = serve(&[]).await;
    check(&server, each("Origin", &["https://app.example.com"], false)).await;
    let line = server
        .log(["WARN", "refusal=\"origin\"", "path=\"/echo\""])
        .await;
    assert!(
        line.contains("--allow-origin https://app.example.com "),
        "{line}"
    );
    // What the line says is true.
    let server = serve(&["--allow-origin", "https://app.example.com"]).await;
    check(&server, each("Origin", &["https://app.example.com"], true)).await;
    check(
        &server,
        each("Origin", &["http://localhost", "null"], false),
    )
    .await;
}

#[tokio::test]
async fn o02_origins_that_look_alike() {
    let server = serve(&[
        "--allow-origin",
        "https://admin.example.com",
        "--allow-origin",
        "https://*.wild.example",
        "--allow-origin",
        "http://port.example:*",
    ])
    .await;
    let same = [
        "https://admin.example.com",
        "https://ADMIN.example.com",
        "https://admin.example.com:443",
        "https://a.wild.example",
        "https://a.b.wild.example",
        "http://port.example",
        "http://port.example:81",
    ];
    check(&server, each("Origin", &same, true)).await;
    let others = [
        "http://admin.example.com",
        "https://admin.example.com:8443",
        "https://admin.example.com.",
        "https://example.com",
        "https://x.admin.example.com",
        "https://admin.example.com.evil.io",
        "https://admin.example.com@evil.io",
        "https://u:p@admin.example.com",
        "https://admin.example.com/",
        "https://admin.example.com#",
        "https://admin-example.com",
        "https://admin.exаmple.com",
        "https://admin.xn--exmple-4nf.com",
        "https://wild.example",
        "https://evilwild.example",
        "https://a.wild.example.evil.io",
        "https://a.wild.example:444",
        "https://port.example:81",
        "http://a:b",
        "https://",
        "https:",
        "://",
        "*",
        "admin.example.com",
        "https://admin.example.com https://evil.io",
    ];
    check(&server, each("Origin", &others, false)).await;
    let twice = ["https://admin.example.com", "https://admin.example.com"]
        .map(|origin| ("Origin", origin.to_owned()));
    check(&server, vec![(twice.into(), false)]).await;
}

#[tokio::test]
async fn o03_null_file_and_empty_origins() {
    let server = serve(&[]).await;
    check(&server, each("Origin", &["null"], true)).await;
    check(&server, each("Origin", &["file://", "", "NULL"], false)).await;
    let line = server.log("Origin: null").await;
    assert!(
        line.contains("INFO") && line.contains("--allow-origin loopback"),
        "{line}"
    );
    assert_eq!(server.count("Origin: null"), 1);

    let server = serve(&["--allow-origin", "loopback"]).await;
    check(&server, each("Origin", &["null", "file://", ""], false)).await;
    check(&server, each("Origin", &["http://localhost:1"], true)).await;
    server
        .log(["refusal=\"origin\"", "--allow-origin null "])
        .await;

    let server = serve(&["--allow-origin", "null,file://"]).await;
    check(&server, each("Origin", &["null", "file://"], true)).await;
    check(&server, each("Origin", &["", "http://localhost"], false)).await;
    assert_eq!(server.count("Origin: null"), 0, "it was asked for");
}

#[tokio::test]
async fn o04_no_origin() {
    let server = serve(&["--allow-origin", "https://app.example.com"]).await;
    check(&server, vec![(vec![], true)]).await;
    // A handler that is for pages only says so.
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.handshake("/browsers_only", &[]).await.status, 403);
    let mut raw = Raw::connect(&server).await;
    let origin = [("Origin", "https://app.example.com")];
    raw.handshake("/browsers_only", &origin)
        .await
        .expect_upgrade();
}

#[tokio::test]
async fn o05_a_rebound_name() {
    let server = serve(&[]).await;
    let port = server.port();
    let foreign = [
        format!("attacker.example:{port}"),
        "localhost.evil.io".into(),
        "evil.localhost.io".into(),
        "127.0.0.1.nip.io".into(),
        "localhost.".into(),
        "192.168.0.10".into(),
        "0.0.0.0".into(),
        format!("[::ffff:127.0.0.1]:{port}"),
        "127.1".into(),
        "a..b".into(),
    ];
    let foreign: Vec<_> = foreign.iter().map(String::as_str).collect();
    check(&server, each("Host", &foreign, false)).await;
    let own = [
        "localhost:1",
        "LOCALHOST",
        "app.localhost",
        "127.0.0.1",
        "127.9.9.9:80",
        "[::1]:5",
    ];
    check(&server, each("Host", &own, true)).await;
    // Nor by a path that does not exist, nor without a host.
    for request in [
        Request::get("/none").set("Host", "attacker.example"),
        Request::get("/").without("Host").line("GET / HTTP/1.0"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(request.bytes()).await;
        raw.expect_refusal(403).await;
    }

    let server = serve(&[]).await;
    check(&server, each("Host", &["Attacker.example:81"], false)).await;
    let line = server.log(["WARN", "refusal=\"host\""]).await;
    assert!(line.contains("--allow-host attacker.example "), "{line}");
    let server = serve(&[
        "--allow-host",
        "attacker.example",
        "--allow-host",
        "*.wild.example:8080",
    ])
    .await;
    check(
        &server,
        each(
            "Host",
            &[
                "attacker.example",
                "attacker.example:9",
                "a.wild.example:8080",
            ],
            true,
        ),
    )
    .await;
    check(
        &server,
        each(
            "Host",
            &["localhost", "a.wild.example", "wild.example:8080"],
            false,
        ),
    )
    .await;
}

#[tokio::test]
async fn o06_an_origin_that_equals_a_foreign_host() {
    let rebound = || {
        vec![
            ("Host", "attacker.example:9998".to_owned()),
            ("Origin", "http://attacker.example:9998".to_owned()),
        ]
    };
    for args in [
        &[][..],
        &["--allow-origin", "same"],
        &["--allow-origin", "*"],
    ] {
        let server = serve(args).await;
        check(&server, vec![(rebound(), false)]).await;
        server.log("refusal=\"host\"").await;
        assert_eq!(server.count("refusal=\"origin\""), 0, "{args:?}");
    }
    let server = serve(&["--allow-origin", "same", "--allow-host", "attacker.example"]).await;
    check(&server, vec![(rebound(), true)]).await;
}

#[tokio::test]
async fn o07_only_loopback_unless_it_is_said_who_may_connect() {
    let server = serve(&[]).await;
    let line = server.printed("ready: ").await;
    let port = server.port();
    assert!(
        line.starts_with(&format!("ready: ws://127.0.0.1:{port} ws://[::1]:{port} (")),
        "{line}"
    );

    for host in ["0.0.0.0", "::"] {
        let stated = [
            "--allow-host",
            "example.com",
            "--allow-origin",
            "https://example.com",
        ];
        for args in [&[][..], &stated[..2], &stated[2..]] {
            let done = builder().args(["-H", host]).args(args).run().await;
            assert_eq!(done.status.code(), Some(2), "{host} {args:?}: {done:?}");
            for part in [
                host,
                "can be reached",
                "--allow-host example.com --allow-origin https://example.com",
            ] {
                assert!(done.stderr.contains(part), "{done:?}");
            }
            assert_eq!(done.stdout, "", "no ready line");
        }
        // On a machine without IPv6 the last cannot be bound.
        if host == "0.0.0.0" {
            let server = builder().args(["-H", host]).args(stated).start().await;
            let headers = vec![
                ("Host", "example.com".into()),
                ("Origin", "https://example.com".into()),
            ];
            check(&server, vec![(headers, true)]).await;
        }
    }
    // Every address of 127.0.0.0/8 is of this machine.
    builder().args(["-H", "127.0.0.9"]).start().await;
}

#[tokio::test]
async fn o08_no_other_page_reads_files() {
    let server = serve(&["--allow-origin", "*"]).await;
    // `statuses` looks at the headers of each answer.
    check(
        &server,
        each(
            "Origin",
            &["http://localhost", "https://app.example.com", "null"],
            true,
        ),
    )
    .await;
    let mut raw = Raw::connect(&server).await;
    let preflight = Request::get("/").line("OPTIONS / HTTP/1.1");
    let preflight = preflight
        .with("Origin", "https://app.example.com")
        .with("Access-Control-Request-Method", "GET");
    raw.send(preflight.bytes()).await;
    let head = raw.head().await;
    assert_eq!(head.status, 204, "{head:?}");
    assert!(
        head.headers
            .iter()
            .all(|(name, _)| !name.starts_with("Access-Control")),
        "{head:?}"
    );
}

#[tokio::test]
async fn o09_a_query_is_not_logged() {
    let mut server = serve(&[
        "--log-level",
        "trace",
        "--basic-auth-credential",
        "ada:countess",
    ])
    .await;
    let ada = ("Authorization", "Basic YWRhOmNvdW50ZXNz");
    let query = "?token=SECRET";
    let refused = [
        ("Host", "attacker.example"),
        ("Origin", "https://evil.example"),
        ("Authorization", "Basic YWRhOm5v"),
        ("Sec-WebSocket-Version", "12"),
    ];
    for path in [
        "/echo",
        "/fault",
        "/refuse",
        "/broken_shake",
        "/none",
        "/%ZZ",
    ] {
        let target = format!("{path}{query}");
        let upgrade = Request::upgrade(&target).with(ada.0, ada.1);
        let mut requests = vec![upgrade.clone(), Request::get(&target).with(ada.0, ada.1)];
        requests.extend(refused.map(|(name, value)| upgrade.clone().set(name, value)));
        for request in requests {
            let mut raw = Raw::connect(&server).await;
            raw.send(request.bytes()).await;
            if raw.head().await.status == 101 {
                raw.send(super::support::Wire::text("hello").bytes()).await;
                raw.frame().await;
            }
        }
    }
    for raw_target in [
        "/echo?token=SECRET HTTP/9.9",
        "/echo?token=SECRET",
        "/\u{fc}?token=SECRET HTTP/1.1",
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(format!("GET {raw_target}\r\nHost: localhost\r\n\r\n"))
            .await;
        raw.until_eof().await;
    }
    server.log("script fault").await;
    assert!(server.stop().await.success());
    assert_eq!(server.count("SECRET"), 0, "{}", server.logged());
    assert_eq!(server.count("token"), 0, "{}", server.logged());
    // Nor passwords.
    for secret in ["countess", "YWRh"] {
        assert_eq!(server.count(secret), 0, "{}", server.logged());
    }
}

/// However many are turned away, the log has a line a second of each kind from each worker, and the
/// number of the others.
#[tokio::test]
async fn a_flood_of_refusals_is_counted() {
    let mut server = builder().workers(1).start().await;
    let begin = Instant::now();
    for _ in 0..200 {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::get("/").set("Host", "attacker.example").bytes())
            .await;
        raw.expect_refusal(403).await;
    }
    let line = server.log(["refusal=\"host\"", "more="]).await;
    assert!(line.contains("refused"), "{line}");
    server.stop().await;
    // However long it took: the machine may be busy.
    let seconds = begin.elapsed().as_secs() as usize;
    let lines = server.count("refusal=\"host\"");
    assert!(lines <= seconds + 2, "{}", server.logged());
}

#[tokio::test]
async fn a_user_and_a_password_for_everything() {
    let builder = builder().file("users", "# who may connect\nada:countess\n\nbjörn:a:b\n");
    let users = builder.dir().join("users");
    let server = builder.arg("--basic-auth-file").arg(users).start().await;
    let wrong = [
        None,
        Some("Basic YWRhOm5v"),
        Some("Basic YWRhOg=="),
        Some("Basic bm9ib2R5OmNvdW50ZXNz"),
        Some("Basic %"),
        Some("Bearer YWRhOmNvdW50ZXNz"),
    ];
    for authorization in wrong {
        for request in [
            Request::upgrade("/who"),
            Request::get("/"),
            Request::get("/none"),
            Request::upgrade("/none"),
        ] {
            let request = match authorization {
                Some(value) => request.with("Authorization", value),
                None => request,
            };
            let mut raw = Raw::connect(&server).await;
            raw.send(request.bytes()).await;
            let head = raw.expect_refusal(401).await;
            let challenge = Some("Basic realm=\"wsh-server\", charset=\"UTF-8\"");
            assert_eq!(
                head.header("WWW-Authenticate"),
                challenge,
                "{authorization:?}"
            );
        }
    }
    server
        .log(["WARN", "refusal=\"basic-auth\"", "--basic-auth"])
        .await;
    // "björn:a:b" in UTF-8.
    for (authorization, user) in [
        ("Basic YWRhOmNvdW50ZXNz", "ada"),
        ("basic YmrDtnJuOmE6Yg==", "björn"),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw
            .handshake("/who", &[("Authorization", authorization)])
            .await;
        head.expect_upgrade();
        raw.expect_text(&format!("user {user}")).await;
        let mut raw = Raw::connect(&server).await;
        raw.send(
            Request::get("/")
                .with("Authorization", authorization)
                .bytes(),
        )
        .await;
        assert_eq!(raw.head().await.status, 200);
    }
    // A stranger's page is not even asked.
    let mut raw = Raw::connect(&server).await;
    let head = raw
        .handshake("/who", &[("Origin", "https://evil.example")])
        .await;
    assert_eq!(head.status, 403);
}

/// What becomes of a connection that a page opens: `open`, its first message, or `refused`.
async fn opens(page: &mut Page, url: &str) -> String {
    let look = format!(
        "new Promise(done => {{
            const socket = new WebSocket('{url}');
            socket.onopen = () => {{ socket.send('hello'); }};
            socket.onmessage = event => done(event.data);
            socket.onerror = () => done('refused');
        }})"
    );
    let seen = page.value(&look).await;
    seen.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_strangers_page_in_a_browser_is_refused() {
    // The stranger's site, which everybody may visit.
    let stranger = serve(&["--allow-host", "*", "--allow-origin", "*"]).await;
    let origin = format!("http://evil.example:{}", stranger.port());
    let mut page = Page::open(&format!("{origin}/")).await;
    assert_eq!(page.value("origin").await, origin);

    let server = serve(&[]).await;
    let url = format!("ws://localhost:{}/echo", server.port());
    assert_eq!(opens(&mut page, &url).await, "refused");
    let line = server.log("refusal=\"origin\"").await;
    assert!(
        line.contains(&format!("--allow-origin {origin} ")),
        "{line}"
    );

    // Nothing else keeps it out.
    let server = serve(&["--allow-origin", &origin]).await;
    let url = format!("ws://localhost:{}/echo", server.port());
    assert_eq!(opens(&mut page, &url).await, "hello");
}

#[tokio::test]
async fn a_rebound_name_in_a_browser_is_refused() {
    let server = serve(&[]).await;
    let port = server.port();
    let mut page = Page::open(&format!("http://attacker.example:{port}/")).await;
    let text = page.text("body").await;
    assert!(
        text.contains("nothing is served under this host name"),
        "{text}"
    );
    let url = format!("ws://attacker.example:{port}/echo");
    assert_eq!(opens(&mut page, &url).await, "refused");
    let line = server.log("refusal=\"host\"").await;
    assert!(line.contains("--allow-host attacker.example "), "{line}");
    assert_eq!(server.count("refusal=\"origin\""), 0);

    page.go(&format!("http://localhost:{port}/")).await;
    assert_eq!(page.text("body").await, "the page");
    let url = format!("ws://localhost:{port}/echo");
    assert_eq!(opens(&mut page, &url).await, "hello");

    // Nothing else keeps it out.
    let server = serve(&["--allow-host", "attacker.example"]).await;
    let port = server.port();
    page.go(&format!("http://attacker.example:{port}/")).await;
    assert_eq!(page.text("body").await, "the page");
    let url = format!("ws://attacker.example:{port}/echo");
    assert_eq!(opens(&mut page, &url).await, "hello");
}

#[tokio::test]
async fn a_page_from_the_disk_is_let_in_unless_it_is_refused() {
    let server = serve(&[]).await;
    let file = concat!(
        "file://",
        env!("CARGO_MANIFEST_DIR"),
        "/handlers/www/index.html"
    );
    let mut page = Page::open(file).await;
    let url = format!("ws://localhost:{}/echo", server.port());
    for _ in 0..2 {
        assert_eq!(opens(&mut page, &url).await, "hello");
    }
    server
        .log(["INFO", "Origin: null", "--allow-origin loopback"])
        .await;
    assert_eq!(server.count("Origin: null"), 1);

    let server = serve(&["--allow-origin", "loopback"]).await;
    let url = format!("ws://localhost:{}/echo", server.port());
    assert_eq!(opens(&mut page, &url).await, "refused");
    server
        .log(["refusal=\"origin\"", "--allow-origin null "])
        .await;
}

#[tokio::test]
async fn a_browser_sends_the_password_of_a_page_for_its_connections() {
    let server = serve(&["--basic-auth-credential", "ada:countess"]).await;
    let port = server.port();
    let mut page = Page::open(&format!("http://ada:countess@localhost:{port}/")).await;
    assert_eq!(page.text("body").await, "the page");
    let url = format!("ws://localhost:{port}/who");
    assert_eq!(opens(&mut page, &url).await, "user ada");
}

#[tokio::test]
async fn a_developers_seat_is_on_loopback_or_behind_a_password() {
    let exposed = ["-H", "0.0.0.0", "--allow-host", "*", "--allow-origin", "*"];
    let builder = || {
        let builder = Server::builder().file("echo_wsh.rhai", ECHO);
        builder.args(exposed).args(["--dev"])
    };
    let finished = builder().run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(
        finished.stderr.contains("--basic-auth-file"),
        "{finished:?}"
    );
    let password = ["--basic-auth-credential", "ada:countess"];
    builder().args(password).start().await;
    Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--dev"])
        .start()
        .await;
}
