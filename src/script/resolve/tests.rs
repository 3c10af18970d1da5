use crate::machine::host::Host;
use crate::script::Tried;
use crate::script::fault::Fault;
use crate::script::library::{Checked, Checker, Library};

const MODULE: &str = r#"
    import "lib/inner" as inner;
    export const LIMIT = 3;
    const HIDDEN = 4;
    export HIDDEN as SHOWN;
    export const DOUBLE = |x| x * 2;
    fn greet(name) { `hello ${name} ${hidden()} ${global::HIDDEN}` }
    fn greet(name, again) { greet(name) + again }
    fn reply(target, text) { target.send(text); }
    fn tell(target, text) { if type_of(target) == "array" { target.push(text) } else { target.send(text) } }
    private fn hidden() { "secret" }
"#;
const INNER: &str = "export const DEPTH = 2;\nfn deep(x) { x }\n";

fn check(code: &str) -> Checked {
    let mut library = Library::default();
    library.set("lib/texts", Some(Ok(MODULE.into())));
    library.set("lib/inner", Some(Ok(INNER.into())));
    let mut checker = Checker::new(&Host::default(), &mut library);
    checker.check("it_wsh.rhai", &Ok(code.into()), 1)
}

/// Returns the line and the message of the fault that keeps a handler from serving.
fn fault(code: &str) -> Option<(usize, String)> {
    let fault: Fault = check(code).result.err()?;
    let line = fault.location.as_ref().map_or(0, |location| location.line);
    Some((line, fault.message))
}

/// The body of a `transfer_data` for each case, with the rest of the file behind `---`.
fn handler(case: &str) -> String {
    let (body, rest) = case.split_once("---").unwrap_or((case, ""));
    format!("{rest}\nfn transfer_data(ws, message) {{ {body} }}\n")
}

