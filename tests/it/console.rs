//! The console of a developer's seat: what it is told, what it may have done, who may have it, and
//! its page in a browser.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::support::browser::Page;
use super::support::{Builder, Client, ECHO, Raw, Request, Server, connect};

/// One console, as a program has it.
pub(crate) struct Console {
    pub(crate) client: Client,
    last: u64,
    /// What came while something else was waited for.
    pushed: Vec<Value>,
}

impl Console {
    pub(crate) async fn open(server: &Server) -> Self {
        let mut console = Self {
            client: connect(server.url("/_wsh/live")).await,
            last: 0,
            pushed: Vec::new(),
        };
        console.until(|push| push["push"] == "numbers").await;
        console
    }

    async fn next(&mut self) -> Value {
        serde_json::from_str(&self.client.next_text().await).expect("JSON")
    }

    /// Has something done: what was answered.
    pub(crate) async fn try_to(
        &mut self,
        name: &str,
        mut question: Value,
    ) -> Result<Value, String> {
        self.last += 1;
        question["id"] = json!(self.last);
        question["do"] = json!(name);
        self.client.send_text(question.to_string()).await;
        loop {
            let mut message = self.next().await;
            if message["id"] == self.last {
                return match message["error"].as_str() {
                    Some(error) => Err(error.to_owned()),
                    None => Ok(message["ok"].take()),
                };
            }
            self.pushed.push(message);
        }
    }

    pub(crate) async fn ask(&mut self, name: &str, question: Value) -> Value {
        let answer = self.try_to(name, question).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The first thing told from now on, or not looked at yet, that is so.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.pushed.iter().position(&is_it) {
            return self.pushed.remove(place);
        }
        loop {
            let message = self.next().await;
            if is_it(&message) {
                return message;
            }
            self.pushed.push(message);
        }
    }

    /// Something that was told is looked at again.
    pub(crate) fn put_back(&mut self, told: Value) {
        self.pushed.push(told);
    }

    /// The first row that is so.
    async fn row(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            for message in &mut self.pushed {
                let rows = message["rows"].as_array_mut();
                let found = rows.and_then(|rows| {
                    let place = rows.iter().position(&is_it)?;
                    Some(rows.remove(place))
                });
                if let Some(row) = found {
                    return row;
                }
            }
            self.pushed.clear();
            let message = self.next().await;
            self.pushed.push(message);
        }
    }

    /// The connections once there are so many.
    async fn connections(&mut self, count: usize) -> Vec<Value> {
        let numbers = self
            .until(|push| push["push"] == "numbers" && push["total"] == count)
            .await;
        numbers["connections"].as_array().expect("a list").clone()
    }
}

/// Counts words in `this`; asks for what is not there if it is told to.
const COUNTS: &str = "fn transfer_data(ws, message) {
    this.words = (this.words ?? []) + [message];
    if message == \"fault\" { let list = [1]; ws.send(list[7]); }
    ws.send(`${this.words.len()}: ${message}`);
}";

/// The same without the fault.
const MENDED: &str = "fn transfer_data(ws, message) {
    this.words = (this.words ?? []) + [message];
    ws.send(`mended ${this.words.len()}: ${message}`);
}";

fn seat() -> Builder {
    Server::builder()
        .files(&[("echo_wsh.rhai", ECHO), ("counts_wsh.rhai", COUNTS)])
        .arg("--dev")
}

#[tokio::test]
async fn connections_and_the_messages_of_one_are_told() {
    let server = seat().start().await;
    let mut client = connect(server.url("/counts")).await;
    client.send_text("before").await;
    assert_eq!(client.next_text().await, "1: before");
    let mut console = Console::open(&server).await;
    let other = connect(server.url("/echo")).await;
    let connections = console.connections(2).await;
    let of = |path: &str| {
        let found = connections
            .iter()
            .find(|connection| connection["path"] == path);
        found.expect("it is open").clone()
    };
    let counts = of("/counts");
    assert_eq!(counts["handler"], "counts_wsh.rhai");
    assert_eq!(
        (&counts["messages_in"], &counts["bytes_out"]),
        (&json!(1), &json!(9))
    );
    assert!(
        counts["client"]
            .as_str()
            .expect("text")
            .starts_with("127.0.0.1:")
    );
    let id = counts["connection"].clone();

    console.ask("watch", json!({ "connection": id })).await;
    client.send_text("<b>hello</b>").await;
    client.next_text().await;
    client.send_binary([0, 255]).await;
    let row = console.row(|row| row["way"] == "in").await;
    assert_eq!(
        (&row["text"], &row["size"]),
        (&json!("<b>hello</b>"), &json!(12))
    );
    let row = console.row(|row| row["way"] == "out").await;
    assert_eq!(row["text"], "2: <b>hello</b>");
    let row = console.row(|row| row["opcode"] == 2).await;
    assert_eq!(row["data"], "AP8=");

    // `this`, from whichever worker the connection is on.
    let kept = console.ask("inspect", json!({ "connection": id })).await;
    assert_eq!(kept["this"]["words"][1], "<b>hello</b>");
    assert_eq!(kept["this"]["words"][2]["$blob"], "AP8=");
    assert_eq!((&kept["timers"], &kept["topics"]), (&json!([]), &json!([])));

    // It is sent something, and closed.
    client.next_text().await;
    let question = json!({ "connection": id, "text": "from the console" });
    console.ask("send", question).await;
    assert_eq!(client.next_text().await, "from the console");
    let question = json!({ "connection": id, "code": 4001, "reason": "enough" });
    console.ask("close", question).await;
    assert_eq!(client.next_close().await, (4001, "enough".to_owned()));
    let row = console
        .row(|row| row["opcode"] == 8 && row["way"] == "out")
        .await;
    assert_eq!(
        (&row["code"], &row["text"]),
        (&json!(4001), &json!("enough"))
    );
    client.expect_end().await;
    let row = console.row(|row| row["kind"] == "closed").await;
    assert_eq!((&row["connection"], &row["by"]), (&id, &json!("server")));
    assert_eq!(console.connections(1).await[0]["path"], "/echo");
    for name in ["inspect", "send", "close", "watch"] {
        let question = json!({ "connection": id, "text": "" });
        let refused = console.try_to(name, question).await.expect_err(name);
        assert!(refused.contains("is not open"), "{refused}");
    }
    drop(other);
}

