//! What people read when a script is wrong: every kind of fault once, word for word as in
//! `tests/golden/faults`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it faults` writes the files anew; the difference is for the
//! review.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::support::{ECHO, Raw, Server, Wire, within};

/// Scripts with something that `check` reports.
const CHECKED: &[(&str, &str)] = &[
    (
        "both_ways",
        "fn transfer_data(ws) {\n    ws.receive();\n}\n\nfn transfer_data(ws, message) {\n    \
        ws.send(message);\n}\n",
    ),
    (
        "frames_without_the_flag",
        "fn transfer_data(ws, message) {}\n\nfn on_frame(ws, frame) {}\n",
    ),
    (
        "semicolon",
        "fn transfer_data(ws, message) {\n    let name = message\n    ws.send(name);\n}\n",
    ),
    (
        "brace",
        "fn transfer_data(ws, message) {\n    if message == \"a\" {\n        \
        ws.send(message);\n}\n",
    ),
    (
        "bracket",
        "fn transfer_data(ws, message) {\n    ws.send(message.to_upper(;\n}\n",
    ),
    (
        "too_many_braces",
        "fn transfer_data(ws, message) {\n    ws.send(message); }\n}\n",
    ),
    (
        "open_text",
        "fn transfer_data(ws, message) {\n    ws.send(\"hello);\n}\n",
    ),
    (
        "single_quotes",
        "fn transfer_data(ws, message) {\n    ws.send('hello');\n}\n",
    ),
    (
        "escape",
        "fn transfer_data(ws, message) {\n    ws.send(\"100\\%\");\n}\n",
    ),
    (
        "letters",
        "fn transfer_data(ws, message) {\n    let größe = message.len;\n}\n",
    ),
    (
        "misspelt_variable",
        "fn transfer_data(ws, message) {\n    ws.send(mesage);\n}\n",
    ),
    (
        "misspelt_in_a_template",
        "fn transfer_data(ws, message) {\n    let user = #{ name: \"Ada\" };\n    \
        ws.send(`${message} for ${usr.name}!`);\n}\n",
    ),
    (
        "word_of_python",
        "fn transfer_data(ws, message) {\n    if message == None { ws.close(); }\n}\n",
    ),
    (
        "word_of_javascript",
        "fn transfer_data(ws, message) {\n    var name = message;\n}\n",
    ),
    (
        "and",
        "fn transfer_data(ws, message) {\n    if message == \"a\" and ws.id == \"1\" { ws.close(); \
        }\n}\n",
    ),
    (
        "increment",
        "fn transfer_data(ws, message) {\n    let n = 1;\n    n++;\n}\n",
    ),
    (
        "c_loop",
        "fn transfer_data(ws, message) {\n    for (i = 0; i < 3; i += 1) { ws.send(message); \
        }\n}\n",
    ),
    (
        "assignment",
        "fn transfer_data(ws, message) {\n    name = message;\n}\n",
    ),
    (
        "map_literal",
        "fn transfer_data(ws, message) {\n    ws.send({name: message});\n}\n",
    ),
    (
        "constant_in_a_function",
        "const GREETING = \"hello\";\nfn transfer_data(ws, message) {\n    ws.send(GREETING);\n}\n",
    ),
    (
        "variable_of_the_top_level",
        "let count = 0;\nfn transfer_data(ws, message) {\n    count += 1;\n}\n",
    ),
    (
        "ws_in_a_helper",
        "fn transfer_data(ws, message) {\n    reply(message);\n}\nfn reply(text) {\n    \
        ws.send(text);\n}\n",
    ),
    (
        "ws_at_the_top",
        "ws.send(\"hello\");\nfn transfer_data(ws, message) { }\n",
    ),
    (
        "function_without_parentheses",
        "fn transfer_data(ws, message) {\n    print message;\n}\n",
    ),
    (
        "own_name_that_is_foreign",
        "fn transfer_data(ws, message) {\n    let object = #{ name: message }\n    object.name \
        = \"x\";\n}\n",
    ),
    (
        "function_inside",
        "fn transfer_data(ws, message) {\n    fn double(x) { x * 2 }\n}\n",
    ),
    (
        "constant_changed",
        "fn transfer_data(ws, message) {\n    const N = 1;\n    N += 1;\n}\n",
    ),
    (
        "lost_in_a_constant",
        "const SEEN = #{};\nfn transfer_data(ws, message) {\n    global::SEEN[message] = \
        true;\n}\n",
    ),
    (
        "lost_in_a_copy",
        "fn transfer_data(ws, message) {\n    ws.params.name = message;\n}\n",
    ),
    (
        "lost_in_a_loop",
        "fn transfer_data(ws, message) {\n    for user in this.users {\n        user.seen = \
        true;\n    }\n}\n",
    ),
    (
        "lost_in_a_value",
        "fn transfer_data(ws, message) {\n    this.get(\"users\").push(message);\n}\n",
    ),
    (
        "unknown_module",
        "fn transfer_data(ws, message) {\n    chat::join(ws);\n}\n",
    ),
    (
        "eval",
        "fn transfer_data(ws, message) {\n    eval(message);\n}\n",
    ),
    (
        "top_level_run",
        "const LIMITS = [1, 2][7];\nfn transfer_data(ws, message) { }\n",
    ),
    ("no_hook", "fn on_open(ws) { }\n"),
    (
        "nearly_a_hook",
        "fn on_opne(ws) { }\nfn transfer_data(ws, message) { }\n",
    ),
    (
        "wrong_parameters",
        "fn transfer_data(ws, message) { }\nfn on_close(ws) { }\n",
    ),
    (
        "name_of_the_browser",
        "fn onMessage(ws, message) { }\nfn transfer_data(ws, message) { }\n",
    ),
    (
        "name_of_pywebsocket",
        "fn web_socket_transfer_data(request) { }\n",
    ),
    (
        "name_of_pywebsocket_too",
        "fn web_socket_do_extra_handshake(request) { }\nfn transfer_data(ws, message) { }\n",
    ),
    (
        "constant_of_a_closure",
        "let count = 0;\nconst inc = || { count += 1; count };\nfn transfer_data(ws, message) { \
        }\n",
    ),
    (
        "arrow",
        "fn transfer_data(ws, message) {\n    let doubled = [1].map(n => n * 2);\n}\n",
    ),
    (
        "foreach",
        "fn transfer_data(ws, message) {\n    foreach item in [1, 2] { ws.send(item); }\n}\n",
    ),
    (
        "raise",
        "fn transfer_data(ws, message) {\n    raise \"x\";\n}\n",
    ),
    (
        "bytes_literal",
        "fn transfer_data(ws, message) {\n    ws.send(b\"xx\");\n}\n",
    ),
    (
        "format_literal",
        "fn transfer_data(ws, message) {\n    ws.send(f'hi {message}');\n}\n",
    ),
    (
        "json_literal",
        "fn transfer_data(ws, message) {\n    let user = {\"name\": 1};\n}\n",
    ),
    (
        "type_written",
        "fn transfer_data(ws, message) {\n    let n: int = 1;\n}\n",
    ),
    (
        "assignment_in_a_condition",
        "fn transfer_data(ws, message) {\n    let x = 1;\n    if (x = 1) { ws.close(); }\n}\n",
    ),
    (
        "delete",
        "fn transfer_data(ws, message) {\n    let o = #{ a: 1 };\n    delete o.a;\n}\n",
    ),
    (
        "slice",
        "fn transfer_data(ws, message) {\n    ws.send(message[1:]);\n}\n",
    ),
    ("pass", "fn transfer_data(ws, message) {\n    pass\n}\n"),
    (
        "finally",
        "fn transfer_data(ws, message) {\n    try { ws.close(); } catch (e) { } finally { }\n}\n",
    ),
    (
        "c_loop_with_let",
        "fn transfer_data(ws, message) {\n    for (let i = 0; i < 3; i++) { ws.send(message); \
        }\n}\n",
    ),
    (
        "or_for_a_default",
        "fn transfer_data(ws, message) {\n    let name = ws.query_params.name || \"nobody\";\n}\n",
    ),
    (
        "unknown_function",
        "fn transfer_data(ws, message) {\n    greet(ws);\n}\n",
    ),
    (
        "misspelt_function",
        "fn transfer_data(ws, message) {\n    slepe(1.0);\n}\n",
    ),
    (
        "misspelt_method",
        "fn transfer_data(ws, message) {\n    ws.clsoe(1000);\n}\n",
    ),
    (
        "misspelt_property",
        "fn transfer_data(ws, message) {\n    ws.send(ws.pth);\n}\n",
    ),
    (
        "read_only",
        "fn transfer_data(ws, message) {\n    ws.path = \"/other\";\n}\n",
    ),
    (
        "wrong_count",
        "fn transfer_data(ws, message) {\n    reply(ws);\n}\nfn reply(ws, text) {\n    \
        ws.send(text);\n}\n",
    ),
    (
        "variable_called",
        "fn transfer_data(ws, message) {\n    let double = |x| x * 2;\n    \
        ws.send(`${double(2)}`);\n}\n",
    ),
    (
        "misspelt_constant",
        "const GREETING = \"hello\";\nfn transfer_data(ws, message) {\n    \
        ws.send(global::GRETING);\n}\n",
    ),
    (
        "misspelt_in_a_module",
        "import \"lib/texts\" as texts;\nfn transfer_data(ws, message) {\n    \
        ws.send(texts::hlaf(message));\n}\n",
    ),
    (
        "wrong_count_in_a_module",
        "import \"lib/texts\" as texts;\nfn transfer_data(ws, message) {\n    \
        ws.send(texts::half(message, 2));\n}\n",
    ),
    (
        "private_in_a_module",
        "import \"lib/texts\" as texts;\nfn transfer_data(ws, message) {\n    \
        ws.send(texts::cut(message));\n}\n",
    ),
    (
        "property_for_a_hook",
        "fn on_open(ws) {\n    ws.onmessage = |m| { ws.send(m); };\n}\nfn transfer_data(ws, \
        message) { }\n",
    ),
    (
        "unknown_property_set",
        "fn transfer_data(ws, message) {\n    ws.nick = message;\n}\n",
    ),
    (
        "stream_of_pywebsocket",
        "fn transfer_data(request) {\n    let line = request.ws_stream.receive_message();\n}\n",
    ),
    (
        "str_of",
        "fn transfer_data(ws, message) {\n    ws.send(str(5));\n}\n",
    ),
    (
        "request_of_ws",
        "fn transfer_data(ws, message) {\n    ws.send(ws.request.path);\n}\n",
    ),
    (
        "export_of_a_module",
        "import \"lib/texts\" as texts;\nfn transfer_data(ws, message) {\n    \
        ws.send(texts::NOPE);\n}\n",
    ),
    (
        "set_timeout",
        "fn transfer_data(ws, message) {\n    setTimeout(|| ws.close(), 1000);\n}\n",
    ),
    (
        "transfer_data_with_three",
        "fn transfer_data(ws, message, more) { }\n",
    ),
    ("transfer_dat", "fn transfer_dat(ws, message) { }\n"),
    ("transferData", "fn transferData(ws, message) { }\n"),
    (
        "template_in_double_quotes",
        "fn transfer_data(ws, message) {\n    ws.send(\"you said ${message}\");\n}\n",
    ),
    (
        "escapes_in_backticks",
        "fn transfer_data(ws, message) {\n    ws.send(`one\\r\\ntwo`);\n}\n",
    ),
    (
        "returned_message",
        "fn transfer_data(ws, message) {\n    return message;\n}\n",
    ),
    (
        "returned_from_the_handshake",
        "fn do_extra_handshake(request) {\n    return false;\n}\nfn transfer_data(ws, message) { \
        }\n",
    ),
    (
        "loop_with_a_message",
        "fn transfer_data(message) {\n    print(message);\n}\n",
    ),
    (
        "milliseconds",
        "fn transfer_data(ws, message) {\n    sleep(1000);\n}\n",
    ),
    (
        "raw_without_the_flag",
        "fn transfer_data(ws, message) {\n    ws.frame(#{ opcode: 1 });\n}\n",
    ),
    (
        "property_of_a_message",
        "fn transfer_data(ws, message) {\n    ws.send(`${message.lenght}`);\n}\n",
    ),
];

