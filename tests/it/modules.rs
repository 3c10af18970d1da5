//! Modules: what `import` gives a handler, what it refuses and where it says so, and edits of a
//! file that several handlers share.

use std::os::unix::fs::symlink;
use std::process::Command;

use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, ECHO, Raw, Server, answering, connect, within};

/// A handler that answers with this expression, with these lines before it.
fn saying(lines: &str, expression: &str) -> String {
    format!("{lines}\nfn transfer_data(ws, message) {{\n    ws.send(`${{{expression}}}`);\n}}\n")
}

/// The answer to one message of a handler with these modules.
async fn answer_with(modules: &[(&str, &str)], handler: &str) -> String {
    let server = Server::builder()
        .files(modules)
        .file("it_wsh.rhai", handler)
        .start()
        .await;
    if server.status("/it").await != 101 {
        panic!("broken:\n{}", server.logged());
    }
    let mut client = connect(server.url("/it")).await;
    client.send_text("hello").await;
    match client.next().await {
        Message::Text(text) => text.to_string(),
        _ => panic!("no answer:\n{}", server.logged()),
    }
}

#[tokio::test]
async fn functions_and_constants_of_a_module() {
    let shapes = "export const SIDES = 3;\n\
                  const UNIT = \"cm\";\n\
                  export let names = [\"a\", \"b\"];\n\
                  const HIDDEN = 1;\n\
                  export HIDDEN as SHOWN;\n\
                  fn area(a, b) { measure(a * b) }\n\
                  fn area(a) { area(a, a) }\n\
                  fn sides() { 3 }\n\
                  private fn measure(value) { `${value} ${global::UNIT}` }\n";
    let cases = [
        ("shapes::area(2, 3)", "6 cm"),
        ("shapes::area(2)", "4 cm"),
        ("shapes::sides() + shapes::SIDES", "6"),
        ("shapes::names", "[\"a\", \"b\"]"),
        ("shapes::SHOWN", "1"),
    ];
    for (expression, answer) in cases {
        let code = saying("import \"lib/shapes\" as shapes;", expression);
        assert_eq!(
            answer_with(&[("lib/shapes.rhai", shapes)], &code).await,
            answer,
            "{expression}"
        );
    }
    for expression in [
        "shapes::measure(1)",
        "measure(1)",
        "shapes::UNIT",
        "shapes::nothing()",
        "shapes::area()",
    ] {
        let code = saying(
            "import \"lib/shapes\" as shapes;",
            &format!(
                "let said = \"found\"; try {{ said = {expression} }} catch {{ said = \"not found\" \
                }} said"
            ),
        );
        let answer = answer_with(&[("lib/shapes.rhai", shapes)], &code).await;
        assert_eq!(answer, "not found", "{expression}");
    }
}

#[tokio::test]
async fn imports_in_functions_and_of_modules() {
    let modules = [
        (
            "a.rhai",
            "import \"lib/b\" as b;\nfn name() { \"a\" + b::name() + late() }\nfn late() { \
            import \"lib/deep/d\" as d; d::name() }\n",
        ),
        (
            "lib/b.rhai",
            "import \"lib/deep/c-1.0\" as c;\nfn name() { \"b\" + c::name() }\n",
        ),
        (
            "lib/deep/c-1.0.rhai",
            "import \"lib/deep/d\" as d;\nfn name() { \"c\" + d::name() }\n",
        ),
        ("lib/deep/d.rhai", "fn name() { \"d\" }\n"),
    ];
    let code = "import \"a\" as a;\n\
                fn transfer_data(ws, message) {\n    \
                ws.send(a::name() + a::b::c::name() + here());\n}\n\
                fn here() {\n    \
                let names = \"\";\n    \
                for n in 0..100 { import \"lib/deep/d\" as d; names = d::name(); }\n    \
                [1].map(|n| { import \"lib/b\" as b; b::name() })[0] + names\n}\n";
    assert_eq!(answer_with(&modules, code).await, "abcddcdbcdd");
}

