//! The page that compares polling, long polling and a WebSocket, in a browser; and what the server
//! counts for it, byte by byte.

use std::path::Path;

use serde_json::Value;

use super::support::browser::Page;
use super::support::{Raw, Request, Server, Wire, connect, within};

async fn serve() -> Server {
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers");
    let builder = Server::builder().bare().args(["-p", "0", "-w"]);
    let www = handlers.join("www");
    builder.arg(handlers).arg("-d").arg(www).start().await
}

/// The cells of a row: polling, long polling, WebSocket.
async fn row(page: &mut Page, name: &str) -> Vec<String> {
    let expression = format!(
        "[...document.querySelector('tr[data-row={name}]').cells].slice(1).map(c => c.textContent)"
    );
    let cells = page.value(&expression).await;
    serde_json::from_value(cells).expect("texts")
}

#[tokio::test]
async fn three_ways_bring_the_same_events() {
    let server = serve().await;
    let url = format!("http://127.0.0.1:{}/polling.html", server.port());
    let mut page = Page::open(&url).await;
    let set = |id: &str, value: u32| {
        format!(
            "(() => {{ const e = document.getElementById('{id}'); e.value = {value}; \
             e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); return true; }})()"
        )
    };
    page.until("document.getElementById('clients-are').textContent === '1'")
        .await;
    page.value(&set("clients", 2)).await;
    page.value(&set("rate", 8)).await;
    // Polls without news go on, and events arrive in all lanes.
    page.until(
        "(() => { const r = n => [...document.querySelector(`tr[data-row=${n}]`).cells].slice(1).map(c => parseFloat(c.textContent)); \
         const [a, q] = [r('arrived'), r('requests')]; return Math.min(...a) >= 40 && q[0] >= 8 && q[1] >= 20; })()",
    )
    .await;
    page.pictures("polling").await;
    page.value("scrollTo(0, document.body.scrollHeight)").await;
    page.pictures("polling-plot").await;
    for width in [390, 1280] {
        assert!(page.fits(width).await, "{width}");
    }
    // Half of the polls are half a second late.
    let seconds = |text: &str| -> f64 {
        let (number, unit) = text.split_once(' ').expect("a time");
        number.parse::<f64>().expect("a number") * if unit == "ms" { 0.001 } else { 1.0 }
    };
    let medians: Vec<f64> = row(&mut page, "median")
        .await
        .iter()
        .map(|cell| seconds(cell))
        .collect();
    assert!(medians[0] > medians[2], "{medians:?}");
    page.value(&set("rate", 0)).await;
    page.until(
        "parseFloat(document.querySelector('tr[data-row=empty]').cells[1].textContent) >= 2",
    )
    .await;
    assert_eq!(row(&mut page, "empty").await[2], "0");
    assert_eq!(
        page.value("document.querySelectorAll('#plot circle').length > 20")
            .await,
        true
    );

    let mut page = Page::open_in("zh-CN", &url).await;
    page.shows("h1", "长轮询").await;
    page.until("document.getElementById('clients-are').textContent === '1'")
        .await;
    page.pictures("polling-zh").await;
    assert_eq!(server.count("fault"), 0, "{}", server.logged());
}

/// What is counted is what went over the wire.
#[tokio::test]
async fn traffic_is_counted_to_the_byte() {
    let code = "fn on_request(request) {\n    request.count_as(\"http\");\n    #{ http: traffic(\"http\"), ws: traffic(\"ws\") }\n}\n\
        fn do_extra_handshake(request) { request.count_as(\"ws\"); }\n\
        fn transfer_data(ws, message) { ws.send(message); }\n";
    let server = Server::builder()
        .file("it_wsh.rhai", code)
        .args(["--access-log", "false"])
        .start()
        .await;
    let ask = async |body: &str| -> (usize, usize, Value) {
        let length = body.len().to_string();
        let request = Request::get("/").line("POST /it HTTP/1.1");
        let request = request
            .with("Content-Length", length)
            .with("Connection", "close");
        let mut bytes = request.bytes();
        bytes.extend_from_slice(body.as_bytes());
        let mut raw = Raw::connect(&server).await;
        raw.send(&bytes).await;
        let answer = raw.until_eof().await;
        let head = answer
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .expect("a head")
            + 4;
        let told = serde_json::from_slice(&answer[head..]).expect("JSON");
        (bytes.len(), answer.len(), told)
    };
    let (first_in, first_out, told) = ask("").await;
    assert_eq!(
        told["http"],
        serde_json::json!({"requests": 0, "received": 0, "sent": 0})
    );
    let (second_in, _, told) = ask("name=ada").await;
    assert_eq!(told["http"]["requests"], 1);
    assert_eq!(told["http"]["received"], first_in);
    assert_eq!(told["http"]["sent"], first_out);
    let (_, _, told) = ask("").await;
    assert_eq!(told["http"]["received"], first_in + second_in);

    let request = Request::upgrade("/it").bytes();
    let mut raw = Raw::connect(&server).await;
    raw.send(&request).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.extend(raw.exactly(1).await);
    }
    let frame = Wire::text("hello").bytes();
    raw.send(&frame).await;
    let echoed = raw.exactly(7).await;
    let sent = answer.len() + echoed.len();
    // The echo is counted once it is written, which another worker may not have seen yet.
    let counted = async {
        loop {
            let (_, _, told) = ask("").await;
            if told["ws"]["sent"] == sent {
                break told;
            }
        }
    };
    let told = within("the echo to be counted", counted).await;
    assert_eq!(told["ws"]["requests"], 1);
    assert_eq!(told["ws"]["received"], request.len() + frame.len());
}

#[tokio::test]
async fn names_are_bounded() {
    let code = "fn do_extra_handshake(request) {\n    try { request.count_as(request.query); this.said = \"in\"; }\n    \
        catch (e) { this.said = e.kind; }\n}\n\
        fn transfer_data(ws, message) { ws.send(`${this.said} ${traffic(message).requests}`); }\n";
    let server = Server::builder()
        .file("it_wsh.rhai", code)
        .args(["--max-traffic-names", "2"])
        .start()
        .await;
    let mut first = connect(server.url("/it?a")).await;
    let mut second = connect(server.url("/it?b")).await;
    let mut third = connect(server.url("/it?c")).await;
    for (client, asked, answer) in [
        (&mut first, "a", "in 1"),
        (&mut second, "b", "in 1"),
        (&mut third, "c", "traffic 0"),
    ] {
        client.send_text(asked).await;
        assert_eq!(client.next_text().await, answer);
    }
    let mut long = connect(server.url(&format!("/it?{}", "x".repeat(129)))).await;
    long.send_text("").await;
    assert_eq!(long.next_text().await, "traffic 0");
}
