//! `on_request`: ordinary HTTP on a handler's path, over real sockets.

use serde_json::Value;

use super::support::{Head, Raw, Request, Server, connect, within};

/// Says what came, and does what the path says.
const HANDLER: &str = r#"
fn on_request(request) {
    let sent = request.text;
    switch request.query {
        "text" => `${request.method} ${sent.len()} ${request.cookies.seen ?? "new"}`,
        "json" => #{method: request.method, got: parse_json(sent), list: [1, ()]},
        "form" => request.form,
        "blob" => request.body,
        "nothing" => (),
        "login" => {
            request.status = 303;
            request.add_header("Location", "/chat.html");
            request.add_header("Set-Cookie", "seen=yes; HttpOnly");
            request.add_header("Set-Cookie", "theme=dark");
        },
        "page" => {
            request.add_header("content-type", "text/html");
            request.add_header("Cache-Control", "max-age=60");
            "<p>hello"
        },
        "refuse" => {
            request.add_header("WWW-Authenticate", "Basic");
            request.reject(401, "Who Are You", "tell us");
            "not this"
        },
        "wait" => { print("it waits"); let answer = store("polls").wait("next", ()); `it is ${answer}` },
        "queue" => { print("it waits"); queue("mail").take(30.0) ?? "nothing" },
        "tell" => { store("polls").set("next", sent); queue("mail").put(sent); "told" },
        "number" => 42,
        "fault" => [][1],
        "thrown" => throw "mine",
        "status" => { request.status = 700; },
        "header" => { request.add_header("Content-Length", "7"); },
        "broken" => { request.add_header("X-Name", "a\r\nb: c"); },
        "drop" => request.abort(),
        "spin" => { loop {} },
        "long" => { let text = "x"; text.pad(300000, "y"); text },
        _ => request.target,
    }
}

fn transfer_data(ws, message) {
    ws.send(message);
}
"#;

async fn serve() -> Server {
    let builder = Server::builder().workers(1).file("desk_wsh.rhai", HANDLER);
    builder.start().await
}

fn get(query: &str) -> Request {
    Request::get(&format!("/desk?{query}"))
}

fn post(query: &str, body: &str) -> Request {
    let line = format!("POST /desk?{query} HTTP/1.1");
    let length = body.len().to_string();
    get(query)
        .line(line)
        .with("Content-Length", length)
        .followed_by(body)
}

/// One request on a connection that may stay, and its answer.
async fn ask_on(raw: &mut Raw, request: Request) -> (Head, String) {
    let is_head = request.line.starts_with("HEAD");
    raw.send(request.bytes()).await;
    let head = raw.head().await;
    let body = match head.status {
        204 | 304 => Vec::new(),
        _ if is_head => Vec::new(),
        _ => raw.body(&head).await,
    };
    (head, String::from_utf8(body).expect("text"))
}

async fn ask(server: &Server, request: Request) -> (Head, String) {
    ask_on(&mut Raw::connect(server).await, request).await
}

#[tokio::test]
async fn what_the_hook_gives_is_the_answer() {
    let server = serve().await;
    let (head, body) = ask(&server, post("text", "hello").with("Cookie", "seen=yes")).await;
    assert_eq!((head.status, body.as_str()), (200, "POST 5 yes"));
    assert_eq!(
        head.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(head.header("Cache-Control"), Some("no-store"));

    let (head, body) = ask(&server, post("json", "{\"a\": [1]}")).await;
    assert_eq!(head.header("Content-Type"), Some("application/json"));
    let value: Value = serde_json::from_str(&body).expect("JSON");
    let wanted = serde_json::json!({"method": "POST", "got": {"a": [1]}, "list": [1, null]});
    assert_eq!(value, wanted);

    let (_, body) = ask(&server, post("form", "name=ada+l&name=b%26b&x=")).await;
    let value: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        value,
        serde_json::json!({"name": ["ada l", "b&b"], "x": [""]})
    );

    let (head, body) = ask(&server, post("blob", "\0\u{1}x")).await;
    assert_eq!(body, "\0\u{1}x");
    assert_eq!(
        head.header("Content-Type"),
        Some("application/octet-stream")
    );

    let (head, _) = ask(&server, get("nothing")).await;
    assert_eq!((head.status, head.header("Content-Length")), (204, None));

    let (head, _) = ask(&server, get("login")).await;
    let cookies: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| name == "Set-Cookie")
        .collect();
    assert_eq!((head.status, cookies.len()), (303, 2), "{head:?}");
    assert_eq!(head.header("Location"), Some("/chat.html"));

    let (head, body) = ask(&server, get("page")).await;
    assert_eq!(head.header("Content-Type"), Some("text/html"));
    assert_eq!(head.header("Cache-Control"), Some("max-age=60"));
    assert_eq!(body, "<p>hello");

    let (head, body) = ask(&server, get("refuse")).await;
    assert_eq!((head.status, body.as_str()), (401, "tell us"));
    assert_eq!(head.header("WWW-Authenticate"), Some("Basic"));

    let (_, body) = ask(&server, get("long")).await;
    assert_eq!(body.len(), 300_000);
    // The handler answers handshakes beside it.
    let mut client = connect(server.url("/desk")).await;
    client.send_text("still an echo").await;
    assert_eq!(client.next_text().await, "still an echo");
}