#[tokio::test]
async fn pings_closes_and_everybodys_messages_are_told() {
    let server = seat().start().await;
    let mut console = Console::open(&server).await;
    console.ask("watch", json!({ "connection": "all" })).await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(super::support::Wire::ping("pi").bytes()).await;
    for (way, opcode) in [("in", 9), ("out", 10)] {
        let row = console
            .row(|row| row["way"] == way && row["opcode"] == opcode)
            .await;
        assert_eq!(row["data"], "cGk=");
    }
    raw.send(super::support::Wire::close(3000, "<i>bye</i>").bytes())
        .await;
    let row = console
        .row(|row| row["opcode"] == 8 && row["way"] == "in")
        .await;
    assert_eq!(
        (&row["code"], &row["text"]),
        (&json!(3000), &json!("<i>bye</i>"))
    );
}

#[tokio::test]
async fn a_fault_has_its_message_and_is_run_again_until_it_is_mended() {
    let server = seat().start().await;
    let mut console = Console::open(&server).await;
    let mut client = connect(server.url("/counts")).await;
    client.send_text("one").await;
    client.next_text().await;
    client.send_text("fault").await;
    let told = console
        .until(|push| push["push"] == "faults" && push["faults"][0].is_object())
        .await;
    let fault = &told["faults"][0];
    assert_eq!(fault["caused_by"]["text"], "fault");
    assert_eq!(
        (&fault["this"], &fault["this_before"]),
        (&json!({ "words": ["one"] }), &json!(true))
    );
    assert_eq!(
        (&fault["hook"], &fault["line"]),
        (&json!("transfer_data"), &json!(3))
    );
    let report = fault["report"].as_str().expect("a report");
    assert!(
        report.contains("counts_wsh.rhai:3") && report.contains('^'),
        "{report}"
    );
    let question = json!({ "fault": fault["fault"] });

    // As it is, it fails again, in a connection of its own.
    let came = console.ask("again", question.clone()).await;
    assert_eq!(
        (&came["outcome"], &came["version"]),
        (&json!("failed"), &json!(1)),
        "{came}"
    );
    assert!(came["report"].as_str().expect("a report").contains('^'));
    let mut edited = question.clone();
    edited["text"] = json!("two");
    let came = console.ask("again", edited).await;
    assert_eq!(came["outcome"], "passed", "{came}");
    assert_eq!(came["sent"][0]["text"], "2: two");

    server.replace("counts_wsh.rhai", MENDED);
    server.log(["reloaded", "counts_wsh.rhai"]).await;
    console
        .until(|push| push["push"] == "handlers" && push["handlers"][0]["version"] == 2)
        .await;
    let came = console.ask("again", question.clone()).await;
    assert_eq!(
        (&came["outcome"], &came["version"]),
        (&json!("passed"), &json!(2)),
        "{came}"
    );
    assert_eq!(came["sent"][0]["text"], "mended 2: fault");
    assert_eq!(came["this"]["words"], json!(["one", "fault"]));
    // That has mended it, and it can be seen once more.
    console
        .until(|push| push["push"] == "faults" && push["faults"] == json!([]))
        .await;
    assert_eq!(console.ask("again", question).await["outcome"], "passed");

    // The connection itself has noticed nothing of all that.
    client.send_text("three").await;
    assert_eq!(client.next_text().await, "mended 3: three");
    let saves = console.ask("saves", json!({})).await;
    assert_eq!(saves[0]["event"], "handler-reloaded");
}