/// Whatever a program finds out by itself, and whatever its types decide, is not for this to judge.
#[test]
fn legal_programs_serve() {
    for case in [
        // Functions in variables, maps and arrays.
        "let f = |x| x + 1; f.call(2); call(f, 2);",
        "let f = Fn(\"helper\"); f.call(1); --- fn helper(a) { a }",
        "let name = \"helper\"; Fn(name).call(1); --- fn helper(a) { a }",
        "Fn(\"nowhere\");",
        "let m = #{ f: |x| x, g: Fn(\"helper\") }; m.f(1); m.g(1); m.any(); --- fn helper(a) { a }",
        "let m = #{}; m.run = |a, b| a; m.run(1, 2); m.inner.deep.thing();",
        "[1, 2].map(helper); [1].map(|v| helper(v)); --- fn helper(a) { a }",
        "let list = [|x| x]; list[0].call(1); list[0][1].foo(); list?[0]?.foo();",
        "let f = |x| |y| x + y; f.call(1).call(2);",
        "parse_json(message).anything(); parse_json(message).some.property;",
        "this.f = |x| x; this.anything(1); this.count += 1;",
        "this.helper(1); --- fn helper(a) { this.n = a; }",
        "message.shout(); --- fn shout() { this + \"!\" }",
        "message.shout(2); --- fn string.shout(n) { this + n }",
        "ws.greet(message); --- fn greet(text) { this.send(text); }",
        "ws.greet(message); --- fn WebSocket.greet(text) { this.send(text); }",
        // What a script asks for by itself.
        "if is_def_fn(\"later\", 1) { later(ws) }",
        "let n = \"later\"; if is_def_fn(n, 1) { later(ws) }",
        "try { nowhere(1) } catch { }",
        "try { ws.publish(\"topic\", message) } catch (e) { ws.send(`${e}`); }",
        "is_def_var(\"x\") || is_shared(message) || type_of(ws) == \"WebSocket\";",
        // Rhai's own functions, as functions and as methods.
        "print(1); debug(1); abs(-1); (-1).abs(); max(1, 2); 1.max(2); \"a\".len(); \
        len(\"a\"); \"a\".len;",
        "sin(1.0); PI(); E(); 5.to_string(); to_string(5); to_debug(ws); ws.to_string(); \
        ws.type_of();",
        "let s = \"abc\"; s.pad(5, 'x'); s.crop(1); s.split(\",\").filter(|v| v != \"\").map(|v| \
        v.trim());",
        "let a = [3, 1]; a.sort(); a.push(4); a.reduce(|s, v| s + v, 0); a.for_each(|| this += 1); \
        a[0..1];",
        "for (v, i) in [1, 2] { ws.send(`${i}: ${v}`); } for k in (#{ a: 1 }).keys() { print(k); }",
        "let b = blob(4); b[0] = 1; b.parse_le_int(0, 4); range(0, 5).contains(2); 0..5; 1 in [1];",
        "let r = 0..=3; r.start; r.is_inclusive; r.end; for i in range(0, 9, 2) {}",
        "let x = switch message { \"a\" => abs(1), \"b\" if ws.id != () => 2, _ => 3 }; loop { \
        break abs(x); }",
        "do { break; } while true; while false { continue; }",
        "let y = if message == \"a\" { ws.path } else { ws.host }; y.len;",
        "let x = { let ws = #{ anything: 1 }; ws.anything }; x;",
        // Ours.
        "ws.send(message); send(ws, message); ws.close(); ws.close(1000); ws.close(1000, \"x\"); \
        ws?.send(\"x\");",
        "ws.headers[\"user-agent\"]?[0]; ws.query_params.room?[0].len; ws.params.id.foo.bar();",
        "let other = ws; other.send(message); let s = ws.send_json(#{ a: [1] });",
        "sleep(0.0); now(); random(); uuid(); to_json(#{}); hex(\"a\"); base64(\"a\"); \
        sha256(\"a\");",
        // Constants and modules.
        "global::A + global::B; --- const A = 1; const B = global::A + 1;",
        "t::greet(message); t::greet(message, 1); t::LIMIT; t::SHOWN; t::DOUBLE.call(2); --- \
        import \"lib/texts\" as t;",
        "t::inner::deep(t::inner::DEPTH); --- import \"lib/texts\" as t;",
        "import \"lib/texts\" as t; t::greet(1);",
        "if true { import \"lib/texts\" as t; t::greet(1); } else { import \"lib/inner\" as t; \
        t::deep(1); }",
        "t::reply(ws, message); t::tell(ws, message); t::tell([], message); --- \
        import \"lib/texts\" as t;",
        // Names that are no longer what they were, or that are for more than one type.
        "ws = #{ foo: |x| x }; ws.foo(1);",
        "let target = ws; target = [1]; target.push(2);",
        "out(ws, message); out([], message); --- fn out(to, x) { if type_of(to) == \"array\" { \
        to.push(x) } else { to.send(x) } }",
        "out(ws, \"ws\"); --- fn out(to, kind) { if kind == \"array\" { to.push(1); to.len; } else \
        { to.send(\"x\") } }",
        "out(ws, false); --- fn out(to, is_map) { if !is_map { return to.id; } to.name }",
        "out(ws); f(Fn(\"out\")); --- fn f(g) { g.call(#{ foo: 1 }) } fn out(to) { to.foo }",
        "out(ws); [#{ foo: 1 }].map(out); --- fn out(to) { to.foo }",
        "out(message); out(#{ shape: 1 }); --- fn out(to) { to.shape }",
        "ws.become_map(); ws.anything; --- fn become_map() { this = #{ anything: 1 }; }",
        // Closures that capture.
        "let users = [1]; users.for_each(|| ws.send(`${this}`)); users.map(|u| { let t = ws; \
        t.send(`${u}`); u });",
        "let n = 0; let add = |x| { n += x; n }; add.call(1); let twice = |g| g.call(1) + \
        g.call(2); twice.call(add);",
        // Recursion, and functions of one name.
        "down(3); --- fn down(n) { if n > 0 { down(n - 1) } else { down() } } fn down() { 0 }",
        "even(3); --- fn even(n) { n == 0 || odd(n - 1) } fn odd(n) { n != 0 && even(n - 1) }",
        "reply(ws, message); --- private fn reply(ws, m) { ws.send(m); }",
        "later(ws); --- fn later(ws) { ws.after(1.0, \"x\"); } fn on_timer(ws, name) { \
        ws.send(name); }",
    ] {
        assert_eq!(fault(&handler(case)), None, "{case}");
    }
}