/// Scripts that fail when they run, and what makes them.
const RUN: &[(&str, By, &str)] = &[
    (
        "int_of",
        TEXT,
        "fn transfer_data(ws, message) {\n    let n = int(\"5\");\n}\n",
    ),
    (
        "name_of_javascript",
        TEXT,
        "fn transfer_data(ws, message) {\n    if message.startsWith(\"a\") { ws.close(); }\n}\n",
    ),
    (
        "wrong_value",
        By::Handshake,
        "fn do_extra_handshake(request) {\n    request.protocol = 1;\n}\nfn transfer_data(ws, \
        message) { }\n",
    ),
    (
        "function_as_property",
        TEXT,
        "fn transfer_data(ws, message) {\n    let upper = message.to_upper;\n}\n",
    ),
    (
        "wrong_types",
        TEXT,
        "fn transfer_data(ws, message) {\n    sleep(message);\n}\n",
    ),
    (
        "wrong_object",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(`${message.to_int() + 1}`);\n}\n",
    ),
    (
        "nothing",
        TEXT,
        "fn transfer_data(ws, message) {\n    let user = #{ name: \"Ada\" };\n    \
        ws.send(user.nmae.to_upper());\n}\n",
    ),
    (
        "operator",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(`${message - 1}`);\n}\n",
    ),
    (
        "condition",
        TEXT,
        "fn transfer_data(ws, message) {\n    if message { ws.close(); }\n}\n",
    ),
    (
        "loop_over_a_map",
        TEXT,
        "fn transfer_data(ws, message) {\n    let users = #{ ada: 1 };\n    for user in users { \
        ws.send(user); }\n}\n",
    ),
    (
        "in",
        TEXT,
        "fn transfer_data(ws, message) {\n    if message in ws { ws.close(); }\n}\n",
    ),
    (
        "out_of_bounds",
        TEXT,
        "fn transfer_data(ws, message) {\n    let parts = message.split(\",\");\n    \
        ws.send(parts[7]);\n}\n",
    ),
    (
        "no_index",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(ws[0]);\n}\n",
    ),
    (
        "closure",
        TEXT,
        "fn transfer_data(ws, message) {\n    [1, 2].map(|a, b, c| a);\n}\n",
    ),
    (
        "this_in_a_function",
        TEXT,
        "fn transfer_data(ws, message) {\n    count();\n}\nfn count() {\n    this.count = 1;\n}\n",
    ),
    (
        "this_in_a_closure",
        TEXT,
        "fn transfer_data(ws, message) {\n    this.factor = 2;\n    [1, 2].map(|x| x * \
        this.factor);\n}\n",
    ),
    (
        "constant_method",
        TEXT,
        "fn transfer_data(ws, message) {\n    const ALL = [1];\n    ALL.push(2);\n}\n",
    ),
    (
        "division",
        TEXT,
        "fn transfer_data(ws, message) {\n    let n = message.len - 5;\n    ws.send(`${1 / \
        n}`);\n}\n",
    ),
    (
        "no_number",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(`${parse_int(message)}`);\n}\n",
    ),
    (
        "name_of_a_peer",
        TEXT,
        "fn transfer_data(ws, message) {\n    let name = \"f\";\n    for turn in 0..12 { name += \
        name; }\n    \
         Fn(name).call(1);\n}\n",
    ),
    (
        "no_name_of_a_peer",
        By::Text("\n\u{1b}[31m forged"),
        "fn transfer_data(ws, message) {\n    Fn(message).call(1);\n}\n",
    ),
    (
        "in_a_module",
        TEXT,
        "import \"lib/texts\" as texts;\nfn transfer_data(ws, message) {\n    \
        ws.send(texts::half(message));\n}\n",
    ),
    (
        "closure_to_a_module",
        TEXT,
        "import \"lib/texts\" as texts;\nfn transfer_data(ws, message) {\n    \
        ws.send(texts::changed(message, |a, b| a));\n}\n",
    ),
    (
        "too_deep",
        TEXT,
        "fn transfer_data(ws, message) {\n    down(0);\n}\nfn down(n) {\n    down(n + 1)\n}\n",
    ),
    (
        "too_large",
        TEXT,
        "fn transfer_data(ws, message) {\n    loop { message += message; }\n}\n",
    ),
    (
        "thrown",
        TEXT,
        "fn transfer_data(ws, message) {\n    throw #{ code: 7, text: `no\n${message}` };\n}\n",
    ),
    (
        "of_the_host",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.close(1005);\n}\n",
    ),
    (
        "state",
        TEXT,
        "fn transfer_data(ws, message) {\n    let deep = [];\n    for level in 0..200 { deep = \
        [deep]; }\n    \
                     this.deep = deep;\n    for turn in 0..10_000 { this.turn = turn; }\n}\n",
    ),
    (
        "long_message",
        By::Text(
            "0123456789\n\u{1b}[31m\u{202e}0123456789012345678901234567890123456789012345678901234567890123456789\
                               01234567890123456789012345678901234567890",
        ),
        "fn transfer_data(ws, message) {\n    throw message;\n}\n",
    ),
    (
        "binary_message",
        By::Binary(b"\x00\xff0123456789abcdefghij"),
        "fn transfer_data(ws, message) {\n    throw \"text only\";\n}\n",
    ),
    (
        "far_to_the_right",
        TEXT,
        "fn transfer_data(ws, message) {\n    let text = \"one two three four five six seven eight \
        nine ten eleven twelve thirteen fourteen \
         fifteen sixteen seventeen\"; ws.send(text.sub_str(7)); let more = \"one two three four \
         five six seven eight nine ten \
         eleven twelve thirteen fourteen fifteen sixteen\";\n}\n",
    ),
    (
        "handshake",
        By::Handshake,
        "fn do_extra_handshake(request) {\n    request.reject(\"no\");\n}\nfn transfer_data(ws, \
        message) { }\n",
    ),
    (
        "closing",
        By::Close,
        "fn passive_closing_handshake(ws, code, reason) {\n    \"bye\"\n}\nfn transfer_data(ws, \
        message) { }\n",
    ),
    (
        "changed_in_place",
        TEXT,
        "fn transfer_data(ws, message) {\n    let list = [];\n    \
        ws.send(list.push(message));\n}\n",
    ),
    (
        "in_use",
        TEXT,
        "fn transfer_data(ws, message) {\n    let all = [1, 2];\n    all.map(|x| \
        all.push(x));\n}\n",
    ),
    (
        "timer_of_a_function",
        TEXT,
        "fn on_timer(ws, name) { }\nfn later(ws) { }\nfn transfer_data(ws, message) {\n    \
        ws.after(1, later);\n}\n",
    ),
    (
        "for_each",
        TEXT,
        "fn transfer_data(ws, message) {\n    [1, 2].forEach(|x| ws.send(`${x}`));\n}\n",
    ),
    (
        "join",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(\",\".join([\"a\", \"b\"]));\n}\n",
    ),
    (
        "encode",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(message.encode());\n}\n",
    ),
    (
        "decode",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(to_blob(message).decode());\n}\n",
    ),
    (
        "append",
        TEXT,
        "fn transfer_data(ws, message) {\n    let list = [1];\n    list.append(5);\n}\n",
    ),
    (
        "message_of_a_thrown_text",
        TEXT,
        "fn transfer_data(ws, message) {\n    try { throw \"no\"; } catch (e) { \
        ws.send(e.message); }\n}\n",
    ),
    (
        "type_of_an_argument",
        TEXT,
        "fn transfer_data(ws, message) {\n    ws.send(1);\n}\n",
    ),
];