/// Rhai itself takes functions of one name in two files for each other.
#[tokio::test]
async fn each_file_has_its_own_functions() {
    let module = "fn run() { helper() }\n\
                  fn often() { helper() + helper() + helper() }\n\
                  fn pointer() { Fn(\"helper\").call() }\n\
                  fn now() { \"never\" }\n\
                  fn time() { now() }\n\
                  private fn helper() { \"m\" }\n";
    let modules = [
        ("m.rhai", module),
        ("n.rhai", &*module.replace("\"m\"", "\"n\"")),
    ];
    let code = "import \"m\" as m;\nimport \"n\" as n;\n\
                fn helper() { \"h\" }\n\
                fn transfer_data(ws, message) {\n    \
                let said = \"\";\n    \
                for round in 0..3 {\n        \
                said += helper() + m::run() + n::run() + m::often() + n::often() + m::pointer() + \
                helper();\n    \
                }\n    \
                ws.send(said + m::time() + type_of(now()));\n}\n";
    let round = "hmnmmmnnnmh";
    let answer = answer_with(&modules, code).await;
    assert_eq!(answer, format!("{}neverf64", round.repeat(3)));

    // Neither finds in the other what it does not define itself.
    let code = saying(
        "import \"m\" as m;\nfn other() { \"h\" }",
        "let said = other(); \
         try { said += m::run() } catch { said += \"!\" } \
         try { said += m::often() + helper() } catch { said += \"?\" } \
         said",
    );
    let module = "fn run() { Fn(\"other\").call() }\n\
                  fn often() { helper() + helper() + helper() }\n\
                  private fn helper() { \"m\" }\n";
    let answer = answer_with(&[("m.rhai", module)], &code).await;
    assert_eq!(answer, "h!?");
}

#[tokio::test]
async fn functions_go_from_file_to_file() {
    let module = "export const TWICE = |n| own(n) * 2;\n\
                  fn apply(f) { f.call() }\n\
                  fn apply(f, n) { f.call(n) }\n\
                  fn dispatch(table, name, n) { table[name].call(n) }\n\
                  fn all(list, f) { list.map(f) }\n\
                  fn adder(n) { |m| own(m) + n }\n\
                  fn same(f) { f }\n\
                  private fn own(n) { n }\n";
    let cases = [
        ("m::apply(|| own(1))", "-1"),
        ("m::apply(|n| own(n), 2)", "-2"),
        ("{ let k = 5; m::apply(|n| own(n) + k, 2) }", "3"),
        ("m::apply(Fn(\"own\"), 3)", "-3"),
        ("m::dispatch(#{ a: |n| own(n), b: |n| n }, \"a\", 4)", "-4"),
        ("m::all([1, 2], |n| own(n))", "[-1, -2]"),
        ("m::all([3, 4], |n, at| own(n) + at)", "[-3, -3]"),
        ("m::all([1, 2], || own(this))", "[-1, -2]"),
        ("m::adder(10).call(1)", "11"),
        ("[1, 2].map(m::adder(10))", "[11, 12]"),
        ("m::TWICE.call(4)", "8"),
        ("m::same(m::same(|n| own(n))).call(6)", "-6"),
        ("m::apply(Fn(\"abs\"), -7)", "7"),
    ];
    for (expression, answer) in cases {
        let code = saying("import \"m\" as m;\nfn own(n) { -n }", expression);
        assert_eq!(
            answer_with(&[("m.rhai", module)], &code).await,
            answer,
            "{expression}"
        );
    }
}