#[test]
fn what_exists_nowhere_does_not_serve() {
    for (case, message) in [
        ("to_jsn(message);", "there is no `to_jsn(message)`"),
        (
            "helper(1, 2); --- fn helper(a) { a }",
            "there is no `helper(int, int)`",
        ),
        ("helper(); --- fn helper(a) { a }", "there is no `helper()`"),
        ("ws.send(uuid(1).len);", "there is no `uuid(int)`"),
        ("print(message, 2);", "there is no `print(message, int)`"),
        (
            "ws.sned(message);",
            "there is no `sned(message)` for WebSocket",
        ),
        ("ws.send();", "there is no `send()` for WebSocket"),
        (
            "ws.send(\"a\", \"b\", true);",
            "there is no `send(string, string, bool)` for WebSocket",
        ),
        (
            "if message == \"x\" { ws.sned(message); }",
            "there is no `sned(message)` for WebSocket",
        ),
        (
            "[1].for_each(|| ws.sned(`${this}`));",
            "there is no `sned(string)` for WebSocket",
        ),
        (
            "let other = ws; other.sned(1);",
            "there is no `sned(int)` for WebSocket",
        ),
        ("ws?.sned(1);", "there is no `sned(int)` for WebSocket"),
        ("ws.pth.len;", "WebSocket has no property `pth`"),
        ("ws.send(`${ws.pth}`);", "WebSocket has no property `pth`"),
        ("loop { break to_jsn(1); }", "there is no `to_jsn(int)`"),
        ("let f = |x| to_jsn(x);", "there is no `to_jsn(x)`"),
        (
            "switch message { \"a\" => nowhere(), _ => 1 }",
            "there is no `nowhere()`",
        ),
        ("let a = [nowhere()];", "there is no `nowhere()`"),
        ("let a = #{ b: [1, nowhere()] };", "there is no `nowhere()`"),
        ("let a = [1]; a[nowhere()] = 1;", "there is no `nowhere()`"),
        (
            "let a = [1]; a[0][nowhere()].x = 1;",
            "there is no `nowhere()`",
        ),
        (
            "let a = #{}; a[message].b.c(nowhere());",
            "there is no `nowhere()`",
        ),
        ("true && nowhere();", "there is no `nowhere()`"),
        ("return nowhere();", "there is no `nowhere()`"),
        ("throw nowhere();", "there is no `nowhere()`"),
        ("for i in nowhere() { }", "there is no `nowhere()`"),
        ("try { } catch { nowhere(); }", "there is no `nowhere()`"),
        (
            "ws.nick = message;",
            "WebSocket has no property `nick` that can be set to message",
        ),
        (
            "ws.path = parse_json(message);",
            "the property `path` of WebSocket cannot be set",
        ),
        (
            "reply(ws, message); --- fn reply(w, m) { w.sned(m); }",
            "there is no `sned(m)` for WebSocket",
        ),
        (
            "reply(ws, message); --- fn reply(w, m) { if m == \"x\" { w.sned(m); } }",
            "there is no `sned(m)` for WebSocket",
        ),
        (
            "a(ws); --- fn a(w) { b(w) } fn b(w) { w.pth }",
            "WebSocket has no property `pth`",
        ),
        (
            "t::nope(); --- import \"lib/texts\" as t;",
            "there is no `t::nope()`",
        ),
        (
            "t::greet(); --- import \"lib/texts\" as t;",
            "there is no `t::greet()`",
        ),
        (
            "t::hidden(); --- import \"lib/texts\" as t;",
            "there is no `t::hidden()`",
        ),
        (
            "t::NOPE; --- import \"lib/texts\" as t;",
            "there is no variable `t::NOPE`",
        ),
        (
            "t::HIDDEN; --- import \"lib/texts\" as t;",
            "there is no variable `t::HIDDEN`",
        ),
        (
            "t::inner::nope(); --- import \"lib/texts\" as t;",
            "there is no `t::inner::nope()`",
        ),
        (
            "global::NOPE; --- const A = 1;",
            "there is no variable `global::NOPE`",
        ),
        (
            "global::x; --- let x = 1;",
            "there is no variable `global::x`",
        ),
    ] {
        let found = fault(&handler(case)).map(|(_, message)| message);
        assert_eq!(found.as_deref(), Some(message), "{case}");
    }
    let code = "fn do_extra_handshake(request) {\n    request.rejct(403);\n}\nfn transfer_data(ws, \
        message) {}\n";
    let message = "there is no `rejct(int)` for Request";
    assert_eq!(fault(code), Some((2, message.into())));
    let code = "fn transfer_data(ws) {\n    while ws.recieve() != () {}\n}\n";
    let message = "there is no `recieve()` for WebSocket";
    assert_eq!(fault(code), Some((2, message.into())));
    assert_eq!(
        fault("const A = nowhere();\nfn transfer_data(ws, message) {}\n").map(|(line, _)| line),
        Some(1)
    );
}