/// What some of them import.
const MODULE: (&str, &str) = (
    "lib/texts.rhai",
    "fn half(text) {\n    text.sub_string(text.len / 2.0)\n}\nprivate fn cut(text) {\n    \
    text\n}\nfn changed(text, change) {\n    change.call(text)\n}\n",
);

/// What a client does to a script.
#[derive(Clone, Copy)]
enum By {
    Text(&'static str),
    Binary(&'static [u8]),
    Close,
    Handshake,
}

const TEXT: By = By::Text("hello");

#[tokio::test]
async fn checked() {
    let files: Vec<_> = CHECKED
        .iter()
        .map(|(name, code)| (format!("{name}_wsh.rhai"), *code))
        .collect();
    let files: Vec<_> = files.iter().map(|(name, code)| (&**name, *code)).collect();
    let finished = Server::builder()
        .bare()
        .files(&files)
        .files(&[MODULE])
        .arg("check")
        .run()
        .await;
    let printed = &finished.stdout;
    let count = format!("{0} handlers, {0} problems", CHECKED.len());
    assert!(printed.ends_with(&count), "{printed}");
    let sections: Vec<_> = printed.split("\n\n").collect();
    for (name, _) in CHECKED {
        let about = format!("--> {name}_wsh.rhai");
        let found = sections.iter().find(|section| section.contains(&about));
        golden(
            name,
            found.unwrap_or_else(|| panic!("{name} is missing:\n{printed}")),
        );
    }
}

#[tokio::test]
async fn logged() {
    let files: Vec<_> = RUN
        .iter()
        .map(|(name, _, code)| (format!("{name}_wsh.rhai"), *code))
        .collect();
    let files: Vec<_> = files.iter().map(|(name, code)| (&**name, *code)).collect();
    let builder = Server::builder().workers(1).files(&[MODULE]);
    let mut server = builder.files(&files).start().await;
    for (name, by, _) in RUN {
        run(&server, &format!("/{name}"), *by).await;
    }
    assert!(server.stop().await.success());
    let log = server.logged();
    for (name, ..) in RUN {
        let handler = format!("handler=\"{name}_wsh.rhai\"");
        let event = log.split("\n\n").find(|event| event.contains(&handler));
        let event = event.unwrap_or_else(|| panic!("{name} is missing:\n{log}"));
        let from = event.find(" ERROR ").expect("a level") + 1;
        golden(name, &without_numbers(&event[from..]));
    }
}

async fn run(server: &Server, path: &str, by: By) {
    let mut raw = Raw::connect(server).await;
    let head = raw.handshake(path, &[]).await;
    let wire = match by {
        By::Handshake => return assert_eq!(head.status, 500, "{path}"),
        By::Text(text) => Wire::text(text),
        By::Binary(bytes) => Wire::binary(bytes),
        By::Close => Wire::close(1000, ""),
    };
    assert_eq!(head.status, 101, "{path}");
    raw.send(wire.bytes()).await;
    raw.expect_close(1011).await;
}

/// The report without what depends on the other cases: which connection it was, and how many files
/// were read before.
fn without_numbers(report: &str) -> String {
    ["connection=", "version=", "connection ", "version "]
        .iter()
        .fold(report.to_owned(), |report, label| {
            let mut parts = report.split(label);
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |done, part| {
                let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
                format!(
                    "{done}{label}{}{rest}",
                    if rest.len() < part.len() { "#" } else { "" }
                )
            })
        })
}

fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/faults").into()
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn golden(name: &str, text: &str) {
    let file = folder().join(format!("{name}.txt"));
    let text = format!("{}\n", text.trim_end());
    if is_update() {
        std::fs::create_dir_all(folder()).expect("the golden folder");
        std::fs::write(&file, &text).expect("write a golden file");
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, wanted, "{name} is not as in {}", file.display());
}

#[test]
fn every_golden_file_has_its_case() {
    if is_update() {
        return;
    }
    let checked = CHECKED.iter().map(|(name, _)| *name);
    let run = RUN.iter().map(|(name, ..)| *name);
    let cases: BTreeSet<_> = checked
        .chain(run)
        .map(|name| format!("{name}.txt"))
        .collect();
    assert_eq!(
        cases.len(),
        CHECKED.len() + RUN.len(),
        "a name is used twice"
    );
    let files = std::fs::read_dir(folder()).expect("the golden folder");
    let files = files.map(|file| {
        file.expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), cases);
}

#[tokio::test]
async fn check_prints_json() {
    let check = |files: &[(&str, &str)]| {
        let builder = Server::builder().bare().files(files);
        builder.args(["check", "--format", "json"]).run()
    };
    let good = check(&[("echo_wsh.rhai", ECHO)]).await;
    assert_eq!(good.status.code(), Some(0));
    let printed: Value = serde_json::from_str(&good.stdout).expect("JSON");
    assert_eq!(printed, json!({ "handlers": 1, "problems": [] }));

    let bad = check(&[
        ("echo_wsh.rhai", ECHO),
        (
            "a/typo_wsh.rhai",
            "fn transfer_data(ws, message) {\n    ws.send(\"äöü\", mesage);\n}\n",
        ),
        (
            "b_wsh.rhai",
            "fn on_close(ws) { }\nfn transfer_data(ws, message) { }\n",
        ),
        ("c_wsh.rhai", "fn on_open(ws) { }\n"),
    ])
    .await;
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(bad.stdout.lines().count(), 1, "{}", bad.stdout);
    let printed: Value = serde_json::from_str(&bad.stdout).expect("JSON");
    let problems = json!([
        {
            "file": "a/typo_wsh.rhai", "line": 2, "column": 20, "severity": "error",
            "message": "there is no variable `mesage`", "hint": "did you mean `message`?",
        },
        {
            "file": "c_wsh.rhai", "line": null, "column": null, "severity": "error",
            "message": "no fn transfer_data(ws, message): a handler needs it to answer \
                messages", "hint": null,
        },
        {
            "file": "b_wsh.rhai", "line": 1, "column": 4, "severity": "warning",
            "message": "`fn on_close(ws)` is never called",
            "hint": "the hook is `fn on_close(ws, code, reason, was_clean)`",
        },
    ]);
    assert_eq!(printed, json!({ "handlers": 4, "problems": problems }));
}

/// Every mistake of a file is told at once, and so is that of a module that nobody imports.
#[tokio::test]
async fn check_tells_all_that_is_wrong() {
    let code = "fn transfer_data(ws, message) {\n    ws.sned(message);\n    let n = \
        lenght(message);\n    ws.close(1, 2, 3, 4);\n}\n";
    let finished = Server::builder()
        .bare()
        .file("a_wsh.rhai", code)
        .file("used.rhai", "fn twice(n) { n * 2 }\n")
        .file(
            "b_wsh.rhai",
            "import \"used\" as used;\nfn transfer_data(ws, message) { \
            ws.send(`${used::twice(2)}`); }\n",
        )
        .file("lone.rhai", "fn thrice(n) {\n    n * tree(n)\n}\n")
        .file(
            "whole.rhai",
            "import \"used\" as used;\nfn four(n) { used::twice(n) * 2 }\n",
        )
        .args(["check", "--format", "json"])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(1));
    let printed: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let problems = printed["problems"].as_array().expect("a list");
    let places: Vec<_> = problems
        .iter()
        .map(|problem| (problem["file"].as_str(), problem["line"].as_i64()))
        .collect();
    let expected = [
        (Some("a_wsh.rhai"), Some(2)),
        (Some("a_wsh.rhai"), Some(3)),
        (Some("a_wsh.rhai"), Some(4)),
        (Some("lone.rhai"), Some(2)),
    ];
    assert_eq!(places, expected, "{printed}");
    assert!(
        problems
            .iter()
            .all(|problem| problem["severity"] == "error")
    );
}