#[tokio::test]
async fn state_and_connection_are_passed_in() {
    let module = "fn count(ws, state) {\n    \
                  state.n = (state.n ?? 0) + 1;\n    \
                  ws.send(`${state.n}`);\n    \
                  sleep(0.001);\n    \
                  ws.send(\"slept\");\n    \
                  state\n}\n";
    let code = "import \"lib/counter\" as counter;\n\
                fn on_open(ws) { this = counter::count(ws, this); }\n\
                fn transfer_data(ws, message) { this = counter::count(ws, this); }\n";
    let server = Server::start(&[("lib/counter.rhai", module), ("count_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/count")).await;
    for n in 1..=3 {
        assert_eq!(client.next_text().await, n.to_string());
        assert_eq!(client.next_text().await, "slept");
        client.send_text("again").await;
    }
}

#[tokio::test]
async fn a_module_waits_for_its_own_connection_only() {
    let module = "fn nap() { print(\"asleep\"); sleep(60.0); }\n";
    let server = Server::builder()
        .workers(1)
        .file("lib/nap.rhai", module)
        .file(
            "nap_wsh.rhai",
            "import \"lib/nap\" as n;\nfn transfer_data(ws, message) { n::nap(); }\nfn \
            on_close(ws, code, reason, was_clean) { print(\"gone\"); }\n",
        )
        .file(
            "echo_wsh.rhai",
            saying("import \"lib/nap\" as n;", "message"),
        )
        .start()
        .await;
    let mut sleeper = Raw::open(&server, "/nap").await;
    sleeper.send(crate::support::Wire::text("go").bytes()).await;
    server.log("asleep").await;
    connect(server.url("/echo")).await.echoes(50).await;
    sleeper.reset();
    server.log("gone").await;
}

#[tokio::test]
async fn faults_in_a_module_say_where_and_from_where() {
    let module = "fn divide(a, b) {\n    \
                  quotient(a, b)\n}\n\
                  fn quotient(a, b) {\n    \
                  a / b\n}\n\
                  fn spin() {\n    loop { }\n}\n\
                  fn deep(f) {\n    f.call()\n}\n";
    let server = Server::builder()
        .file("lib/math.rhai", module)
        .file(
            "it_wsh.rhai",
            "import \"lib/math\" as math;\nfn transfer_data(ws, message) {\n    \
            if message == \"spin\" { math::spin(); }\n    if message == \"back\" { math::deep(|| \
            message.missing()); }\n    if message == \"round\" { round(); }\n    math::divide(1, \
            0);\n}\nfn round() { math::deep(|| round()) }\n",
        )
        .start()
        .await;
    let mut client = connect(server.url("/it")).await;
    client.send_text("hello").await;
    assert_eq!(client.next_close().await.0, 1011);
    server.fault("transfer_data").await;
    server
        .until_logged(&[
            "error: division by zero",
            "--> lib/math.rhai:5:7",
            "a / b",
            "::: it_wsh.rhai:6:11",
            "math::divide(1, 0);",
            "called here",
        ])
        .await;

    let mut client = connect(server.url("/it")).await;
    client.send_text("spin").await;
    assert_eq!(client.next_close().await.0, 1011);
    server.spent_budget().await;
    server.until_logged(&["--> it_wsh.rhai:3:"]).await;

    let mut client = connect(server.url("/it")).await;
    client.send_text("back").await;
    assert_eq!(client.next_close().await.0, 1011);
    server
        .until_logged(&["there is no `missing", "--> it_wsh.rhai:4:"])
        .await;

    let mut client = connect(server.url("/it")).await;
    client.send_text("round").await;
    assert_eq!(client.next_close().await.0, 1011);
    server.until_logged(&["too deeply"]).await;
    assert_eq!(server.status("/it").await, 101);
}

/// R14, R15 and the rest of what cannot be imported: refused when the handler is loaded, at the
/// import's line.
#[tokio::test]
async fn imports_that_are_refused() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(outside.path().join("secret.rhai"), "fn secret() { 42 }\n").expect("write");
    let absolute = outside.path().join("secret").display().to_string();
    let cases = [
        (absolute.as_str(), "begins with /"),
        ("../secret", "do not leave"),
        ("lib/../../secret", "do not leave"),
        ("./lib/good", "paths begin at the handler folder"),
        ("lib//good", "empty"),
        ("lib/", "empty"),
        ("", "empty"),
        ("lib\\\\good", "letters"),
        ("lib/go od", "letters"),
        ("lib/good\\u0000", "letters"),
        ("file:///etc/passwd", "empty"),
        ("lib/good.rhai", "leave that out"),
        ("other_wsh", "is a handler"),
        ("lib/missing", "lib/missing.rhai"),
        ("good", "there is \"lib/good\""),
        ("LIB/good", "no module"),
        ("lib/.hidden", "no module"),
        ("lib/compiled.rgrn", "no module"),
        ("lib", "no module"),
        ("lib/link", "allow-handlers-outside-root-dir"),
        ("lib/linked/secret", "no module"),
        ("lib/dangling", "cannot be read"),
        ("lib/pipe", "a pipe"),
        ("lib/bytes", "UTF-8"),
    ];
    let mut builder = Server::builder()
        .bare()
        .file("lib/good.rhai", "fn good() { }\n")
        .file("lib/.hidden.rhai", "fn hidden() { }\n")
        .file("lib/compiled.rgrn", "fn compiled() { }\n")
        .file("lib/bytes.rhai", b"fn f() { \"\xff\" }")
        .file("other_wsh.rhai", ECHO);
    let lib = builder.dir().join("lib");
    symlink(outside.path().join("secret.rhai"), lib.join("link.rhai")).expect("a link");
    symlink(outside.path(), lib.join("linked")).expect("a link");
    symlink("nowhere", lib.join("dangling.rhai")).expect("a link");
    let made = Command::new("mkfifo").arg(lib.join("pipe.rhai")).status();
    assert!(made.expect("mkfifo").success());
    for (number, (path, _)) in cases.iter().enumerate() {
        let code = format!("{ECHO}fn late() {{\n    import \"{path}\" as x;\n}}\n");
        builder = builder.file(&format!("case{number:02}_wsh.rhai"), code);
    }
    let finished = builder.args(["check", "-w", "."]).run().await;
    let faults: Vec<_> = finished.stdout.split("\n\n").collect();
    for (number, (path, reason)) in cases.iter().enumerate() {
        let place = format!("--> case{number:02}_wsh.rhai:5:12");
        let fault = faults.iter().find(|fault| fault.contains(&place));
        let fault = fault.unwrap_or_else(|| panic!("{path:?} was taken:\n{}", finished.stdout));
        assert!(fault.contains(reason), "{path:?}: {fault}");
    }
    let summary = format!("{} handlers, {} problems", cases.len() + 1, cases.len());
    assert!(finished.stdout.contains(&summary), "{}", finished.stdout);
}