/// A module is at fault when a handler hands it what cannot do that.
#[test]
fn a_module_is_held_against_what_it_is_called_with() {
    let mut library = Library::default();
    library.set(
        "lib/out",
        Some(Ok("fn out(to) {\n    to.sned(1);\n}\n".into())),
    );
    let mut checker = Checker::new(&Host::default(), &mut library);
    let mut check = |code: &str| checker.check("it_wsh.rhai", &Ok(code.into()), 1).result;
    let with_ws = "import \"lib/out\" as o;\nfn transfer_data(ws, message) { o::out(ws); }\n";
    let fault = check(with_ws).expect_err("a fault");
    assert_eq!(fault.file, "lib/out.rhai");
    assert_eq!(fault.location.expect("a place").line, 2);
    let with_a_map = "import \"lib/out\" as o;\nfn transfer_data(ws, message) { o::out(#{}); }\n";
    assert!(check(with_a_map).is_ok());
}

/// Only what another file lacks may be mended by that file.
#[test]
fn what_is_apart_is_told_from_what_is_wrong() {
    for (case, is_apart) in [
        ("t::nope(); --- import \"lib/texts\" as t;", true),
        ("t::NOPE; --- import \"lib/texts\" as t;", true),
        (
            "1; --- import \"lib/texts\" as t; import \"lib/none\" as n;",
            true,
        ),
        (
            "t::nope(); ws.sned(1); --- import \"lib/texts\" as t;",
            false,
        ),
        ("global::NOPE;", false),
        ("let = 1;", false),
        ("ws.send(1);", false),
    ] {
        let checked = check(&handler(case));
        assert_eq!(checked.is_apart, is_apart, "{case}");
    }
}

/// The type of a message is certain, and still for the run to find: it is told beforehand.
#[test]
fn what_may_be_meant_is_a_warning() {
    let warned = |case: &str| {
        let Tried { warnings, .. } = check(&handler(case)).result.expect(case);
        warnings
            .into_iter()
            .map(|fault| fault.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        warned("message.lenght;"),
        ["string has no property `lenght`"]
    );
    assert_eq!(
        warned("message.startsWith(\"a\");"),
        ["there is no `startsWith(string)` for string"]
    );
    assert_eq!(
        warned("try { ws.publish(1) } catch { }"),
        ["there is no `publish(int)` for WebSocket"]
    );
    assert_eq!(
        warned("let f = Fn(\"nope\"); f.call(1);"),
        ["there is no `nope()`"]
    );
    assert_eq!(warned("message.len; message.trim(); message[0];"), [""; 0]);
    let there = "Fn(\"twice\").call(1); Fn(\"to_json\").call(1); let name = \"x\"; Fn(name); \
        Fn(\"+\").call(1, 2); --- fn twice(n) { n * 2 }";
    assert_eq!(warned(there), [""; 0]);
}

/// Statements of nested closures are found to be theirs: a wrong owner would see the wrong
/// variables.
#[test]
fn closures_keep_their_own_names() {
    for case in [
        "let f = |ws| ws.anything; f.call(#{ anything: 1 }); ws.path;",
        "let f = |ws| { let x = ws.anything; x }; let y = ws.path; f.call(#{});",
        "[1].map(|x| #{ a: |ws| ws.b.c(), d: x }).filter(|ws| ws.a != ()).map(|ws| ws.d); ws.id;",
        "let f = || { let ws = 1; ws.foo() }; ws.id; --- fn foo() { this }",
        "f(ws); --- fn f(a) { let g = |b| |a| a.x + b; a.id; g.call(1).call(#{ x: 1 }) }",
    ] {
        assert_eq!(fault(&handler(case)), None, "{case}");
    }
    let case = "let f = |x| { x.y }; let g = |z| z.w; ws.pth;";
    assert_eq!(
        fault(&handler(case)).map(|(_, message)| message).as_deref(),
        Some("WebSocket has no property `pth`")
    );
}