/// What is doubtful serves, and stops only who asks for that.
#[tokio::test]
async fn warnings_count_where_they_are_to() {
    let code = "fn transfer_data(ws, message) {\n    sleep(1000);\n}\n";
    let check = |arg: &'static [&str]| {
        let builder = Server::builder().bare().file("it_wsh.rhai", code);
        builder.arg("check").args(arg).run()
    };
    assert_eq!(check(&[]).await.status.code(), Some(0));
    assert_eq!(check(&["--strict"]).await.status.code(), Some(1));
    let finished = check(&["--format", "json"]).await;
    assert_eq!(finished.status.code(), Some(0));
    let printed: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(printed["problems"][0]["severity"], "warning");
    assert_eq!(printed["problems"][0]["line"], 2);
}

/// What is meant as it stands is not doubted.
#[tokio::test]
async fn what_is_meant_is_not_doubted() {
    let code = "fn transfer_data(ws, message) {\n    if message == \"\" { return; }\n    sleep(1); \
        sleep(3600.0);\n    \
                ws.after(3600, \"hour\"); ws.every(300, \"minutes\");\n    \
                ws.send(`{\"a\":\"x\\ny\"}`);\n    \
                ws.send(\"$5 {or} ${}\");\n    ws.send(\"a\\r\\nb\");\n    ws.send(`C:\\dir \
                ${message}`);\n    \
                return reply(ws, message);\n}\nfn reply(ws, text) {\n    ws.send(text);\n    \
                text\n}\n\
                fn on_timer(ws, name) { name }\n";
    let loops = "fn transfer_data(connection) {\n    loop { if connection.receive() == () { \
        return; } }\n}\n";
    let finished = Server::builder()
        .bare()
        .file("it_wsh.rhai", code)
        .file("loop_wsh.rhai", loops)
        .args(["check", "--strict"])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stdout);
}