#[tokio::test]
async fn every_method_comes_to_the_hook() {
    let server = serve().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let request = get("text").line(format!("{method} /desk?text HTTP/1.1"));
        let (head, body) = ask(&server, request).await;
        assert_eq!((head.status, body), (200, format!("{method} 0 new")));
    }
    let mut raw = Raw::connect(&server).await;
    let (head, _) = ask_on(&mut raw, get("text").line("HEAD /desk?text HTTP/1.1")).await;
    assert_eq!(head.header("Content-Length"), Some("10"));
    // Requests without a body have one connection, also those that did not wait for an answer.
    for _ in 0..3 {
        raw.send([get("text").bytes(), get("other").bytes()].concat())
            .await;
        for wanted in ["GET 0 new", "/desk?other"] {
            let head = raw.head().await;
            assert_eq!(raw.body(&head).await, wanted.as_bytes());
        }
    }
}

#[tokio::test]
async fn bodies_come_in_every_way_that_the_protocol_knows() {
    let server = serve().await;
    let chunked = |chunks: &str| {
        let line = "POST /desk?text HTTP/1.1";
        get("text")
            .line(line)
            .with("Transfer-Encoding", "chunked")
            .followed_by(chunks)
    };
    let (_, body) = ask(&server, chunked("5\r\nhello\r\n2;a=b\r\n!!\r\n0\r\n\r\n")).await;
    assert_eq!(body, "POST 7 new");
    // curl asks before it sends what is long.
    let mut raw = Raw::connect(&server).await;
    let waits = post("text", "")
        .set("Content-Length", "5")
        .with("Expect", "100-continue");
    raw.send(waits.bytes()).await;
    assert_eq!(raw.head().await.status, 100);
    raw.send("hello").await;
    let head = raw.head().await;
    assert_eq!(raw.body(&head).await, b"POST 5 new");
    let twice = post("text", "hello").with("Content-Length", "5");
    let both = chunked("0\r\n\r\n").with("Content-Length", "5");
    let other = post("text", "x")
        .without("Content-Length")
        .with("Transfer-Encoding", "gzip");
    for (request, status) in [
        (post("text", "").set("Content-Length", "1048577"), 413),
        (chunked("100001\r\n"), 413),
        (post("text", "x").set("Content-Length", "+1"), 400),
        (chunked("zz\r\n"), 400),
        (twice, 400),
        (both, 400),
        (other, 501),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(request.bytes()).await;
        raw.expect_refusal(status).await;
    }
    // Elsewhere nobody reads one.
    let mut raw = Raw::connect(&server).await;
    let elsewhere = post("text", "x").line("POST /nowhere HTTP/1.1");
    raw.send(elsewhere.bytes()).await;
    raw.expect_refusal(400).await;
}

#[tokio::test]
async fn a_poll_waits_and_ends_with_its_client() {
    let log = ["--log-level", "info,wsh_server::http=debug"];
    let builder = Server::builder().workers(1).file("desk_wsh.rhai", HANDLER);
    let server = builder.args(log).start().await;
    let mut waiting = Raw::connect(&server).await;
    waiting.send(get("wait").bytes()).await;
    // One that leaves while it waits takes nothing with it.
    let mut gone = Raw::connect(&server).await;
    gone.send(get("queue").bytes()).await;
    for _ in 0..2 {
        server.log("it waits").await;
    }
    drop(gone);
    server.log("request dropped").await;
    let (_, told) = ask(&server, post("tell", "news")).await;
    assert_eq!(told, "told");
    let head = waiting.head().await;
    assert_eq!(waiting.body(&head).await, b"it is news");
    assert_eq!(ask(&server, get("queue")).await.1, "news");
}

#[tokio::test]
async fn faults_are_answered_with_nothing_of_our_insides() {
    let server = serve().await;
    for (query, said) in [
        ("number", "on_request gave int"),
        ("fault", "desk_wsh.rhai"),
        ("thrown", "mine"),
        ("status", "200 to 599, not 700"),
        ("header", "Content-Length"),
        ("broken", "line break"),
        ("spin", "desk_wsh.rhai"),
    ] {
        let (head, body) = ask(&server, get(query)).await;
        assert_eq!(head.status, 500, "{query}: {body}");
        assert_eq!(
            body, "the handler failed; the server's log says where\n",
            "{query}"
        );
        server.log(said).await;
    }
    let mut raw = Raw::connect(&server).await;
    raw.send(get("drop").bytes()).await;
    raw.expect_eof().await;
    let (head, body) = ask(&server, get("other")).await;
    assert_eq!((head.status, body.as_str()), (200, "/desk?other"));
}

#[tokio::test]
async fn a_handler_may_be_for_requests_alone_and_is_edited_as_any_other() {
    let code = |word: &str| format!("fn on_request(request) {{ \"{word}\" }}\n");
    let builder = Server::builder().file("page_wsh.rhai", code("first"));
    let server = builder.start().await;
    let page = || Request::get("/page");
    assert_eq!(ask(&server, page()).await.1, "first");
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/page").bytes()).await;
    raw.expect_refusal(400).await;
    server.replace("page_wsh.rhai", code("second"));
    let edited = async { while ask(&server, page()).await.1 != "second" {} };
    within("the edit", edited).await;
    // A version that does not serve changes nothing.
    server.replace("page_wsh.rhai", "fn on_request(request) { nope() }");
    server.log("nope").await;
    assert_eq!(ask(&server, page()).await.1, "second");
}