/// Whoever opens the console after the fault finds it with its message as well.
#[tokio::test]
async fn faults_are_there_for_who_looks_later() {
    let server = seat().start().await;
    let mut client = connect(server.url("/counts")).await;
    for text in ["fault", "fault", "next"] {
        client.send_text(text).await;
    }
    assert_eq!(client.next_text().await, "3: next");
    let mut console = Console::open(&server).await;
    let faults = console.ask("faults", json!({})).await;
    let fault = &faults[0];
    assert_eq!(
        (&fault["times"], &fault["this_before"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(fault["caused_by"]["text"], "fault");
    // It is not a version that is newer, so that nothing is mended.
    assert_eq!(faults.as_array().expect("a list").len(), 1);
    assert_eq!(
        console
            .ask("forget", json!({ "fault": fault["fault"] }))
            .await,
        true
    );
    assert_eq!(console.ask("faults", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_loop_and_an_opening_are_run_again() {
    let loops = "fn transfer_data(ws) {
    loop {
        let message = ws.receive();
        if message == () { break; }
        ws.send(1 / message.len());
    }
}";
    let opens = "fn on_open(ws) { let list = []; ws.send(list[3]); }
fn transfer_data(ws, message) {}";
    let server = Server::builder()
        .files(&[("loops_wsh.rhai", loops), ("opens_wsh.rhai", opens)])
        .args(["--dev"])
        .start()
        .await;
    let mut console = Console::open(&server).await;
    let mut client = connect(server.url("/loops")).await;
    client.send_text("").await;
    let opener = connect(server.url("/opens")).await;
    let told = console
        .until(|push| push["push"] == "faults" && push["faults"][1].is_object())
        .await;
    let faults = told["faults"].as_array().expect("a list");
    let of = |handler: &str| {
        let found = faults.iter().find(|fault| fault["handler"] == handler);
        found.expect("its fault")["fault"].clone()
    };
    let opening = json!({ "fault": of("opens_wsh.rhai") });
    assert_eq!(
        console.ask("again", opening.clone()).await["outcome"],
        "failed"
    );
    server.replace(
        "opens_wsh.rhai",
        "fn on_open(ws) { ws.send(\"hi\"); }\nfn transfer_data(ws, message) {}",
    );
    server.log(["reloaded", "opens_wsh.rhai"]).await;
    console
        .until(|push| push["push"] == "handlers" && push["handlers"][1]["version"] == 2)
        .await;
    let came = console.ask("again", opening).await;
    assert_eq!(
        (&came["outcome"], &came["sent"][0]["text"]),
        (&json!("passed"), &json!("hi"))
    );
    drop(opener);
}

/// What it costs others is bounded, however much there is to tell.
#[tokio::test]
async fn pitfall_25_floods_and_giants_are_cut_and_counted() {
    let server = seat().workers(1).start().await;
    let mut console = Console::open(&server).await;
    console.ask("watch", json!({ "connection": "all" })).await;
    let mut client = connect(server.url("/echo")).await;
    let giant = "数".repeat((10 << 20) / 3);
    client.send_text(giant.as_str()).await;
    assert_eq!(client.next_text().await.len(), giant.len());
    let row = console
        .row(|row| row["way"] == "in" && row["opcode"] == 1)
        .await;
    assert_eq!(
        (&row["size"], &row["cut"]),
        (&json!(giant.len()), &json!(true))
    );
    let text = row["text"].as_str().expect("text");
    assert!(text.len() <= 16 << 10 && giant.starts_with(text));

    let echoed = async {
        for number in 0..10_000 {
            client.send_text(number.to_string()).await;
            assert_eq!(client.next_text().await, number.to_string());
        }
    };
    let began = std::time::Instant::now();
    let (mut rows, mut missed) = (0, 0);
    let counted = async {
        while rows + missed < 20_000 {
            let push = console.until(|push| push["push"] == "rows").await;
            missed += push["missed"].as_u64().expect("a number");
            let told = push["rows"].as_array().expect("rows").iter();
            rows += told.filter(|row| row["kind"] == "message").count() as u64;
        }
    };
    tokio::join!(echoed, counted);
    let seconds = began.elapsed().as_secs() + 2;
    assert!(rows <= 200 * seconds, "{rows} rows in {seconds} s");
}

#[tokio::test]
async fn topics_stores_and_queues_are_shown_and_changed() {
    let code = "fn on_load() { topic(\"room\", #{ history: 10 }); }
fn on_open(ws) { ws.subscribe(\"room\", #{ key: \"ada\", info: #{ at: 1 } }); }
fn transfer_data(ws, message) {
    publish(\"room\", message); store.set(message, #{ n: 1 }); queue(\"jobs\").put(message);
    ws.after(1000, \"later\");
}
fn on_timer(ws, name) {}";
    let server = Server::builder()
        .file("room_wsh.rhai", code)
        .arg("--dev")
        .start()
        .await;
    let mut console = Console::open(&server).await;
    let mut client = connect(server.url("/room")).await;
    client.send_text("first").await;
    assert_eq!(client.next_text().await, "first");
    let topics = console.ask("topics", json!({})).await;
    let wanted = json!([{ "topic": "room", "subscribers": 1, "present": 1, "history": 10 }]);
    assert_eq!(topics, wanted);
    let published = json!({ "topic": "room", "text": "from the console" });
    assert_eq!(
        console.ask("publish", published).await,
        json!({ "subscribers": 1 })
    );
    assert_eq!(client.next_text().await, "from the console");
    let topic = console.ask("topic", json!({ "topic": "room" })).await;
    assert_eq!(topic["history"][1]["text"], "from the console");
    assert_eq!(
        (
            &topic["presence"][0]["key"],
            &topic["presence"][0]["info"]["at"]
        ),
        (&json!("ada"), &json!(1))
    );

    let store = "file:room_wsh.rhai";
    let told = console.ask("stores", json!({})).await;
    let wanted = json!({
        "stores": [{ "store": store, "keys": 1, "is_all": true }],
        "queues": [{ "queue": "jobs", "length": 1 }], "is_all": true,
    });
    assert_eq!(told, wanted);
    let found = console.ask("stores", json!({ "find": "job" })).await;
    assert_eq!(
        (&found["stores"], &found["queues"]),
        (&json!([]), &wanted["queues"])
    );
    for (find, count) in [("", 1), ("FIRST", 1), ("\"n\"", 1), ("nothing", 0)] {
        let question = json!({ "store": store, "find": find });
        let told = console.ask("entries", question).await;
        assert_eq!(
            told["entries"].as_array().expect("a list").len(),
            count,
            "{find}: {told}"
        );
    }
    assert_eq!(
        console.ask("keys", json!({ "store": store })).await,
        json!(["first"])
    );
    let key = json!({ "store": store, "key": "first" });
    assert_eq!(console.ask("get", key.clone()).await["text"], "{\"n\":1}");
    let mut set = key.clone();
    set["json"] = json!("[1, 2]");
    assert_eq!(console.ask("set", set.clone()).await, true);
    assert_eq!(console.ask("get", key.clone()).await["text"], "[1,2]");
    set["json"] = json!("[1, 2");
    assert!(console.try_to("set", set).await.is_err());
    assert_eq!(console.ask("set", key.clone()).await, true, "deleted");
    assert_eq!(console.ask("get", key).await, Value::Null);
    assert_eq!(
        console.ask("queue", json!({ "queue": "jobs" })).await["length"],
        1
    );

    let connections = console.connections(1).await;
    let kept = console
        .ask(
            "inspect",
            json!({ "connection": connections[0]["connection"] }),
        )
        .await;
    assert_eq!(kept["topics"], json!([{ "topic": "room", "key": "ada" }]));
    assert_eq!(kept["timers"][0]["name"], "later");
    for question in [
        json!({}),
        json!({ "topic": "" }),
        json!({ "topic": "room" }),
    ] {
        assert!(console.try_to("publish", question).await.is_err());
    }
    assert!(console.try_to("nothing", json!({})).await.is_err());
}

/// Without `--dev` there is none, and with it, none for strangers and their pages.
#[tokio::test]
async fn it_is_for_the_developer_alone() {
    async fn status(server: &Server, request: Request) -> u16 {
        let mut raw = Raw::connect(server).await;
        raw.send(request.bytes()).await;
        raw.head().await.status
    }
    let plain = Server::builder().file("echo_wsh.rhai", ECHO).start().await;
    assert_eq!(status(&plain, Request::upgrade("/_wsh/live")).await, 404);
    assert_eq!(
        status(&plain, Request::get("/_wsh/console/console.js")).await,
        404
    );

    let server = seat().start().await;
    let host = format!("127.0.0.1:{}", server.port());
    let live = || Request::upgrade("/_wsh/live").set("Host", &host);
    assert_eq!(status(&server, live()).await, 101);
    assert_eq!(
        status(&server, live().with("Origin", format!("http://{host}"))).await,
        101
    );
    for origin in ["null", "http://127.0.0.1:1", "http://localhost", "file://"] {
        assert_eq!(
            status(&server, live().with("Origin", origin)).await,
            403,
            "{origin}"
        );
    }
    for name in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"] {
        assert_eq!(
            status(&server, live().with(name, "192.0.2.1")).await,
            403,
            "{name}"
        );
        let asset = Request::get("/_wsh/console/console.js").with(name, "192.0.2.1");
        assert_eq!(status(&server, asset).await, 404, "{name}");
    }
    let asset = Request::get("/_wsh/console/console.js").set("Host", &host);
    assert_eq!(status(&server, asset).await, 200);
}

const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console-api.json");

/// A request of the API: the status, and what was answered.
pub(crate) async fn call(server: &Server, method: &str, target: &str) -> (u16, Value) {
    let line = format!("{method} /_wsh/api/{target} HTTP/1.1");
    let request = Request::get("/").line(line).with("Connection", "close");
    let mut raw = Raw::connect(server).await;
    raw.send(request.bytes()).await;
    let head = raw.head().await;
    let body = raw.until_eof().await;
    (head.status, serde_json::from_slice(&body).expect("JSON"))
}

/// A client is tested: what it sends is waited for, it is answered and sent away.
#[tokio::test]
async fn a_program_has_the_same_over_http() {
    let server = seat().start().await;
    assert_eq!(call(&server, "POST", "reset").await, (200, Value::Null));
    let mut client = connect(server.url("/echo")).await;
    let waiting = call(
        &server,
        "GET",
        "journal?path=/echo&pointer=/type&equals=hello&wait=20",
    );
    let sending = async {
        for text in ["{\"type\": \"other\"}", "{\"type\": \"hello\"}"] {
            client.send_text(text).await;
            client.next_text().await;
        }
    };
    let ((status, found), ()) = tokio::join!(waiting, sending);
    assert_eq!((status, &found["count"]), (200, &json!(1)), "{found}");
    let row = &found["rows"][0];
    assert_eq!(row["text"], "{\"type\": \"hello\"}");
    let connection = &row["connection"];
    let (status, found) = call(&server, "GET", "journal?contains=nobody&wait=0.05").await;
    assert_eq!((status, &found["count"]), (404, &json!(0)));
    let (_, found) = call(&server, "GET", "journal?way=out").await;
    assert_eq!(found["count"], 2);

    let (_, all) = call(&server, "GET", "connections?filter=echo").await;
    assert_eq!(all["connections"][0]["connection"], *connection);
    let send = format!("send?connection={connection}&text=%3Cb%3E+%E6%95%B0");
    assert_eq!(call(&server, "POST", &send).await.0, 200);
    assert_eq!(client.next_text().await, "<b> 数");
    let close = format!("close?connection={connection}&code=4000&reason=enough");
    assert_eq!(call(&server, "POST", &close).await.0, 200);
    assert_eq!(client.next_close().await, (4000, "enough".to_owned()));
    client.expect_end().await;

    // "Refuse twice, then accept" needs a value that a test can set.
    let set = "set?store=tests&key=refusals&json=2";
    assert_eq!(call(&server, "POST", set).await, (200, json!(true)));
    let (_, value) = call(&server, "GET", "get?store=tests&key=refusals").await;
    assert_eq!(value["text"], "2");

    for (method, target, wanted) in [
        ("GET", "nothing", 404),
        ("GET", "reset", 405),
        ("POST", "faults", 405),
        ("GET", "inspect?connection=x", 400),
        ("GET", "inspect?nothing=1", 400),
        ("GET", "inspect", 400),
        ("POST", "close?connection=999999", 400),
    ] {
        let (status, error) = call(&server, method, target).await;
        assert_eq!(status, wanted, "{method} {target}: {error}");
        assert!(error["error"].is_string(), "{error}");
    }
    // No page of anywhere else, and nobody through a proxy.
    for (name, value) in [
        ("Origin", "http://localhost:1"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("X-Forwarded-For", "192.0.2.1"),
    ] {
        let mut raw = Raw::connect(&server).await;
        let get = Request::get("/_wsh/api/faults").with(name, value);
        raw.send(get.bytes()).await;
        let status = raw.head().await.status;
        assert!([403, 404].contains(&status), "{name}: {value}: {status}");
    }

    // The document is the one that the server has.
    let (_, document) = call(&server, "GET", "openapi.json").await;
    let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(API, &text).expect("write docs/console-api.json");
    }
    let kept = std::fs::read_to_string(API).expect("docs/console-api.json");
    assert!(
        kept == text,
        "it is stale: run the tests with UPDATE_GOLDEN=1"
    );
}

/// Behind a password it is for whoever has it, and nobody may guess for long.
#[tokio::test]
async fn a_password_lets_in_and_cannot_be_guessed() {
    let server = seat()
        .args(["--basic-auth", "--basic-auth-credential", "ada:countess"])
        .start()
        .await;
    async fn status(server: &Server, password: &str) -> u16 {
        let shown = data_encoding::BASE64.encode(format!("ada:{password}").as_bytes());
        let host = format!("127.0.0.1:{}", server.port());
        let live = Request::upgrade("/_wsh/live").set("Host", host);
        let live = live.with("X-Forwarded-For", "192.0.2.1");
        let mut raw = Raw::connect(server).await;
        let live = live.with("Authorization", format!("Basic {shown}"));
        raw.send(live.bytes()).await;
        raw.head().await.status
    }
    assert_eq!(status(&server, "countess").await, 101);
    for guess in 0..5 {
        assert_eq!(status(&server, &format!("guess{guess}")).await, 401);
    }
    assert_eq!(status(&server, "guess5").await, 429);
    assert_eq!(status(&server, "countess").await, 429);
}

#[tokio::test]
async fn a_sixteenth_window_is_the_last() {
    let server = seat().start().await;
    let mut consoles = Vec::new();
    for _ in 0..16 {
        consoles.push(Console::open(&server).await);
    }
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.handshake("/_wsh/live", &[]).await.status, 503);
    drop(consoles.pop());
    // Its place is free once its connection has ended.
    loop {
        let mut raw = Raw::connect(&server).await;
        if raw.handshake("/_wsh/live", &[]).await.status == 101 {
            break;
        }
    }
    consoles[0].client.send_binary([1]).await;
    let (code, _) = consoles[0].client.close(1000, "").await;
    assert_eq!(code, 1011);
}

/// The page's own files: short, and no browser is surprised by them.
#[test]
fn the_modules_of_the_page_are_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/page");
    let mut modules = 0;
    for entry in std::fs::read_dir(&folder).expect("the page's folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.lines().count() < 400, "{} is long", path.display());
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
        ] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
        let listed = include_str!("../../src/console/page.rs");
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        assert!(listed.contains(name), "{name} is not served");
        if name.ends_with(".js") {
            modules += 1;
            let checked = Command::new("node")
                .args(["--input-type=module", "--check"])
                .stdin(std::fs::File::open(&path).expect("a file"))
                .output()
                .expect("node: apt-get install nodejs");
            let complaint = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{name}: {complaint}");
        }
    }
    assert!(modules > 5);
}

/// A fault is seen, the handler edited, and the message run again until it passes, without the
/// mouse's leaving the page; markup stays text.
#[tokio::test]
async fn a_fault_is_mended_in_front_of_the_page() {
    let editor = "test-editor://open?file={file}&at={line}:{column}";
    let server = seat().args(["--editor", editor]).start().await;
    let mut page = Page::open(&format!("http://localhost:{}/_wsh/", server.port())).await;
    page.until("document.querySelector('#status').className == 'open'")
        .await;
    let mut client = connect(server.url("/counts")).await;
    client.send_text("<img src=x onerror=alert(1)>").await;
    client.next_text().await;
    page.until("document.querySelectorAll('#connections-table tbody tr').length == 1")
        .await;
    page.click("#connections-table .pick").await;
    page.until("document.querySelector('#one-title').textContent.includes('/counts')")
        .await;
    client
        .send_text("{\"type\": \"hello\", \"list\": [1, 2, {\"a\": null}]}")
        .await;
    client.next_text().await;
    client.send_binary((0..=255).collect::<Vec<u8>>()).await;
    client.next_text().await;
    page.shows("#messages", "\"hello\"").await;
    page.click("#state > summary").await;
    page.shows("#inner", "words").await;
    page.pictures("connections").await;

    page.fill("#message", "from <b>the</b> page").await;
    page.click("#send").await;
    assert_eq!(client.next_text().await, "from <b>the</b> page");
    page.shows("#messages", "from <b>the</b> page").await;
    times_since_one(&mut page).await;
    assert_eq!(
        page.value("document.querySelectorAll('#main img, #main li b b').length")
            .await,
        0
    );

    client.send_text("fault").await;
    page.until("document.querySelector('nav a[href=\"#/faults\"] .badge').textContent == '1'")
        .await;
    go_to(&mut page, "faults").await;
    page.shows("#fault-list", "counts_wsh.rhai:3").await;
    page.shows("#fault-list", "fault").await;
    let link = page.value("document.querySelector('#fault-list a.editor').href");
    let link = link.await;
    let link = link.as_str().expect("an address");
    assert!(link.starts_with("test-editor://open?file=/"), "{link}");
    assert!(link.contains("/counts_wsh.rhai&at=3:"), "{link}");
    page.click(".again").await;
    page.until("document.querySelector('.result .failed')")
        .await;
    page.pictures("fault").await;
    server.replace("counts_wsh.rhai", MENDED);
    server.log(["reloaded", "counts_wsh.rhai"]).await;
    page.click(".again").await;
    page.until("document.querySelector('.result .passed')")
        .await;
    page.until("document.querySelector('.card.mended')").await;
    page.pictures("mended").await;
    page.click(".forget").await;
    page.until("!document.querySelector('.card')").await;

    server.replace("counts_wsh.rhai", "fn transfer_data(");
    page.until("document.querySelector('#broken .card')").await;
    go_to(&mut page, "handlers").await;
    page.shows("#handlers", "counts_wsh.rhai").await;
    page.pictures("handlers").await;
    go_to(&mut page, "log").await;
    page.shows("#log-list", "counts_wsh.rhai").await;
    page.pictures("log").await;
    go_to(&mut page, "connections").await;
    page.value("document.querySelector('#close-form').requestSubmit()")
        .await;
    assert_eq!(client.next_close().await.0, 1000);
    client.expect_end().await;
    page.shows("#one-said", "1000").await;
    // Last, since a window of another size takes no clicks for a while.
    for width in [390, 1280] {
        for section in ["connections", "faults", "handlers", "log"] {
            go_to(&mut page, section).await;
            assert!(page.fits(width).await, "{section} at {width}");
        }
    }
}

/// Times are told since the message that is chosen, and since the one before each once it is not.
async fn times_since_one(page: &mut Page) {
    let second = "#messages li:nth-child(2)";
    let time = |number: usize| format!("document.querySelectorAll('#messages .after')[{number}]");
    page.click(&format!("{second} summary")).await;
    page.until(&format!("document.querySelector('{second} .mark')"))
        .await;
    page.click(&format!("{second} .mark")).await;
    let zero = page.value(&format!("{}.textContent", time(1))).await;
    assert!(
        zero.as_str().is_some_and(|text| text.starts_with("+0 ")),
        "{zero}"
    );
    for number in 0..3 {
        let title = page.value(&format!("{}.title", time(number))).await;
        assert_eq!(title, "since the chosen one");
    }
    let sign = page.value(&format!("{}.textContent[0]", time(2))).await;
    assert_eq!(sign, "+");
    page.pictures("times").await;
    page.click(&format!("{second} .mark")).await;
    let first = page
        .value(&format!("{0}.title + {0}.textContent", time(0)))
        .await;
    assert_eq!(first, "since the last one");
    page.click(&format!("{second} summary")).await;
}

/// A message is kept by a name, is there when the page is loaded anew, is sent, and goes.
async fn kept_messages(page: &mut Page, client: &mut Client) {
    page.value("document.querySelector('#saved').open = true")
        .await;
    page.fill("#message", "<b>once more</b>").await;
    page.fill("#saved-name", "a <i>name</i>").await;
    page.value("document.querySelector('#keep').click()").await;
    page.shows("#saved-list", "a <i>name</i>").await;
    // Until it is another page, this one would do.
    page.value("window.isBefore = true; location.reload()")
        .await;
    page.until("!window.isBefore && document.querySelector('#connections-table .pick')")
        .await;
    page.value("document.querySelector('#connections-table .pick').click()")
        .await;
    page.value("document.querySelector('#saved').open = true")
        .await;
    page.shows("#saved-list", "a <i>name</i>").await;
    page.pictures("saved").await;
    assert_eq!(page.text("#message").await, "");
    page.value("document.querySelector('#saved-list button').click()")
        .await;
    page.until("document.querySelector('#message').value === '<b>once more</b>'")
        .await;
    page.value("document.querySelector('#send').click()").await;
    assert_eq!(client.next_text().await, "<b>once more</b>");
    page.value("document.querySelectorAll('#saved-list button')[1].click()")
        .await;
    page.until("!document.querySelector('#saved-list li')")
        .await;
    client.send_text("kept").await;
    client.next_text().await;
    page.shows("#messages", "kept").await;
}

/// Plots move, topics and stores are seen and changed, and what is on the screen is kept as a file.
#[tokio::test]
async fn numbers_topics_stores_and_a_file() {
    let code = "fn on_load() { topic(\"room\", #{ history: 10 }); }
fn on_open(ws) { ws.subscribe(\"room\", #{ key: \"ada\", info: #{ at: 1 } }); }
fn transfer_data(ws, message) { publish(\"room\", message); store.set(message, #{ n: 1 }); }";
    let server = Server::builder()
        .file("room_wsh.rhai", code)
        .arg("--dev")
        .start()
        .await;
    let address = format!("http://localhost:{}/_wsh/", server.port());
    let mut page = Page::open(&address).await;
    page.until("document.querySelector('#status').className == 'open'")
        .await;
    let mut client = connect(server.url("/room")).await;
    client.send_text("<b>first</b>").await;
    client.next_text().await;
    go_to(&mut page, "topics").await;
    page.until("document.querySelectorAll('#topics .pick').length == 1")
        .await;
    page.click("#topics .pick").await;
    page.shows("#topic-inner", "<b>first</b>").await;
    page.shows("#topic-inner", "ada").await;
    page.fill("#topic-text", "to everybody").await;
    page.click("#publish").await;
    assert_eq!(client.next_text().await, "to everybody");
    page.shows("#topic-inner", "to everybody").await;
    page.pictures("topics").await;

    go_to(&mut page, "store").await;
    page.value("document.querySelector('#list').click()").await;
    page.shows("#store-keys", "<b>first</b>").await;
    page.value("document.querySelector('#store-keys button').click()")
        .await;
    page.until("document.querySelector('#store-value').value.includes('\"n\": 1')")
        .await;
    page.fill("#store-value", "[1, 2, 3]").await;
    page.value("document.querySelector('#set').click()").await;
    page.shows("#store-said", "set").await;
    page.pictures("store").await;

    go_to(&mut page, "numbers").await;
    let moved = "[...document.querySelectorAll('.plot:nth-child(-n+3) path')]
        .every((path) => path.getAttribute('d').includes('L'))";
    let mut number = 0;
    while page.value(moved).await != true {
        number += 1;
        client.send_text(format!("{}", number % 10)).await;
        client.next_text().await;
    }
    page.pictures("numbers").await;
    go_to(&mut page, "handlers").await;
    page.until("/\\d (µs|ms) \\//.test(document.querySelector('#handlers').innerText)")
        .await;

    go_to(&mut page, "connections").await;
    page.value("document.querySelector('#connections-table .pick').click()")
        .await;
    page.until("document.querySelector('#messages li')").await;
    client.send_text("kept").await;
    client.next_text().await;
    page.shows("#messages", "kept").await;
    kept_messages(&mut page, &mut client).await;
    let file = "(() => { let kept; const make = URL.createObjectURL;
        URL.createObjectURL = (blob) => { kept = blob; return make(blob); };
        document.querySelector('#har').click();
        return kept.text(); })()";
    let file = page.value(file).await;
    let file: Value = serde_json::from_str(file.as_str().expect("a text")).expect("JSON");
    let entry = &file["log"]["entries"][0];
    assert_eq!(file["log"]["version"], "1.2");
    assert_eq!(entry["_resourceType"], "websocket");
    let messages = entry["_webSocketMessages"].as_array().expect("a list");
    // What was sent from the page may be in it as well, or not yet.
    let kept = messages
        .iter()
        .find(|one| one["data"] == "kept" && one["type"] == "send");
    let kept = kept.expect("what the client has sent");
    assert_eq!(kept["opcode"], 1);
    assert!(kept["time"].is_f64() && entry["startedDateTime"].is_string());
    for width in [390, 1280] {
        for section in ["topics", "store", "numbers", "handlers"] {
            go_to(&mut page, section).await;
            assert!(page.fits(width).await, "{section} at {width}");
        }
    }
}

/// A page's style changes in place, its text with a new load, and a strip says what is wrong with
/// the handler that it is connected to until that is mended.
#[tokio::test]
async fn a_page_follows_its_files_and_its_handler() {
    let html = "<!doctype html><html lang=en><head><title>one</title>
<link rel=stylesheet href=style.css><script src=page.js></script></head><body>page</body></html>";
    let script = "const socket = new WebSocket(`ws://${location.host}/counts`);
socket.onopen = () => socket.send('fault'); window.kept = Math.random();
socket instanceof WebSocket && (document.documentElement.dataset.is = WebSocket.OPEN);";
    let server = seat()
        .files(&[
            ("www/index.html", html),
            ("www/page.js", script),
            ("www/style.css", "body { color: rgb(1, 2, 3); }"),
            ("www/other.html", "<p>other"),
        ])
        .args(["-d", "www"])
        .start()
        .await;
    let address = format!("http://localhost:{}/", server.port());
    let mut page = Page::open(&address).await;
    const COLOUR: &str = "getComputedStyle(document.body).color";
    assert_eq!(page.value(COLOUR).await, "rgb(1, 2, 3)");
    assert_eq!(page.value("document.documentElement.dataset.is").await, "1");
    let shown = |text: &str| {
        format!(
            "document.querySelector('wsh-strip')?.shadowRoot.textContent.includes({})",
            json!(text)
        )
    };
    page.until(&shown("counts_wsh.rhai:3")).await;
    page.pictures("strip").await;
    let kept = page.value("window.kept").await;

    // In place.
    server.write(
        "www/style.css",
        "body { color: rgb(4, 5, 6); background: #eee; }",
    );
    page.until(&format!("{COLOUR} == 'rgb(4, 5, 6)'")).await;
    page.until("document.querySelectorAll('link').length == 1")
        .await;
    // What is no part of this page leaves it alone.
    let fetched = page
        .value("fetch('/other.html').then((it) => it.text())")
        .await;
    assert_eq!(fetched, "<p>other", "a part, and no page");
    assert_eq!(page.value("window.kept").await, kept);

    // Mended, and broken by a save.
    server.replace("counts_wsh.rhai", MENDED);
    server.log(["reloaded", "counts_wsh.rhai"]).await;
    page.value("socket.send('well')").await;
    page.until("!document.querySelector('wsh-strip')").await;
    server.replace("counts_wsh.rhai", "fn transfer_data(<b>");
    page.until(&shown("broken save")).await;
    page.until(&shown("fn transfer_data(<b>")).await;
    page.value("dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
        .await;
    page.until("!document.querySelector('wsh-strip')").await;
    server.replace("counts_wsh.rhai", "fn transfer_data(ws");
    page.until(&shown("fn transfer_data(ws")).await;
    server.replace("counts_wsh.rhai", MENDED);
    page.until("!document.querySelector('wsh-strip')").await;
    assert_eq!(page.value("window.kept").await, kept, "never loaded anew");

    server.write("www/index.html", html.replace("one", "two"));
    page.until("document.title == 'two'").await;
    let kept = page.value("window.kept").await;
    server.write("www/page.js", script.replace("'fault'", "'well'"));
    page.until(&format!("window.kept && window.kept != {kept}"))
        .await;
}

#[tokio::test]
async fn pages_are_left_alone_unless_somebody_develops() {
    let page = "<!doctype html><head></head><p>as it is";
    for (args, is_other) in [
        (&[][..], false),
        (&["--dev"], true),
        (&["--dev", "--no-inject"], false),
    ] {
        let server = Server::builder()
            .files(&[("echo_wsh.rhai", ECHO), ("www/index.html", page)])
            .args(["-d", "www"])
            .args(args)
            .start()
            .await;
        let mut raw = Raw::connect(&server).await;
        let get = Request::get("/").with("Accept", "text/html");
        let get = get.with("Connection", "close");
        raw.send(get.bytes()).await;
        let head = raw.head().await;
        let body = String::from_utf8(raw.until_eof().await).expect("text");
        assert_eq!(
            head.header("Content-Length"),
            Some(&*body.len().to_string())
        );
        assert_eq!(body != page, is_other, "{args:?}: {body}");
        assert_eq!(body.contains("<head><script src="), is_other, "{body}");
    }
}

/// Shows a section, once what was hidden has its place.
async fn go_to(page: &mut Page, section: &str) {
    page.value(&format!("location.hash = '#/{section}'")).await;
    let shown = format!("!document.querySelector('section#{section}').hidden");
    page.until(&format!("{shown} && scrollY == 0")).await;
}

/// Everything by the keyboard alone, and in Chinese.
#[tokio::test]
async fn the_keyboard_is_enough() {
    let server = seat().start().await;
    let address = format!("http://localhost:{}/_wsh/", server.port());
    let mut page = Page::open_in("zh-CN", &address).await;
    let mut client = connect(server.url("/counts")).await;
    page.until("document.querySelectorAll('#connections-table tbody tr').length == 1")
        .await;
    assert_eq!(page.text("nav a[aria-current]").await, "连接1");
    page.value("document.querySelector('#filter').focus()")
        .await;
    page.press("Tab").await;
    assert_eq!(page.value("document.activeElement.className").await, "pick");
    page.press("Enter").await;
    page.until("!document.querySelector('#one').hidden").await;
    page.value("document.querySelector('#message').focus()")
        .await;
    page.fill("#message", "键盘").await;
    page.press("Tab").await;
    page.press("Tab").await;
    page.press("Enter").await;
    assert_eq!(client.next_text().await, "键盘");
    // Whatever can be reached has a name that is read out.
    let nameless = "[...document.querySelectorAll('button, input, select, textarea, a, summary')]
        .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim()
            || one.labels?.[0]?.textContent.trim())).map((one) => one.outerHTML)";
    assert_eq!(page.value(nameless).await, json!([]));
    page.pictures("chinese").await;
}
