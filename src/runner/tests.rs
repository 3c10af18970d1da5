//! Examples of the package, and what a world keeps apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::world::BEGIN;
use super::*;
use crate::config::{Admission, Script};
use crate::handlers::{Entry, Generation};
use crate::script::{Checker, Host, Library, Source};

/// A handler whose hooks say what happens.
const ECHO: &str = "fn do_extra_handshake(request) {\n    if request.query.contains(\"no\") { \
    request.reject(403); }\n}\n\
    fn on_open(ws) { ws.every(60, \"beat\"); }\n\
    fn on_timer(ws, name) { ws.send(name); }\n\
    fn transfer_data(ws, message) {\n\
        publish(\"said\", message);\n\
        ws.send(message);\n\
    }\n";

fn plan() -> Plan {
    let host = mocking(Host::new(Script::default()).with(Testing));
    let mut library = Library::default();
    let text = Ok(ECHO.to_owned());
    let checked = Checker::new(&host, &mut library).check("echo_wsh.rhai", &text, 1);
    let tried = checked.result.expect("a handler");
    let entry = Entry {
        source: Some(tried.source),
        hooks: tried.hooks,
        fault: None,
    };
    let entries = BTreeMap::from([("echo_wsh.rhai".to_owned(), entry)]);
    Plan {
        generation: Arc::new(Generation::new(entries, &[]).0),
        host,
        seed: 1,
        limit: Duration::from_millis(500),
        begin: BEGIN,
        admission: Admission::default(),
        coverage: None,
    }
}

fn read(text: &str) -> (Arc<Source>, Vec<String>) {
    let host = plan().host;
    let mut library = Library::default();
    let tests = Checker::new(&host, &mut library).tests("a_test.rhai", &Ok(text.to_owned()));
    let tests = tests.unwrap_or_else(|fault| panic!("{fault}"));
    let names = tests.names.into_iter().map(|(name, _)| name).collect();
    (tests.source, names)
}

/// Runs `test_it`.
fn run_it(body: &str) -> Outcome {
    let (source, _) = read(&format!("fn test_it() {{\n{body}\n}}"));
    run(&plan(), &source, "test_it").expect("a test that runs")
}

fn passes(body: &str) -> Outcome {
    let outcome = run_it(body);
    if let Some(fault) = outcome.fault {
        panic!("{fault}\n{}", outcome.difference.unwrap_or_default());
    }
    outcome
}

fn fails(body: &str) -> String {
    let outcome = run_it(body);
    let fault = outcome.fault.expect("a fault");
    format!(
        "{}{}",
        fault.brief(1000),
        outcome.difference.unwrap_or_default()
    )
}

/// However long a test talks, it holds what waits and no more, and that has a bound that says so.
#[test]
fn talking_takes_no_memory() {
    let mut plan = plan();
    plan.limit = Duration::from_secs(30);
    let run_it = |body: &str| {
        let (source, _) = read(&format!("fn test_it() {{\n{body}\n}}"));
        let fault = run(&plan, &source, "test_it").expect("a test that runs");
        fault.fault.map(|fault| fault.brief(1000))
    };
    // Of these, 64 MiB in all, as the script may hold.
    let talks = "let c = connect(\"/echo\");\nlet long = \"x\".repeat(65536);\n\
        for i in 0..1200 {\n    c.send(long);\n    c.receive();\n}";
    assert_eq!(run_it(talks), None);
    let talks = "let c = connect(\"/echo\");\nlet long = \"x\".repeat(65536);\n\
        loop {\n    c.send(long);\n}";
    let fault = run_it(talks).expect("it is too much");
    assert!(fault.contains("64 MiB of messages wait"), "{fault}");
}

#[test]
fn every_example_passes() {
    let packages = [&package::PACKAGE, &elsewhere::PACKAGE];
    for function in packages.iter().flat_map(|package| package.functions) {
        let (source, names) = read(function.example);
        let outcome = run(&plan(), &source, &names[0]).expect("a test that runs");
        if let Some(fault) = outcome.fault {
            panic!("{:?}: {fault}", function.signatures);
        }
    }
}

#[test]
fn a_client_is_a_client() {
    passes(
        "let c = connect(\"/echo\");\n\
         c.send(\"a\"); c.send(blob(3, 7));\n\
         expect(c.receive(), \"a\"); expect(c.receive(), blob(3, 7));\n\
         expect_silence(c, 59);\n\
         expect(c.receive(2), \"beat\");\n\
         expect(published(\"said\"), [\"a\", blob(3, 7)]);\n\
         c.close(4000, \"bye\");\n\
         expect(c.closed(), #{code: 4000, reason: \"\"});\n\
         let kind = ();\n\
         try { c.receive(); } catch (e) { kind = e.kind; }\n\
         expect(kind, \"closed\");\n\
         try { connect(\"/echo?no\"); } catch (e) { kind = `${e.kind} ${e.message.sub_string(0, 3)}`; }\n\
         expect(kind, \"refused 403\");",
    );
}

/// Twice the same numbers and the same time of day, whatever ran before.
#[test]
fn a_world_is_as_new() {
    let body = "throw `${random(0, 1000000000)} ${now()} ${published(\"said\").len}`;";
    passes("connect(\"/echo\").send(\"a\"); advance(1);");
    assert_eq!(fails(body), fails(body));
}