#[tokio::test]
async fn modules_that_do_not_load() {
    let many: String = (0..10_000).map(|n| format!("import\"{n:x}\";")).collect();
    let same: String = "import\"good\";".repeat(5_000);
    let mut builder = Server::builder()
        .bare()
        .file("good.rhai", "fn good() { }\n")
        .file("one.rhai", "fn f() { }\nimport \"two\" as two;\n")
        .file("two.rhai", "fn f() {\n    import \"three\" as three;\n}\n")
        .file("three.rhai", "import \"one\" as one;\n")
        .file("self.rhai", "import \"self\" as me;\n")
        .file("syntax.rhai", "fn f() {\n    let;\n}\n")
        .file("top.rhai", "fn f() { [][1] }\nconst X = f();\n")
        .file("loop.rhai", "loop { }\n")
        .file(
            "computed.rhai",
            "let name = \"good\";\nimport `${name}` as good;\n",
        )
        .file("large.rhai", "/".repeat(100_000_000))
        .file("many.rhai", many)
        .file("same.rhai", same)
        .file("same_wsh.rhai", format!("import \"same\" as same;\n{ECHO}"));
    for n in 0..100 {
        builder = builder.file(&format!("{n:x}.rhai"), "fn f() { }\n");
        let next = format!("import \"chain{}\" as next;\n", n + 1);
        builder = builder.file(&format!("chain{n}.rhai"), next);
    }
    let cases: &[(&str, &[&str])] = &[
        (
            "one",
            &[
                "an import cycle: one imports two imports three imports one",
                "--> three.rhai:1:8",
            ],
        ),
        (
            "self",
            &["an import cycle: self imports self", "--> self.rhai:1:8"],
        ),
        ("syntax", &["--> syntax.rhai:2:8"]),
        ("top", &["--> top.rhai:1:"]),
        ("loop", &["budget", "--> loop.rhai"]),
        ("computed", &["plain string", "--> computed.rhai:2:"]),
        ("large", &["more than 131072 bytes", "--> large.rhai"]),
        ("many", &["at most 64 modules", "--> many.rhai:1:"]),
        ("chain0", &["at most 64 modules", "--> chain63.rhai:1:8"]),
        ("chain30", &["at most 64 modules", "--> chain93.rhai:1:8"]),
    ];
    for (name, _) in cases {
        // Two handlers: what is wrong with a module is told once.
        for handler in ["a", "b"] {
            let code = format!("import \"{name}\" as m;\n{ECHO}");
            builder = builder.file(&format!("{handler}_{name}_wsh.rhai"), code);
        }
    }
    let finished = builder.args(["check", "-w", "."]).run().await;
    for (name, texts) in cases {
        for text in *texts {
            let count = finished.stdout.matches(text).count();
            assert_eq!(count.min(1), 1, "{name}: {text}:\n{}", finished.stdout);
        }
    }
    // The last of the chain, which no handler gets to.
    let missing = finished.stdout.matches("no module \"chain100\"").count();
    assert_eq!(missing, 1, "{}", finished.stdout);
    let problems = cases.len() + 1;
    let summary = format!("{} handlers, {problems} problems", cases.len() * 2 + 1);
    assert!(finished.stdout.ends_with(&summary), "{}", finished.stdout);
}

