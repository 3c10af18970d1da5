//! Pages of the server's own: what a browser shows at a handler's path, and where nothing is. For
//! who sits at this machine, or develops.

use super::support::browser::Page;
use super::support::{Builder, Head, Raw, Request, Server, connect};

const ECHO: &str = "fn transfer_data(ws, message) { ws.send(message); }";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn builder() -> Builder {
    Server::builder().files(&[
        ("echo_wsh.rhai", ECHO),
        ("room/[id]_wsh.rhai", ECHO),
        (
            "broken_wsh.rhai",
            "fn transfer_data(ws, message) {\n    ws.send(\"<script>\" 1);\n}",
        ),
        (
            "sum_wsh.rhai",
            "fn transfer_data(ws, message) {\n    ws.send_json(parse_json(message).sum());\n}",
        ),
    ])
}

async fn fetch(server: &Server, request: Request) -> (Head, String) {
    let mut raw = Raw::connect(server).await;
    raw.send(request.set("Connection", "close").bytes()).await;
    let head = raw.head().await;
    let body = String::from_utf8(raw.until_eof().await).expect("text");
    (head, body)
}

fn page(target: &str) -> Request {
    Request::get(target).with("Accept", BROWSER)
}

#[tokio::test]
async fn a_handlers_address_is_a_page_in_a_browser() {
    let server = builder().start().await;
    let (head, body) = fetch(&server, page("/echo?a=b")).await;
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(
        head.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(head.header("Cache-Control"), Some("no-store"));
    for word in ["/echo", "echo_wsh.rhai", "transfer_data"] {
        assert!(body.contains(word), "{word}: {body}");
    }
    let policy = head.header("Content-Security-Policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        !body.contains("<script>") && !body.contains("onclick"),
        "nothing inline: {body}"
    );
    // Programs are told by a status, and so is a HEAD of theirs.
    for accept in [None, Some("*/*"), Some("application/json")] {
        let request = Request::get("/echo");
        let request = accept
            .into_iter()
            .fold(request, |request, accept| request.with("Accept", accept));
        let (head, body) = fetch(&server, request).await;
        assert_eq!(head.status, 426, "{accept:?}");
        assert!(body.contains("new WebSocket"), "{body}");
    }
    let (head, body) = fetch(&server, page("/echo").line("HEAD /echo HTTP/1.1")).await;
    assert_eq!((head.status, body.as_str()), (200, ""));
    let (head, _) = fetch(&server, page("/echo").line("POST /echo HTTP/1.1")).await;
    assert_eq!(head.status, 405);
    // What pages are made of.
    for (target, status) in [
        ("/_wsh/page.js", 200),
        ("/_wsh/page.css", 200),
        ("/_wsh/", 200),
        ("/_wsh/nothing", 404),
    ] {
        let (head, _) = fetch(&server, Request::get(target)).await;
        assert_eq!(head.status, status, "{target}");
    }
}

#[tokio::test]
async fn where_nothing_is_the_handlers_are_listed() {
    let server = builder().start().await;
    let (head, body) = fetch(&server, page("/")).await;
    assert_eq!(head.status, 200);
    assert!(body.contains("<a href=\"/echo\">"), "{body}");
    assert!(
        body.contains("/room/[id]") && !body.contains("href=\"/room/"),
        "{body}"
    );
    let (head, body) = fetch(&server, page("/nothing")).await;
    assert_eq!(head.status, 404);
    assert!(body.contains("<a href=\"/echo\">"), "{body}");
    server.log(["INFO", "GET /nothing"]).await;
    assert_eq!(fetch(&server, Request::get("/")).await.0.status, 404);

    // What is there comes first; below /_wsh/ nothing else is served.
    let server = builder()
        .files(&[("www/index.html", "mine"), ("www/_wsh/page.css", "theirs")])
        .args(["-d", "www"])
        .start()
        .await;
    assert_eq!(fetch(&server, page("/")).await.1, "mine");
    assert!(
        !fetch(&server, page("/_wsh/page.css"))
            .await
            .1
            .contains("theirs")
    );
    assert_eq!(fetch(&server, page("/nothing.html")).await.0.status, 404);
}

/// A broken handler says so where one looks at it, escaped, and a fault at run time does as well,
/// until it is mended.
#[tokio::test]
async fn reports_are_shown_where_the_handler_is() {
    let server = builder().start().await;
    let (head, body) = fetch(&server, page("/broken")).await;
    assert_eq!(head.status, 200);
    assert!(body.contains("broken_wsh.rhai:"), "{body}");
    assert!(
        body.contains("&lt;script&gt;") && !body.contains("\"<script>"),
        "{body}"
    );
    let (head, body) = fetch(&server, Request::get("/broken")).await;
    assert_eq!(head.status, 500);
    assert!(
        body.contains("broken_wsh.rhai:") && !body.contains("WebSocket resource"),
        "{body}"
    );

    let mut client = connect(server.url("/sum")).await;
    client.send_text("<b>no JSON</b>").await;
    server.log("script fault").await;
    let (_, body) = fetch(&server, page("/sum")).await;
    assert!(
        body.contains("sum_wsh.rhai:2") && body.contains("&lt;b&gt;no JSON"),
        "{body}"
    );
    server.replace("sum_wsh.rhai", ECHO);
    server.log(["sum_wsh.rhai", "reloaded"]).await;
    let (_, body) = fetch(&server, page("/sum")).await;
    assert!(!body.contains("no JSON"), "another version: {body}");
    // A save that is broken is seen while the last good version serves.
    server.replace("sum_wsh.rhai", "fn transfer_data(");
    server.log(["sum_wsh.rhai", "broken"]).await;
    let (head, body) = fetch(&server, page("/sum")).await;
    assert_eq!(head.status, 200);
    assert!(body.contains("sum_wsh.rhai:1"), "{body}");
}

#[tokio::test]
async fn pages_are_in_their_readers_language() {
    let server = builder().start().await;
    for (languages, lang, word) in [
        (None, "en", "Send"),
        (Some("zh-CN,zh;q=0.9,en;q=0.8"), "zh-CN", "发送"),
        (Some("en-US,en;q=0.9,zh-CN;q=0.8"), "en", "Send"),
        (Some("de, zh;q=0.5"), "zh-CN", "发送"),
        (Some("fr"), "en", "Send"),
        (Some("zh;q=0, en;q=0.1"), "en", "Send"),
    ] {
        let request = page("/echo");
        let request = languages.into_iter().fold(request, |request, languages| {
            request.with("Accept-Language", languages)
        });
        let (head, body) = fetch(&server, request).await;
        assert!(
            body.contains(&format!("<html lang=\"{lang}\">")),
            "{languages:?}"
        );
        assert!(body.contains(word), "{languages:?}: {body}");
        assert_eq!(head.header("Vary"), Some("Accept, Accept-Language"));
    }
}

/// Strangers see none of it: neither from another address, nor by another name, nor through a
/// proxy.
#[tokio::test]
async fn strangers_see_no_pages() {
    let server = builder().start().await;
    let passed_on = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1"),
        ("Via", "1.1 proxy"),
        ("X-Real-IP", "192.0.2.1"),
    ];
    for (name, value) in passed_on {
        let (head, body) = fetch(&server, page("/broken").with(name, value)).await;
        assert_eq!(head.status, 500, "{name}");
        assert!(!body.contains("wsh.rhai"), "{body}");
        let (head, body) = fetch(&server, page("/").with(name, value)).await;
        assert_eq!(head.status, 404, "{name}");
        assert!(!body.contains("echo"), "{body}");
        let (head, _) = fetch(&server, page("/_wsh/page.js").with(name, value)).await;
        assert_eq!(head.status, 404, "{name}");
    }
    // As proxies do that say nothing of themselves.
    let old = page("/echo").line("GET /echo HTTP/1.0");
    assert_eq!(fetch(&server, old).await.0.status, 426);

    for args in [
        &["--allow-host", "localhost", "--allow-origin", "*"][..],
        &["--trusted-proxy", "loopback"],
    ] {
        let server = builder().args(args).start().await;
        assert_eq!(
            fetch(&server, page("/echo")).await.0.status,
            426,
            "{args:?}"
        );
        assert_eq!(fetch(&server, page("/")).await.0.status, 404, "{args:?}");
        let dev = builder().args(args).arg("--dev").start().await;
        assert_eq!(fetch(&dev, page("/echo")).await.0.status, 200, "{args:?}");
    }
}