#[test]
fn an_hour_is_no_time() {
    let began = Instant::now();
    let outcome = passes(
        "let c = connect(\"/echo\"); let began = monotonic();\n\
         for i in range(0, 60) { advance(60); expect(c.receive(), \"beat\"); }\n\
         expect(monotonic() - began >= 3600.0);",
    );
    assert!(outcome.passed >= Duration::from_secs(3600));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_never_comes_is_named() {
    let said = fails("let c = connect(\"/echo\");\nc.receive();");
    assert!(
        said.starts_with("a_test.rhai:3:3 nothing came within 1 s"),
        "{said}"
    );
}

#[test]
fn differences_are_shown() {
    let said = fails("expect([1, #{a: 2, b: 3}], [1, #{a: 2, b: 4}]);");
    assert!(said.contains("\n-     b: 4,\n+     b: 3,\n"), "{said}");
    let said = fails("expect(1, 1.0);");
    assert!(said.ends_with("expected 1.0, found 1"), "{said}");
}

/// Neither a handler nor a test that never waits for time to pass holds up the next.
#[test]
fn a_test_ends_with_its_real_time() {
    for body in [
        "loop { sleep(0); }",
        "loop { advance(1); }",
        "let c = connect(\"/echo\");\nloop { c.send(\"a\"); c.receive(); }",
    ] {
        let said = fails(body);
        assert!(said.contains("no end in its time"), "{said}");
    }
}

#[test]
fn nobody_outside_is_reached() {
    passes(
        "let kinds = [];\n\
         try { http_get(\"http://localhost:1/\"); } catch (e) { kinds.push(e.kind); }\n\
         try { http_post(\"https://example.com/\", \"\"); } catch (e) { kinds.push(e.kind); }\n\
         try { dial(\"ws://localhost:1/\"); } catch (e) { kinds.push(e.kind); }\n\
         try { mock_http(\"https://a/\", 1); } catch (e) { kinds.push(e.kind); }\n\
         try { mock_dial(\"wss://a/\", \"echo\"); } catch (e) { kinds.push(e.kind); }\n\
         expect(kinds, [\"connect\", \"connect\", \"connect\", \"type\", \"option\"]);",
    );
}

#[test]
fn what_was_said_last_of_a_url_counts() {
    passes(
        "mock_http(\"https://a.example/\", \"old\");\n\
         mock_http(\"https://a.example/\", \"new\");\n\
         mock_http(\"https://a.example/x\", blob(2, 7));\n\
         expect(http_get(\"https://a.example/y\").text, \"new\");\n\
         expect(http_get(\"https://a.example/x/y\").body, blob(2, 7));\n\
         expect(http_get(\"https://a.example/x\").headers[\"content-type\"], \
         [\"application/octet-stream\"]);\n\
         let sent = #{headers: #{\"X-Own\": [\"1\", \"2\"]}, method: \"PUT\"};\n\
         http_post(\"https://a.example/z\", #{a: 1}, sent);\n\
         let asked = mocked(\"https://a.example/z\")[0];\n\
         expect(asked.method, \"PUT\");\n\
         expect(asked.headers[\"x-own\"], [\"1\", \"2\"]);\n\
         expect(asked.headers[\"content-type\"], [\"application/json\"]);\n\
         expect(mocked(\"https://a.example/\").len(), 4);",
    );
}

/// A function answers from what it sees, and what it throws is what the request throws.
#[test]
fn a_function_answers() {
    passes(
        "mock_http(\"https://a.example/\", |request| {\n\
             if request.url.contains(\"bad\") { throw \"bad\"; }\n\
             #{status: 201, headers: #{\"X-Seen\": request.text}, body: [request.method]}\n\
         });\n\
         let answer = http_post(\"https://a.example/\", \"hello\");\n\
         expect(answer.status, 201);\n\
         expect(answer.headers[\"x-seen\"], [\"hello\"]);\n\
         expect(answer.text, \"[\\\"POST\\\"]\");\n\
         let thrown = ();\n\
         try { http_get(\"https://a.example/bad\"); } catch (e) { thrown = e; }\n\
         expect(thrown, \"bad\");",
    );
}

/// What is dialed goes the whole way of a real connection, and ends as one.
#[test]
fn a_handler_answers_for_what_is_dialed() {
    passes(
        "mock_dial(\"wss://feed.example/\", \"/echo\");\n\
         let feed = dial(\"wss://feed.example/a?b=c\");\n\
         feed.send(\"a\"); feed.send(blob(2, 1));\n\
         expect(feed.receive(1), \"a\"); expect(feed.receive(1), blob(2, 1));\n\
         expect(feed.receive(60.5), \"beat\");\n\
         expect(feed.receive(1) == ());\n\
         expect(feed.ready_state, \"open\");\n\
         feed.close(4000, \"bye\");\n\
         expect(feed.receive(1) == ());\n\
         expect(feed.ready_state, \"closed\");\n\
         mock_dial(\"ws://no.example/\", \"/nowhere\");\n\
         let kind = ();\n\
         try { dial(\"ws://no.example/\"); } catch (e) { kind = e.kind; }\n\
         expect(kind, \"refused\");",
    );
}