#[tokio::test]
async fn links_and_folders_as_handlers_have_them() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(outside.path().join("far.rhai"), "fn name() { \"far\" }\n").expect("write");
    let builder = Server::builder()
        .bare()
        .file("h/lib/near.rhai", "fn name() { \"near\" }\n")
        .file(
            "h/sub/it_wsh.rhai",
            saying(
                "import \"lib/near\" as near;\nimport \"lib/link\" as link;\nimport \"far/far\" as \
                far;",
                "near::name() + link::name() + far::name()",
            ),
        )
        .file("h/other_wsh.rhai", ECHO);
    let root = builder.dir().join("h");
    symlink("near.rhai", root.join("lib/link.rhai")).expect("a link");
    symlink(outside.path(), root.join("far")).expect("a link");
    // Modules may be anywhere below the root, whatever is served.
    let server = builder
        .args([
            "-p",
            "0",
            "-w",
            "h",
            "-s",
            "h/sub",
            "--allow-handlers-outside-root-dir",
        ])
        .start()
        .await;
    assert_eq!(server.status("/other").await, 404);
    let mut client = connect(server.url("/sub/it")).await;
    client.until_answer("nearnearfar").await;
    server.write("h/lib/near.rhai", "fn name() { \"new\" }\n");
    client.until_answer("newnewfar").await;
    std::fs::write(outside.path().join("far.rhai"), "fn name() { \"wide\" }\n").expect("write");
    client.until_answer("newnewwide").await;
}

#[tokio::test]
async fn a_broken_module_keeps_all_who_import_it() {
    let user = saying("import \"lib/name\" as lib;", "lib::name()");
    let server = Server::start(&[
        ("lib/name.rhai", "fn name() { \"1\" }\n"),
        ("a_wsh.rhai", &user),
        ("b_wsh.rhai", &user),
        ("c_wsh.rhai", &answering("c")),
    ])
    .await;
    let mut clients = [
        connect(server.url("/a")).await,
        connect(server.url("/b")).await,
    ];
    let mut broken = 0;
    for code in ["fn name() {", "throw 1;", "import \"nothing\" as n;"] {
        server.replace("lib/name.rhai", code);
        let line = server.log("handler broken").await;
        broken += 1;
        assert!(line.contains("a_wsh.rhai, b_wsh.rhai"), "{line}");
        assert_eq!(server.count("handler broken"), broken, "told once");
        server.log("--> lib/name.rhai").await;
        for client in &mut clients {
            client.send_text("?").await;
            assert_eq!(client.next_text().await, "1");
        }
    }
    server.remove("lib/name.rhai");
    for line in ["--> a_wsh.rhai:1:8", "--> b_wsh.rhai:1:8"] {
        server.log(line).await;
    }
    assert_eq!(server.status("/a").await, 101);

    server.write("lib/name.rhai", "fn name() { \"2\" }\n");
    for client in &mut clients {
        client.until_answer("2").await;
    }
    assert_eq!(server.count(["reloaded", "c_wsh.rhai"]), 0);
    assert_eq!(server.count("script fault"), 0, "{}", server.logged());
}

#[tokio::test]
async fn a_module_that_comes_late() {
    let user = saying("import \"lib/name\" as lib;", "lib::name()");
    let server = Server::start(&[("it_wsh.rhai", &user)]).await;
    server.broken("it_wsh.rhai:1:8").await;
    assert_eq!(server.status("/it").await, 500);
    server.write(
        "lib/name.rhai",
        "import \"lib/first\" as first;\nfn name() { first::name() }\n",
    );
    server.log("--> lib/name.rhai:1:8").await;
    server.write("lib/first.rhai", "fn name() { \"here\" }\n");
    server.log(["handler added", "it_wsh.rhai"]).await;
    server.until_answer("/it", "here").await;
}

#[tokio::test]
async fn an_edit_reaches_through_other_modules() {
    let deep = |name: &str| format!("fn name() {{ \"{name}\" }}\n");
    let server = Server::builder()
        .file("deep.rhai", deep("1"))
        .file(
            "middle.rhai",
            "import \"deep\" as deep;\nfn name() { deep::name() }\n",
        )
        .file("other.rhai", "const CALLS = [];\nfn name() { \"other\" }\n")
        .file(
            "it_wsh.rhai",
            saying(
                "import \"middle\" as middle;\nimport \"other\" as other;",
                "middle::name() + other::name() + middle::deep::name()",
            ),
        )
        .start()
        .await;
    let mut client = connect(server.url("/it")).await;
    for name in ["1", "2", "3"] {
        server.write("deep.rhai", deep(name));
        client.until_answer(&format!("{name}other{name}")).await;
    }
    let line = server.log("handler reloaded").await;
    assert!(
        line.contains("it_wsh.rhai") && line.contains("modules=\"deep\""),
        "{line}"
    );
    // Renamed with all who name it, in one step: nobody sees a half.
    let server_dir = server.dir();
    std::fs::rename(server_dir.join("deep.rhai"), server_dir.join("low.rhai")).expect("rename");
    server.replace(
        "middle.rhai",
        "import \"low\" as deep;\nfn name() { deep::name() + \"!\" }\n",
    );
    client.until_answer("3!other3").await;
}