/// A browser does all that the page offers, under its policy, in both languages and both widths.
#[tokio::test]
async fn a_conversation_on_the_built_in_page() {
    let server = builder().start().await;
    let origin = format!("http://localhost:{}", server.port());
    let mut page = Page::open(&format!("{origin}/echo")).await;
    page.until("document.querySelector('#state').textContent == 'open'")
        .await;
    page.fill("#message", "hello <b>").await;
    page.click("#send").await;
    page.shows("#list", "hello <b>").await;
    page.until("document.querySelectorAll('#list li.got').length == 1")
        .await;
    page.click("#toggle").await;
    page.until("document.querySelector('#state').textContent == 'closed'")
        .await;
    page.until("document.querySelector('#send').disabled").await;
    page.click("#toggle").await;
    page.until("document.querySelector('#state').textContent == 'open'")
        .await;
    let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert_eq!(page.value(wide).await, true, "nothing beside the window");

    page.go(&format!("{origin}/broken")).await;
    page.until("document.querySelector('pre').textContent.includes('broken_wsh.rhai')")
        .await;
    page.go(&format!("{origin}/")).await;
    page.click("a[href='/echo']").await;
    page.until("document.querySelector('#state')?.textContent == 'open'")
        .await;

    let mut page = Page::open_in("zh-CN", &format!("{origin}/room/blue")).await;
    page.until("document.querySelector('#state').textContent == '已连接'")
        .await;
    page.fill("#message", "数据").await;
    page.click("#send").await;
    page.until("document.querySelectorAll('#list li.got').length == 1")
        .await;
}