/// A map file's lines are shown like a script's.
#[tokio::test]
async fn a_map_files_lines_have_excerpts() {
    let finished = Server::builder()
        .bare()
        .file("echo_wsh.rhai", ECHO)
        .file("aliases", "# a comment\n/one /echo\n/two /nowhere\nthree\n")
        .args(["check", "-m", "aliases", "--strict"])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(1));
    for place in [
        "--> aliases:3:1",
        "3 | /two /nowhere",
        "--> aliases:4:1",
        "4 | three",
    ] {
        assert!(
            finished.stdout.contains(place),
            "{place}: {}",
            finished.stdout
        );
    }
}

/// G05: many clients that run into one fault are counted, and none is forgotten.
#[tokio::test]
async fn g05_a_flood_of_one_fault_is_summed_up() {
    const CLIENTS: usize = 40;
    let code = "fn transfer_data(ws, message) {\n    throw message;\n}\n";
    let server = Server::builder()
        .workers(1)
        .file("bad_wsh.rhai", code)
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Raw::open(&server, "/bad").await);
    }
    for client in &mut clients {
        client.send(Wire::text("go").bytes()).await;
    }
    within("every fault to be told of", async {
        let mut repeated = 0;
        while server.count("script fault hook=") + repeated < CLIENTS {
            let line = server
                .log(["script fault, repeated ", "handler=\"bad_wsh.rhai\""])
                .await;
            let number = line
                .split("repeated ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next());
            repeated += number
                .expect("a number")
                .parse::<usize>()
                .expect("a number");
        }
    })
    .await;
    assert!(
        server.count("script fault hook=") < CLIENTS / 2,
        "{}",
        server.logged()
    );
}
