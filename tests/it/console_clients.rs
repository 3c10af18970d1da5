//! Clients that a console runs side by side: what they can ask for, what they are told, and the
//! page.

use serde_json::{Value, json};

use super::console::Console;
use super::support::browser::Page;
use super::support::{Builder, Server};

/// Says who is there, and tells the others.
const ROOM: &str = "fn do_extra_handshake(request) {
    if request.query_params.user?[0] == \"nobody\" { request.reject(403, \"<b>no</b>\"); }
    if \"chat\" in request.requested_protocols { request.protocol = \"chat\"; }
    this.who = request.query_params.user?[0];
    this.said = `${request.header(\"x-token\")} ${request.origin}`;
}
fn on_open(ws) { ws.subscribe(\"room\"); ws.send(this.said); }
fn transfer_data(ws, message) {
    if message == \"ping\" { ws.ping(\"pi\"); return; }
    if message == \"end\" { ws.close(4000, \"enough\"); return; }
    if message == \"flood\" { for number in 0..1000 { ws.send(`${number}`); } return; }
    if type_of(message) == \"blob\" { ws.send(message); return; }
    publish(\"room\", `${this.who}: ${message}`);
}";

fn seat() -> Builder {
    Server::builder().file("room_wsh.rhai", ROOM).arg("--dev")
}

/// The first row of a client that is so.
async fn row(console: &mut Console, client: &Value, is_it: impl Fn(&Value) -> bool) -> Value {
    let is_it = |row: &Value| row["client"] == *client && is_it(row);
    let told = console
        .until(|push| {
            let rows = push["rows"].as_array();
            push["push"] == "clients" && rows.is_some_and(|rows| rows.iter().any(&is_it))
        })
        .await;
    let rows = told["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| is_it(row)).expect("it").clone();
    // The others are to be found as well.
    console.put_back(told);
    row
}

#[tokio::test]
async fn clients_have_headers_and_subprotocols_and_talk() {
    let server = seat().start().await;
    let mut console = Console::open(&server).await;
    let ada = json!({
        "path": "/room?user=ada", "headers": "X-Token: secret\n\n", "protocol": "other, chat",
        "origin": format!("http://127.0.0.1:{}", server.port()), "compress": true,
    });
    let opened = console.ask("dial", ada).await;
    assert_eq!(
        (&opened["protocol"], &opened["compresses"]),
        (&json!("chat"), &json!(true))
    );
    let ada = opened["client"].clone();
    let first = row(&mut console, &ada, |row| row["way"] == "in").await;
    let said = format!("secret http://127.0.0.1:{}", server.port());
    assert_eq!(
        (&first["text"], &first["opcode"]),
        (&json!(said), &json!(1))
    );
    let opened = console
        .ask("dial", json!({ "path": "/room?user=bob" }))
        .await;
    let bob = opened["client"].clone();
    assert_eq!(opened["protocol"], Value::Null);
    // Each is a connection as any other.
    let (found, total) = {
        let told = console.ask("connections", json!({})).await;
        (
            told["connections"][0]["path"].clone(),
            told["total"].clone(),
        )
    };
    assert_eq!((found, total), (json!("/room"), json!(2)));

    let say = json!({ "client": ada, "text": "<i>hello</i>" });
    console.ask("client-send", say).await;
    for client in [&ada, &bob] {
        row(&mut console, client, |row| {
            row["way"] == "in" && row["text"] == "ada: <i>hello</i>"
        })
        .await;
    }
    row(&mut console, &ada, |row| {
        row["way"] == "out" && row["text"] == "<i>hello</i>"
    })
    .await;
    console
        .ask("client-send", json!({ "client": bob, "data": "AP8=" }))
        .await;
    row(&mut console, &bob, |row| {
        row["way"] == "in" && row["data"] == "AP8="
    })
    .await;
    console
        .ask("client-send", json!({ "client": bob, "text": "ping" }))
        .await;
    row(&mut console, &bob, |row| row["opcode"] == 9).await;

    // Either side ends it.
    console
        .ask(
            "client-close",
            json!({ "client": ada, "code": 4001, "reason": "bye" }),
        )
        .await;
    let ended = row(&mut console, &ada, |row| row["kind"] == "ended").await;
    assert_eq!(ended["code"], 4001);
    console
        .ask("client-send", json!({ "client": bob, "text": "end" }))
        .await;
    let ended = row(&mut console, &bob, |row| row["kind"] == "ended").await;
    assert_eq!(
        (&ended["code"], &ended["reason"]),
        (&json!(4000), &json!("enough"))
    );
    for name in ["client-send", "client-close"] {
        let refused = console
            .try_to(name, json!({ "client": bob, "text": "x" }))
            .await;
        assert!(refused.expect_err(name).contains("is not open"));
    }
}

#[tokio::test]
async fn what_a_client_cannot_have_is_said() {
    let server = seat().start().await;
    let mut console = Console::open(&server).await;
    for (question, wanted) in [
        (json!({}), "path is missing"),
        (json!({ "path": "room" }), "begins with /"),
        (
            json!({ "path": "/room?user=nobody" }),
            "refused with 403 <b>no</b>",
        ),
        (json!({ "path": "/nothing" }), "refused with 404"),
        (
            json!({ "path": "/room", "headers": "no header" }),
            "is no header",
        ),
        (
            json!({ "path": "/room", "headers": "Upgrade: x" }),
            "makes by itself",
        ),
        (
            json!({ "path": "/room", "protocol": "a(b" }),
            "is no subprotocol",
        ),
        (
            json!({ "path": "/room", "origin": "http://elsewhere.example" }),
            "refused with 403",
        ),
    ] {
        let refused = console
            .try_to("dial", question.clone())
            .await
            .expect_err("refused");
        assert!(refused.contains(wanted), "{question}: {refused}");
    }
    // Eight, and their ends make room. They end with the window.
    for _ in 0..8 {
        console.ask("dial", json!({ "path": "/room?user=x" })).await;
    }
    let refused = console
        .try_to("dial", json!({ "path": "/room?user=x" }))
        .await;
    assert!(refused.expect_err("a ninth").contains("8 clients"));
    console.ask("client-close", json!({ "client": 1 })).await;
    row(&mut console, &json!(1), |row| row["kind"] == "ended").await;
    console.ask("dial", json!({ "path": "/room?user=x" })).await;
    let mut other = Console::open(&server).await;
    drop(console);
    other
        .until(|push| push["push"] == "numbers" && push["total"] == 0)
        .await;
}

/// However much a client is sent, a window is told so much of it, and how much it was not told.
#[tokio::test]
async fn floods_of_clients_are_cut_and_counted() {
    let server = seat().start().await;
    let mut console = Console::open(&server).await;
    let opened = console
        .ask("dial", json!({ "path": "/room?user=ada" }))
        .await;
    let flood = json!({ "client": opened["client"], "text": "flood" });
    console.ask("client-send", flood).await;
    let (mut rows, mut missed) = (0, 0);
    while rows + missed < 1002 {
        let told = console.until(|push| push["push"] == "clients").await;
        rows += told["rows"].as_array().expect("rows").len();
        missed += told["missed"].as_u64().expect("a number") as usize;
    }
    assert!(missed > 0 && rows + missed == 1002, "{rows}, {missed}");
}

/// Two clients on the page, side by side, by keys alone; what they are sent stays text.
#[tokio::test]
async fn two_clients_are_seen_side_by_side() {
    let server = seat().start().await;
    let address = format!("http://localhost:{}/_wsh/#/clients", server.port());
    let mut page = Page::open_in("zh-CN", &address).await;
    page.until("document.querySelector('#status').className == 'open'")
        .await;
    page.pictures("clients-none").await;
    for user in ["ada", "bob"] {
        page.fill("#client-path", &format!("/room?user={user}"))
            .await;
        page.fill("#client-headers", "X-Token: <i>t</i>").await;
        page.press("Tab").await;
        page.press("Enter").await;
        page.until(&format!(
            "document.querySelector('#lanes').innerText.includes('user={user}')"
        ))
        .await;
    }
    // The new one has the focus.
    page.until("document.activeElement.id == 'lane-message-2'")
        .await;
    page.fill("#lane-message-2", "<b>大家好</b>").await;
    page.press("Enter").await;
    let both = "[...document.querySelectorAll('.lane')].filter((lane) =>
        lane.innerText.includes('bob: <b>大家好</b>')).length == 2";
    page.until(both).await;
    assert_eq!(
        page.value("document.querySelectorAll('.lane li b b, .lane li i').length")
            .await,
        0
    );
    page.fill("#client-message", "all").await;
    page.press("Enter").await;
    page.until(
        "[...document.querySelectorAll('.lane')].every((lane) =>
        lane.innerText.includes('ada: all') && lane.innerText.includes('bob: all'))",
    )
    .await;
    page.pictures("clients").await;
    page.value("document.querySelector('.lane .close').click()")
        .await;
    page.until("document.querySelector('.lane .reopen:not([hidden])')")
        .await;
    assert_eq!(page.text("nav a[aria-current]").await, "客户端1");
    page.pictures("clients-ended").await;
    page.value("document.querySelector('.lane .reopen').click()")
        .await;
    page.until("document.querySelector('nav a[aria-current]').innerText == '客户端2'")
        .await;
    let nameless = "[...document.querySelectorAll('button, input, select, textarea, a, summary')]
        .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim()
            || one.labels?.[0]?.textContent.trim())).map((one) => one.outerHTML)";
    assert_eq!(page.value(nameless).await, json!([]));
    page.value("document.querySelector('.lane .leave').click()")
        .await;
    page.until("document.querySelectorAll('.lane').length == 1")
        .await;
    for width in [390, 1280] {
        assert!(page.fits(width).await, "{width}");
    }
}