/// Two handlers share a module that is edited again and again while messages are under way.
#[tokio::test]
async fn shared_edits_under_load() {
    const EDITS: u32 = 30;
    let module = |version: u32| format!("fn version() {{ {version} }}\n");
    let user = "import \"lib/v\" as v;\nfn transfer_data(ws, message) {\n    \
        ws.send(`${v::version()} ${message}`);\n}\n";
    let server = Server::builder()
        .file("lib/v.rhai", module(0))
        .file("a_wsh.rhai", user)
        .file("b_wsh.rhai", user)
        .start()
        .await;
    let mut talks = tokio::task::JoinSet::new();
    for path in ["/a", "/b", "/a", "/b"] {
        talks.spawn(talk_until(connect(server.url(path)).await, EDITS));
    }
    for version in 1..=EDITS {
        server.replace("lib/v.rhai", module(version));
        server.log(["handler reloaded", "a_wsh.rhai"]).await;
        server.log(["handler reloaded", "b_wsh.rhai"]).await;
    }
    within("every connection to see the last module", talks.join_all()).await;
    assert_eq!(server.count("script fault"), 0, "{}", server.logged());
}

/// Sends numbered messages until a reply carries this version; each is answered once and in order.
async fn talk_until(mut client: Client, last: u32) {
    let mut version = 0;
    for number in 0u64.. {
        client.send_text(number.to_string()).await;
        let reply = client.next_text().await;
        let (shown, back) = reply.split_once(' ').expect("a version and a number");
        assert_eq!(back, number.to_string());
        let shown = shown.parse().expect("a version");
        assert!(shown >= version, "from {version} back to {shown}");
        version = shown;
        if version == last {
            return;
        }
    }
}

/// Freeing nested data takes stack for every level, wherever it was made.
#[tokio::test]
async fn deep_data_at_a_top_level() {
    let deep = "let f = || 1;\nfor i in 0..20_000 { let g = f; f = || g; }\n";
    let server = Server::builder()
        .file("deep.rhai", deep)
        .file("it_wsh.rhai", saying("import \"deep\" as deep;", "\"1\""))
        .file("deep_wsh.rhai", format!("{deep}{ECHO}"))
        .start()
        .await;
    let mut client = connect(server.url("/it")).await;
    client.until_answer("1").await;
    connect(server.url("/deep")).await.echoes(1).await;
    server.replace("it_wsh.rhai", saying("import \"deep\" as deep;", "\"2\""));
    client.until_answer("2").await;
}

#[tokio::test]
async fn nothing_that_changes_outlives_the_top_level() {
    // What a closure has captured would be shared by all connections, grow without a bound, and be
    // freed on a small stack.
    let counter = "let counter = 0;\nconst COUNT = || { counter += 1; counter };\n";
    let inside = "const ALL = [#{f: { let n = 0; || { n += 1; n } }}];\n";
    let deep = "let f = 0;\nfor i in 0..65 { f = [f]; }\nconst DEEP = f;\n";
    let finished = Server::builder()
        .bare()
        .file("counter_wsh.rhai", format!("{counter}{ECHO}"))
        .file("inside_wsh.rhai", format!("{inside}{ECHO}"))
        .file("deep_wsh.rhai", format!("{deep}{ECHO}"))
        .file("module_wsh.rhai", format!("import \"m\" as m;\n{ECHO}"))
        .file("m.rhai", format!("{counter}export COUNT;\n"))
        .file(
            "pure_wsh.rhai",
            format!("const N = 2;\nconst TWICE = |x| x * global::N;\n{ECHO}"),
        )
        .arg("check")
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let said = finished.stdout.matches("keep state in `this`").count();
    assert_eq!(said, 3, "{}", finished.stdout);
    let deep = "`DEEP` nests more than 64 levels deep";
    assert!(finished.stdout.contains(deep), "{}", finished.stdout);
    assert!(
        finished.stdout.contains("5 handlers, 4 problems"),
        "{}",
        finished.stdout
    );
}
