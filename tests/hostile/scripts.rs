//! Hostile scripts, as a table: bodies for one hook, bodies for every hook, and whole files.
//!
//! Out come [`Script`]s, each with the text of a handler and what must become of a client that
//! opens it, pings it, pongs it and says `go`. The tests provoke them one beside the other, the
//! benches measure what others feel of them, and the fuzzer takes them for seeds. Those of the
//! robustness catalogue's table R carry their row in their name.

/// A handler that does its worst.
#[derive(Debug)]
pub struct Script {
    /// Its file's name without `_wsh.rhai`: what it does, and in which hook.
    pub name: String,
    /// The file.
    pub source: String,
    /// What becomes of a client.
    pub ends: Ends,
}

/// What becomes of a client that says `go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// The script faults: 1011, or a refusal where there is no connection yet.
    Fault,
    /// The script faults after at most this many `go`, each before it answered.
    Within(usize),
    /// The script is honest or was kept from harm: it answers.
    Reply,
    /// One of both.
    Somehow,
    /// The script waits, talks or computes for longer than its client is there: that goes after a
    /// while.
    Never,
    /// The same, and the client reads nothing.
    Deaf,
    /// The script does not compile, or not as a handler: the upgrade is refused.
    Broken,
}

use Ends::{Broken, Deaf, Fault, Never, Reply, Somehow, Within};

/// A hook as scripts define it, and what else a handler needs for it to be called and for a fault
/// in it to be seen.
struct Place {
    name: &'static str,
    definition: &'static str,
    beside: &'static str,
    has_ws: bool,
    /// What becomes of a client when the script does what it should not.
    seen: Seen,
}

/// What a client sees of a hook.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// How it ends, for something depends on it.
    End,
    /// How it fails or that it waits, and otherwise nothing.
    Failure,
    /// Nothing: it is answered all the same.
    Nothing,
}

const ANSWERS: &str = "fn transfer_data(ws, message) { ws.send(message); }\n";
const LISTENS: &str = "fn transfer_data(ws, message) { }\n";

const PLACES: [Place; 12] = [
    Place {
        name: "do_extra_handshake",
        definition: "do_extra_handshake(request)",
        beside: ANSWERS,
        has_ws: false,
        seen: Seen::End,
    },
    Place {
        name: "on_open",
        definition: "on_open(ws)",
        beside: LISTENS,
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "transfer_data",
        definition: "transfer_data(ws, message)",
        beside: "",
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "transfer_loop",
        definition: "transfer_data(ws)",
        beside: "",
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "on_ping",
        definition: "on_ping(ws, payload)",
        beside: LISTENS,
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "on_pong",
        definition: "on_pong(ws, payload)",
        beside: LISTENS,
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "on_timer",
        definition: "on_timer(ws, name)",
        beside: "fn transfer_data(ws, message) { }\nfn on_open(ws) { ws.after(0.001, \"t\"); }\n",
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "on_frame",
        definition: "on_frame(ws, frame)",
        beside: LISTENS,
        has_ws: true,
        seen: Seen::Failure,
    },
    Place {
        name: "passive_closing_handshake",
        definition: "passive_closing_handshake(ws, code, reason)",
        beside: ANSWERS,
        has_ws: true,
        seen: Seen::End,
    },
    Place {
        name: "on_close",
        definition: "on_close(ws, code, reason, was_clean)",
        beside: ANSWERS,
        has_ws: true,
        seen: Seen::Nothing,
    },
    Place {
        name: "on_load",
        definition: "on_load()",
        beside: ANSWERS,
        has_ws: false,
        seen: Seen::Nothing,
    },
    Place {
        name: "on_interval",
        definition: "on_interval(name)",
        // Once: a budget's worth of every one of them a second would leave nothing to the others.
        beside: "fn transfer_data(ws, message) { ws.send(message); }\nfn on_load() { \
            every(0.001, \"t\"); }\n",
        has_ws: false,
        seen: Seen::Nothing,
    },
];

/// Bodies for every hook, `ws` or not.
const EVERYWHERE: &[(&str, Ends, &str)] = &[
    ("r01_loop", Fault, "loop {}"),
    ("r02_recursion", Fault, "f(0);"),
    ("r03_nested_calls", Fault, "h(0);"),
    (
        "r05_closures",
        Fault,
        "let f = || 1; loop { let g = f; f = || g.call(); }",
    ),
    ("r16_throw", Fault, "throw \"thrown\";"),
    (
        "r16_throw_map",
        Fault,
        "throw #{ code: 1000, reason: [1, #{ a: || 1 }] };",
    ),
    ("r16_host_error", Fault, "sleep(-1.0);"),
    (
        "r09_strings",
        Fault,
        "let a = []; let s = times(\"x\", 17); loop { a.push(s + a.len); }",
    ),
    (
        "r21_this_is_itself",
        Somehow,
        "let f = #{ own: 1 }; let g = || f; f.own = g; this.f = f;",
    ),
    (
        "r21_this_is_deep",
        Fault,
        "let f = || 1; for i in 0..20_000 { let g = f; f = || g.call(); } this.f = f;",
    ),
    ("sleep_for_ever", Never, "loop { sleep(80_000); }"),
    ("exits", Somehow, "exit(#{ a: 1 });"),
    (
        "prints",
        Somehow,
        "for i in 0..500 { print(\"\\r\\n\\x1b[31m\" + i); }",
    ),
];

/// Bodies for every hook with `ws`.
const WITH_WS: &[(&str, Ends, &str)] = &[
    (
        "r18_sends_for_ever",
        Never,
        "loop { ws.send(\"forever and a day\"); }",
    ),
    (
        "receives",
        Somehow,
        "let m = ws.receive(0.05); ws.send(`${m}`); let n = ws.receive(0.05); ws.send(`${n}`);",
    ),
    ("receives_for_ever", Never, "loop { ws.receive(0.001); }"),
    (
        "closes",
        Somehow,
        "ws.close(3000, \"enough\"); ws.close(); ws.send(\"late\"); ws.close(1002);",
    ),
    (
        "aborts",
        Somehow,
        "ws.abort(); ws.send(\"late\"); ws.abort(); ws.close();",
    ),
    (
        "pauses",
        Never,
        "ws.pause(); ws.pause(); sleep(0.05); ws.resume(); ws.pause();",
    ),
    (
        "sets_timers",
        Somehow,
        "for i in 0..64 { ws.every(0.001, `t${i}`); } ws.after(0.0, \"last\"); ws.send(\"set\");",
    ),
    (
        "pings_for_ever",
        Never,
        "loop { ws.ping(\"p\"); ws.pong(\"q\"); sleep(0.001); }",
    ),
];

/// Bodies of `transfer_data(ws, message)`.
const BODIES: &[(&str, Ends, &str)] = &[
    // Loops in every shape.
    ("r01_while", Fault, "let n = 0; while true { n += 1; }"),
    ("r01_do", Never, "let n = 0; do { n += 1; } while n > 0;"),
    (
        "r01_for",
        Fault,
        "let n = 0; for i in 0..9223372036854775807 { n = i; }",
    ),
    (
        "r01_for_inclusive",
        Never,
        "let n = 0; for i in 0..=9223372036854775807 { n = i; }",
    ),
    (
        "r01_range_by_step",
        Never,
        "let n = 0; for i in range(0, 9223372036854775807, 1) { n = i; }",
    ),
    (
        "r01_range_of_floats",
        Never,
        "let n = 0; for i in range(0.0, 1e300, 1e-300) { n = i; }",
    ),
    (
        "r01_range_without_step",
        Somehow,
        "for i in range(0, 10, 0) { } ws.send(\"over\");",
    ),
    (
        "r01_caught",
        Fault,
        "loop { try { loop {} } catch { ws.send(\"caught\"); } }",
    ),
    ("r01_in_callback", Never, "[1, 2, 3].map(|x| { loop {} });"),
    (
        "r01_in_nested_callback",
        Fault,
        "[1].map(|x| [2].filter(|y| [3].some(|z| { loop {} })));",
    ),
    ("r01_in_function", Fault, "endless();"),
    ("r01_in_interpolation", Fault, "ws.send(`${ loop {} }`);"),
    (
        "r01_in_condition",
        Never,
        "if endless() { ws.send(\"never\"); }",
    ),
    ("r01_in_argument", Never, "ws.send({ loop {} });"),
    ("r01_in_index", Never, "let a = [1]; a[{ loop {} }] = 2;"),
    (
        "r01_in_switch",
        Never,
        "switch message { \"go\" if endless() => 1, _ => 2 }",
    ),
    (
        "r01_for_over_growing",
        Somehow,
        "let a = [1]; for x in a { a.push(x); } ws.send(\"over\");",
    ),
    (
        "r01_goes_on_after_sends",
        Fault,
        "for i in 0..100 { ws.send(\"one\"); } loop {}",
    ),
    // Recursion in every shape.
    ("r02_mutual", Fault, "left(0);"),
    ("r02_by_pointer", Fault, "Fn(\"f\").call(0);"),
    (
        "r02_by_closure",
        Fault,
        "let m = #{}; m.f = |m| m.f.call(m); m.f.call(m);",
    ),
    ("r02_in_callback", Fault, "inside([1]);"),
    ("r02_as_method", Fault, "let m = #{}; m.deeper();"),
    (
        "r02_caught_on_the_way",
        Somehow,
        "try { f(0); } catch (e) { ws.send(\"caught\"); }",
    ),
    (
        "r02_again_and_again",
        Fault,
        "loop { try { f(0); } catch { } }",
    ),
    ("r03_nested_maps", Fault, "m(0);"),
    ("r03_nested_arrays", Fault, "ar(0);"),
    ("r03_nested_tries", Fault, "t(0);"),
    ("r03_nested_ifs", Fault, "ifs(0);"),
    ("r03_nested_switches", Fault, "sw(0);"),
    ("r03_nested_texts", Fault, "tx(0);"),
    ("r03_nested_blocks", Fault, "bl(0);"),
    ("r03_nested_methods", Fault, "let v = 1; v.me(0);"),
    ("r03_nested_sorts", Somehow, "so(0); ws.send(\"sorted\");"),
    // Data inside data.
    ("r04_map", Somehow, "let a = #{}; loop { a = #{ x: a }; }"),
    ("r04_array", Somehow, "let a = []; loop { a = [a]; }"),
    ("r04_both", Never, "let a = []; loop { a = #{ x: [a] }; }"),
    (
        "r04_by_index",
        Never,
        "let a = #{}; loop { let b = #{}; b[\"x\"] = a; a = b; }",
    ),
    (
        "r04_by_push",
        Never,
        "let a = []; loop { let b = []; b.push(a); a = b; }",
    ),
    (
        "r04_by_insert",
        Never,
        "let a = []; loop { let b = [0]; b.insert(0, a); a = b; }",
    ),
    (
        "r04_by_pad",
        Never,
        "let a = []; loop { let b = []; b.pad(1, a); a = b; }",
    ),
    (
        "r04_by_set",
        Never,
        "let a = #{}; loop { let b = #{}; b.set(\"x\", a); a = b; }",
    ),
    (
        "r04_by_mixin",
        Never,
        "let a = #{}; loop { a = #{ x: 1 } + #{ y: a }; }",
    ),
    (
        "r04_by_reduce",
        Never,
        "let a = times([1], 15); let d = a.reduce(|sum, v| [sum], []); ws.send(\"deep\");",
    ),
    (
        "r04_in_shared",
        Somehow,
        "let a = []; let c = || a; for i in 0..2000 { a = [a]; } ws.send(\"deep\");",
    ),
    ("r04_of_two", Somehow, "let a = [1]; loop { a = [a, a]; }"),
    (
        "r04_of_two_shared",
        Somehow,
        "let a = [1]; loop { let b = a; let c = || b; a = [c, c]; }",
    ),
    (
        "r04_map_of_two",
        Somehow,
        "let a = #{ x: 1 }; loop { a = #{ x: a, y: a }; }",
    ),
    (
        "r05_counted",
        Somehow,
        "let f = || 1; for i in 0..200_000 { let g = f; f = || g.call(); } ws.send(\"kept\");",
    ),
    (
        "r05_called",
        Somehow,
        "let f = || 1; for i in 0..5000 { let g = f; f = || g.call(); } ws.send(`${f.call()}`);",
    ),
    (
        "r05_own_closure",
        Reply,
        "let f = #{ own: 1 }; let g = || f; f.own = g; ws.send(\"tied\");",
    ),
    (
        "r05_across_sleeps",
        Fault,
        "let f = || 1; loop { for i in 0..500 { let g = f; f = || g.call(); } sleep(0.0); }",
    ),
    (
        "r05_across_sends",
        Fault,
        "let f = || 1; loop { for i in 0..500 { let g = f; f = || g.call(); } ws.send(\"more\"); }",
    ),
    (
        "r05_across_receives",
        Fault,
        "let f = || 1; loop { for i in 0..500 { let g = f; f = || g.call(); } ws.receive(0.0); }",
    ),
    (
        "r05_across_tries",
        Fault,
        "let f = || 1; loop { try { let g = f; f = || g.call(); throw 1; } catch { } }",
    ),
    (
        "r05_in_arrays",
        Fault,
        "let f = [|| 1]; loop { let g = f; f = [|| g]; }",
    ),
    (
        "r05_in_maps",
        Fault,
        "let f = #{ x: || 1 }; loop { let g = f; f = #{ x: || g }; }",
    ),
    (
        "r05_across_functions",
        Never,
        "let f = || 1; loop { f = wrap(f); }",
    ),
    (
        "r05_two_ways",
        Fault,
        "let f = || 1; loop { let g = f; let h = f; f = || [g, h]; }",
    ),
    (
        "r05_thrown",
        Somehow,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } throw f;",
    ),
    (
        "r05_thrown_in_map",
        Somehow,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } throw #{ f: [f] };",
    ),
    (
        "r05_printed",
        Somehow,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } print(f); debug(f); \
        print([f]); debug(#{ f: f }); ws.send(`${[f]}`);",
    ),
    (
        "r05_compared",
        Somehow,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } let h = f; ws.send(`${f \
        == h} ${[f] == [h]} ${[f].contains(h)}`);",
    ),
    (
        "r05_sent",
        Fault,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } ws.send(f);",
    ),
    (
        "r05_as_json",
        Somehow,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } ws.send(to_json(#{ f: f \
        }));",
    ),
    (
        "r05_as_close_reason",
        Fault,
        "let f = || 1; for i in 0..100_000 { let g = f; f = || g.call(); } ws.close(1000, f);",
    ),
    (
        "r05_copied",
        Somehow,
        "let f = || 1; for i in 0..50_000 { let g = f; f = || g.call(); } let a = []; for i in \
        0..1000 { a.push(f); } ws.send(`${a.len}`);",
    ),
    (
        "r05_dropped_and_again",
        Somehow,
        "for n in 0..5 { let f = || 1; for i in 0..50_000 { let g = f; f = || g.call(); } } \
        ws.send(\"dropped\");",
    ),
    (
        "r06_curry_by_name",
        Fault,
        "let f = Fn(\"f\"); Fn(\"curry\").call(f, 1);",
    ),
    (
        "r04_printed",
        Somehow,
        "let a = []; for i in 0..1500 { a = [a]; } print(a); ws.send(`${a}`.len.to_string());",
    ),
    (
        "r04_debugged",
        Somehow,
        "let a = #{}; for i in 0..1500 { a = #{ x: a }; } debug(a); ws.send(a.to_debug());",
    ),
    (
        "r04_thrown",
        Fault,
        "let a = []; for i in 0..1500 { a = [a]; } throw a;",
    ),
    (
        "r04_compared",
        Somehow,
        "let a = []; for i in 0..1500 { a = [a]; } let b = a; ws.send(`${a == b}`);",
    ),
    (
        "r04_as_json",
        Somehow,
        "let a = #{}; for i in 0..1500 { a = #{ x: a }; } ws.send(a.to_json());",
    ),
    (
        "r04_searched",
        Somehow,
        "let a = []; for i in 0..1500 { a = [a]; } let b = [a]; ws.send(`${b.contains(a)} \
        ${b.index_of(a)} ${a in b}`);",
    ),
    (
        "r04_sent_as_json",
        Somehow,
        "let a = #{}; for i in 0..1500 { a = #{ x: a }; } ws.send_json(a); ws.send(\"sent\");",
    ),
    // Memory.
    (
        "r07_replace",
        Somehow,
        "let s = times(\"a\", 15); s.replace(\"a\", s); ws.send(`${s.len}`);",
    ),
    (
        "r07_replace_char",
        Somehow,
        "let s = times(\"a\", 15); s.replace('a', s); ws.send(`${s.len}`);",
    ),
    (
        "r07_replace_everything",
        Somehow,
        "let s = times(\"a\", 20); s.replace(\"a\", s); ws.send(`${s.len}`);",
    ),
    (
        "r07_replace_nothing",
        Somehow,
        "let s = times(\"a\", 20); s.replace(\"\", s); ws.send(`${s.len}`);",
    ),
    ("r07_double", Fault, "let s = \"x\"; loop { s += s; }"),
    (
        "r07_double_by_text",
        Fault,
        "let s = \"x\"; loop { s = `${s}${s}`; }",
    ),
    (
        "r07_pad",
        Fault,
        "let s = \"\"; s.pad(9223372036854775807, 'x');",
    ),
    (
        "r07_pad_by_text",
        Fault,
        "let s = \"\"; s.pad(9223372036854775807, \"xyz\");",
    ),
    (
        "r07_array_pad",
        Fault,
        "let a = []; a.pad(9223372036854775807, 1);",
    ),
    (
        "r07_array_pad_of_arrays",
        Somehow,
        "let a = [1, 2, 3]; for i in 0..5 { let b = a; a.pad(1_000_000, b); } ws.send(`${a.len}`);",
    ),
    ("r07_blob", Fault, "let b = blob(9223372036854775807);"),
    (
        "r07_blob_append",
        Fault,
        "let b = blob(1024, 7); loop { b += b; }",
    ),
    (
        "r07_split",
        Somehow,
        "let s = times(\"a\", 20); ws.send(`${s.split(\"\").len}`);",
    ),
    (
        "r07_to_chars",
        Somehow,
        "let s = times(\"a\", 22); ws.send(`${s.to_chars().len}`);",
    ),
    (
        "r07_blob_to_array",
        Somehow,
        "ws.send(`${times(blob(1), 24).to_array().len}`);",
    ),
    ("r07_array_doubles", Fault, "let a = [1]; loop { a += a; }"),
    (
        "r07_array_splice",
        Fault,
        "let a = [1]; loop { let b = a; a.splice(0, 0, b); }",
    ),
    (
        "r07_upper",
        Somehow,
        "let s = times(\"ß\", 20); for i in 0..10 { s = s.to_upper(); } ws.send(`${s.len}`);",
    ),
    (
        "r08_key",
        Fault,
        "let m = #{}; let k = times(\"k\", 19); for i in 0..2000 { m[k + i] = 1; }",
    ),
    (
        "r08_keys_in_this",
        Fault,
        "let k = times(\"k\", 19); for i in 0..2000 { this[k + i] = 1; }",
    ),
    (
        "r08_many_keys",
        Fault,
        "let m = #{}; let n = 0; loop { n += 1; m[`${n}`] = n; }",
    ),
    (
        "r09_values",
        Fault,
        "let m = #{}; let s = times(\"x\", 20); for i in 0..2000 { m[\"k\" + i] = s + i; }",
    ),
    (
        "r09_in_this",
        Fault,
        "let s = times(\"x\", 20); for i in 0..2000 { this[\"k\" + i] = s + i; }",
    ),
    (
        "r09_message_by_message",
        Within(400),
        "let s = times(\"x\", 20); if this.all == () { this.all = []; } this.all.push(s + \
        this.all.len); ws.send(\"kept\");",
    ),
    (
        "r08_message_by_message",
        Within(400),
        "if this.n == () { this.n = 0; } this.n += 1; this[times(\"k\", 20) + this.n] = 1; \
        ws.send(\"kept\");",
    ),
    (
        "r09_blob_by_message",
        Within(400),
        "if this.all == () { this.all = []; } this.all.push(times(blob(1), 20)); \
        ws.send(\"kept\");",
    ),
    (
        "r09_captured_by_message",
        Within(400),
        "let s = times(\"x\", 20) + message; let f = this.f; this.f = || [s, f]; \
        ws.send(\"kept\");",
    ),
    (
        "r10_captured_arrays",
        Somehow,
        "let a = []; for i in 0..2000 { let b = []; b.pad(9000, i); a.push(|| b); } \
        ws.send(`${a.len}`);",
    ),
    (
        "r10_captured_strings",
        Fault,
        "let a = []; loop { let s = times(\"x\", 17); a.push(|| s); }",
    ),
    (
        "r10_arrays_across_sleeps",
        Fault,
        "let a = []; loop { let s = times(\"x\", 20); a.push(s); sleep(0.0); }",
    ),
    (
        "r10_variables",
        Never,
        "let n = 0; loop { n += 1; let s = times(\"x\", 20); }",
    ),
    (
        "r10_thrown_strings",
        Somehow,
        "let s = times(\"x\", 24); throw s;",
    ),
    (
        "r10_printed_strings",
        Somehow,
        "let s = times(\"\\n\", 20); print(s); ws.send(\"printed\");",
    ),
    // What takes long by itself. The client does not wait for the budget's end: a hook whose peer
    // is gone is ended, too.
    (
        "r11_equal_arrays",
        Never,
        "let a = []; for i in 0..3000 { a.push(i); } let b = a; loop { a == b; }",
    ),
    (
        "r11_equal_maps",
        Never,
        "let m = #{}; for i in 0..3000 { m[`${i}`] = i; } let n = m; loop { m == n; }",
    ),
    (
        "r11_equal_strings",
        Never,
        "let s = times(\"x\", 23); let t = s + \"y\"; s += \"z\"; loop { s == t; }",
    ),
    (
        "r11_contains",
        Never,
        "let a = times([1], 17); loop { a.contains(2); }",
    ),
    (
        "r11_index_of",
        Never,
        "let a = times([1], 17); loop { a.index_of(2); }",
    ),
    (
        "r11_in_text",
        Never,
        "let s = times(\"x\", 23); loop { s.contains(\"xxxxxxxy\"); }",
    ),
    (
        "r11_index_of_text",
        Never,
        "let s = times(\"x\", 23); loop { s.index_of(\"xxxxxxxy\"); }",
    ),
    (
        "r11_len",
        Never,
        "let s = times(\"é\", 23); loop { s.len; }",
    ),
    (
        "r11_char_at",
        Never,
        "let s = times(\"é\", 23); loop { s[7_999_999]; }",
    ),
    (
        "r11_sub_string",
        Never,
        "let s = times(\"é\", 22); loop { s.sub_string(1, 3_999_998); }",
    ),
    (
        "r11_case",
        Never,
        "let s = times(\"x\", 22); loop { s.to_upper(); }",
    ),
    (
        "r11_concatenation",
        Never,
        "let s = times(\"x\", 23); loop { let t = s + \"y\"; }",
    ),
    (
        "r11_interpolation",
        Never,
        "let s = times(\"x\", 23); loop { let t = `${s}${s.len}`; }",
    ),
    (
        "r11_split",
        Never,
        "let s = times(\" \", 20); loop { s.split(\" \"); }",
    ),
    (
        "r11_trim",
        Never,
        "let s = times(\" \", 23); loop { let t = s + \"\"; t.trim(); }",
    ),
    (
        "r11_sort",
        Never,
        "let a = []; for i in 0..100_000 { a.push((i * 7919) % 100_003); } loop { let b = a; \
        b.sort(); }",
    ),
    (
        "r11_sort_by",
        Never,
        "let a = times([2, 1], 17); a.sort(|x, y| { let n = 0; x - y }); a.sort(|x, y| y - x);",
    ),
    (
        "r11_sort_by_sleeping",
        Never,
        "let a = times([2, 1], 17); a.sort(|x, y| { sleep(80_000); x - y });",
    ),
    (
        "r11_dedup_by",
        Never,
        "let a = times([1, 2], 17); loop { let b = a; b.dedup(|x, y| { let n = 0; x == y }); }",
    ),
    (
        "r11_filter",
        Never,
        "let a = times([1, 2], 17); loop { a.filter(|x| x > 1); }",
    ),
    (
        "r11_drain",
        Never,
        "let a = times([1, 2], 17); loop { let b = a; b.drain(|x| x > 1); }",
    ),
    (
        "r11_shift",
        Never,
        "let a = times([1, 2], 17); loop { a.push(a.shift()); }",
    ),
    (
        "r11_insert",
        Never,
        "let a = times([1, 2], 17); loop { a.insert(0, 1); }",
    ),
    (
        "r11_shared_copies",
        Never,
        "let a = times([1, 2], 17); let f = || a; loop { f.call(); }",
    ),
    (
        "r11_arguments",
        Never,
        "let a = times([1, 2], 17); loop { g(a); }",
    ),
    (
        "r11_returned",
        Never,
        "let a = times([[1], [2]], 15); loop { let b = [a]; b = [b]; }",
    ),
    (
        "r11_sub_blob",
        Never,
        "let b = times(blob(1, 7), 23); loop { b.extract(1); }",
    ),
    (
        "r11_append_text",
        Never,
        "let s = times(\"x\", 23); loop { let t = s; t += 'y'; }",
    ),
    (
        "r11_switch_on_text",
        Never,
        "let s = times(\"x\", 23); loop { switch s { \"a\" => 1, \"b\" => 2, _ => 3 } }",
    ),
    (
        "r11_compare_text",
        Never,
        "let s = times(\"x\", 23); let t = s + \"y\"; loop { s < t; max(s, t); }",
    ),
    (
        "r11_many_sends",
        Never,
        "let s = times(\"x\", 23); loop { ws.send(s); }",
    ),
    (
        "r11_buffered",
        Never,
        "loop { ws.buffered_amount; ws.ready_state; ws.id; ws.path; }",
    ),
    (
        "r11_throws",
        Never,
        "loop { try { throw times(\"x\", 20); } catch (e) { } }",
    ),
    (
        "r11_host_errors",
        Never,
        "loop { try { ws.close(1005); } catch (e) { } }",
    ),
    (
        "r11_map_copies",
        Never,
        "let m = #{}; for i in 0..9000 { m[`k${i}`] = i; } loop { let n = m; n.a = 1; }",
    ),
    (
        "r11_reverse",
        Never,
        "let a = times([1], 20); loop { a.reverse(); }",
    ),
    (
        "r11_copies",
        Never,
        "let a = times([1], 20); loop { let b = a; b.push(1); }",
    ),
    (
        "r11_dedup",
        Never,
        "let a = []; for i in 0..50_000 { a.push(i); } for i in 0..100 { a.dedup(); } \
        ws.send(\"done\");",
    ),
    (
        "r11_zip",
        Never,
        "let a = times([1], 17); loop { let b = a; b.zip(a, |x, y| x + y); }",
    ),
    (
        "r11_json",
        Never,
        "let m = #{}; for i in 0..5000 { m[`k${i}`] = [i, `${i}`]; } loop { m.to_json(); }",
    ),
    (
        "r11_blobs",
        Never,
        "let b = times(blob(1, 7), 24); loop { let c = b; c[1] = 2; c == b; }",
    ),
    (
        "r11_keys",
        Never,
        "let m = #{}; for i in 0..5000 { m[`k${i}`] = i; } loop { m.keys(); m.values(); }",
    ),
    (
        "r11_long_key",
        Never,
        "let k = times(\"k\", 23); let m = #{}; m[k] = 1; loop { m[k]; }",
    ),
    (
        "r11_parse_json",
        Never,
        "let s = \"[\"; for i in 0..200_000 { s += \"1,\"; } s += \"1]\"; loop { parse_json(s); }",
    ),
    (
        "r11_parse_int",
        Never,
        "let s = times(\"9\", 23); loop { try { parse_int(s); } catch { } }",
    ),
    (
        "r11_parse_float",
        Never,
        "let s = \"0.\" + times(\"9\", 22); loop { try { parse_float(s); } catch { } }",
    ),
    (
        "r11_print",
        Never,
        "let s = times(\"x\", 14); loop { print(s); }",
    ),
    (
        "r11_sha256",
        Never,
        "let b = times(blob(1, 7), 24); loop { sha256(b); }",
    ),
    (
        "r11_sha1",
        Never,
        "let b = times(blob(1, 7), 24); loop { sha1(b); }",
    ),
    (
        "r11_hmac",
        Never,
        "let b = times(blob(1, 7), 24); loop { hmac_sha256(b, b); }",
    ),
    (
        "r11_base64",
        Never,
        "let b = times(blob(1, 7), 23); loop { base64_decode(base64(b)); }",
    ),
    (
        "r11_hex",
        Never,
        "let b = times(blob(1, 7), 22); loop { hex_decode(hex(b)); }",
    ),
    (
        "r11_url",
        Never,
        "let s = times(\"%\", 22); loop { url_encode(s); }",
    ),
    (
        "r11_deflate",
        Never,
        "let b = random_bytes(65_536); b += b; b += b; b += b; b += b; b += b; b += b; loop { \
        deflate(b, 9); }",
    ),
    (
        "r11_inflate",
        Never,
        "let b = deflate(times(blob(1), 24), 9); let c = deflate(b, 9); for i in 0..1000 { \
        inflate(inflate(c)); } ws.send(\"inflated\");",
    ),
    ("r11_random", Never, "loop { random_bytes(16_000_000); }"),
    (
        "r11_pack",
        Somehow,
        "ws.send(pack(\"9223372036854775807s\", [\"x\"]));",
    ),
    (
        "r11_pack_counted",
        Somehow,
        "let f = times(\"B\", 20); ws.send(`${unpack(f, times(blob(1), 20)).len}`);",
    ),
    (
        "r11_same_bytes",
        Never,
        "let b = times(blob(1, 7), 23); loop { same_bytes(b, b); }",
    ),
    (
        "r11_utf8",
        Never,
        "let b = times(blob(1, 65), 23); loop { utf8(b); }",
    ),
    // Waits.
    ("r12_sleep_too_long", Fault, "sleep(1_000_000_000);"),
    ("r12_sleep_infinity", Fault, "sleep(1.0 / 0.0);"),
    ("r12_sleep_nan", Fault, "sleep(0.0 / 0.0);"),
    ("r12_sleep_negative", Fault, "sleep(-9223372036854775807);"),
    ("r12_sleep_text", Fault, "sleep(\"long\");"),
    ("r12_sleep_zero", Never, "loop { sleep(0); }"),
    (
        "r12_sleep_often",
        Never,
        "loop { sleep(0.001); ws.send(\"awake\"); }",
    ),
    (
        "r12_sleep_in_callback",
        Never,
        "[1, 2, 3].map(|x| sleep(80_000));",
    ),
    (
        "r12_sleep_in_sort",
        Somehow,
        "let a = [3, 2, 1]; a.sort(|x, y| { sleep(0.001); x - y }); ws.send(`${a}`);",
    ),
    ("r13_eval_by_name", Fault, "Fn(\"eval\").call(\"40 + 2\");"),
    ("r16_throw_nothing", Fault, "throw;"),
    (
        "r16_throw_again",
        Fault,
        "try { throw 1; } catch (e) { throw e; }",
    ),
    (
        "r16_throw_error",
        Fault,
        "try { sleep(-1); } catch (e) { throw [e, e.kind]; }",
    ),
    ("r16_throw_ws", Fault, "throw ws;"),
    ("r16_throw_in_callback", Fault, "[1].map(|x| { throw x; });"),
    ("r17_send_nothing", Fault, "ws.send(());"),
    ("r17_send_function", Fault, "ws.send(|x| x);"),
    ("r17_send_itself", Fault, "ws.send(ws);"),
    (
        "r17_send_much",
        Somehow,
        "let s = times(\"x\", 24); ws.send(s);",
    ),
    (
        "r17_send_too_much",
        Fault,
        "let s = times(\"x\", 25); ws.send(s);",
    ),
    (
        "r17_send_json_of_function",
        Somehow,
        "ws.send_json(#{ f: || 1, w: ws }); ws.send(\"sent\");",
    ),
    (
        "r17_fragments",
        Fault,
        "ws.send_fragment(\"a\", false); ws.send_fragment(blob(3), true);",
    ),
    (
        "r17_message_in_fragments",
        Fault,
        "ws.send_fragment(\"a\", false); ws.send(\"b\");",
    ),
    ("r17_ping_too_long", Fault, "ws.ping(blob(126));"),
    ("r17_close_code", Fault, "ws.close(1005);"),
    (
        "r17_close_reason",
        Fault,
        "let s = \"\"; s.pad(124, 'x'); ws.close(1000, s);",
    ),
    (
        "r18_reader",
        Never,
        "let s = times(\"x\", 16); loop { ws.send(s); }",
    ),
    (
        "r18_deaf",
        Deaf,
        "let s = times(\"x\", 16); loop { ws.send(s); }",
    ),
    (
        "r18_deaf_fragments",
        Deaf,
        "let s = times(\"x\", 16); loop { ws.send_fragment(s, false); }",
    ),
    ("r18_deaf_pings", Deaf, "loop { ws.ping(blob(125)); }"),
    (
        "r18_deaf_raw",
        Deaf,
        "let b = blob(65_536); loop { ws.raw_write(b); }",
    ),
    (
        "r18_deaf_and_caught",
        Deaf,
        "loop { try { ws.send(\"x\"); } catch { } }",
    ),
    // What a native might not expect.
    (
        "r19_empty_array",
        Somehow,
        "let a = []; a[-1] = 1; ws.send(\"set\");",
    ),
    (
        "r19_radix",
        Somehow,
        "for r in [-1, 0, 1, 2, 36, 37, 9223372036854775807] { try { parse_int(\"1\", r); } catch \
        { } } ws.send(\"parsed\");",
    ),
    (
        "r19_exit_in_sort",
        Never,
        "let a = [3, 2, 1]; a.sort(|x, y| exit(1)); ws.send(`${a}`);",
    ),
    (
        "r19_tags",
        Somehow,
        "let a = [1]; a.tag = 9223372036854775807;",
    ),
    (
        "r19_metadata",
        Somehow,
        "ws.send(`${get_fn_metadata_list().len}`);",
    ),
    (
        "r19_names",
        Somehow,
        "ws.send(`${type_of(ws)} ${is_def_fn(\"f\", 1)} ${is_def_var(\"x\")}`);",
    ),
    (
        "r19_take",
        Somehow,
        "let t = take(this); this = 1; ws.send(`${t}`);",
    ),
    (
        "r19_this_becomes_text",
        Somehow,
        "this = \"text\"; ws.send(this);",
    ),
    (
        "r19_this_becomes_function",
        Somehow,
        "this = || this; ws.send(\"tied\");",
    ),
    ("r19_ws_becomes_number", Fault, "ws = 1; ws.send(\"x\");"),
    // Values that are used while they change.
    (
        "r20_retain",
        Somehow,
        "let a = [1, 2, 3]; a.retain(|x| a.len > x); ws.send(\"kept\");",
    ),
    (
        "r20_sort",
        Somehow,
        "let a = [3, 1, 2]; a.sort(|x, y| { a.push(1); x - y }); ws.send(\"sorted\");",
    ),
    (
        "r20_sort_at_odds",
        Somehow,
        "let a = []; for i in 0..500 { a.push(i); } a.sort(|x, y| 1); ws.send(\"sorted\");",
    ),
    (
        "r20_sort_at_random",
        Somehow,
        "let a = []; for i in 0..2000 { a.push(i); } let n = 1; a.sort(|x, y| { n = (n * \
        1103515245 + 12345) % 2147483648; (n / 65536) % 3 - 1 }); ws.send(\"sorted\");",
    ),
    (
        "r20_sort_throws",
        Fault,
        "let a = [3, 1, 2]; a.sort(|x, y| { throw x; });",
    ),
    (
        "r20_sort_loops",
        Fault,
        "let a = [3, 1, 2]; a.sort(|x, y| { loop {} });",
    ),
    (
        "r20_sort_nonsense",
        Somehow,
        "let a = [3, 1, 2]; a.sort(|x, y| \"more\"); ws.send(`${a}`);",
    ),
    (
        "r20_map_itself",
        Somehow,
        "let a = [1, 2]; let f = |x| a; a = a.map(f); ws.send(\"mapped\");",
    ),
    (
        "r20_shared_counter",
        Reply,
        "let n = 0; let f = || n += 1; for i in 0..1000 { f.call(); } ws.send(`${n}`);",
    ),
    (
        "r20_swapped",
        Somehow,
        "let a = [1]; let b = [a]; let f = || { let t = a; a = b; b = t; }; for i in 0..1000 { \
        f.call(); } ws.send(\"swapped\");",
    ),
    (
        "r20_reduce_itself",
        Somehow,
        "let a = [1, 2, 3]; a.reduce(|s, x| { a.clear(); s }, 0); ws.send(\"reduced\");",
    ),
    // State.
    (
        "r21_array",
        Within(3000),
        "if this.a == () { this.a = []; } this.a = [this.a]; let n = 0; for i in 0..200 { n = i; } \
        ws.send(\"deeper\");",
    ),
    (
        "r21_map",
        Within(3000),
        "if this.a == () { this.a = #{}; } this.a = #{ x: this.a }; let n = 0; for i in 0..200 { n \
        = i; } ws.send(\"deeper\");",
    ),
    (
        "r21_closure",
        Within(3000),
        "if this.f == () { this.f = || 1; } let g = this.f; this.f = || g.call(); let n = 0; for i \
        in 0..200 { n = i; } ws.send(\"deeper\");",
    ),
    (
        "r21_closures",
        Within(100),
        "let f = if this.f == () { || 1 } else { this.f }; for i in 0..20_000 { let g = f; f = || \
        g.call(); } this.f = f; ws.send(\"kept\");",
    ),
    (
        "r21_out_and_in",
        Within(3000),
        "let t = this.t; this.t = (); this.t = [#{ x: t }]; let n = 0; for i in 0..200 { n = i; } \
        ws.send(\"deeper\");",
    ),
    (
        "r21_wraps_itself",
        Within(3000),
        "let t = this; this.t = t; ws.send(\"twice\");",
    ),
    (
        "r21_doubles",
        Within(200),
        "if this.a == () { this.a = [1]; } let a = this.a; this.a = [a, a]; ws.send(\"twice\");",
    ),
    (
        "r21_is_itself",
        Somehow,
        "let s = this; let f = || s; s.f = f; this.s = s; this.f = f; ws.send(\"tied\");",
    ),
    (
        "r21_shared_with_timer",
        Somehow,
        "let s = [1]; let f = || s; this.f = f; this.g = f; ws.after(0.001, \"t\"); \
        ws.send(\"tied\");",
    ),
    // JSON.
    (
        "r22_deep",
        Fault,
        "let s = times(\"[\", 17); parse_json(s);",
    ),
    (
        "r22_deep_maps",
        Fault,
        "let s = times(`{\"a\":`, 17); parse_json(s);",
    ),
    (
        "r22_huge_number",
        Somehow,
        "parse_json(\"1e400\"); ws.send(\"parsed\");",
    ),
    (
        "r22_long_number",
        Somehow,
        "let s = \"1\" + times(\"0\", 20); parse_json(s); ws.send(\"parsed\");",
    ),
    (
        "r22_surrogate",
        Somehow,
        "parse_json(`\"\\ud800\"`); ws.send(\"parsed\");",
    ),
    (
        "r22_duplicates",
        Somehow,
        "ws.send(`${parse_json(\"{\\\"a\\\":1,\\\"a\\\":2}\")}`);",
    ),
    (
        "r22_long_text",
        Somehow,
        "let s = times(\"x\", 20); parse_json(`\"${s}\"`); ws.send(\"parsed\");",
    ),
    (
        "r22_many_keys",
        Somehow,
        "let s = \"{\"; for i in 0..50_000 { s += `\"${i}\":1,`; } s += \"\\\"a\\\":1}\"; \
        parse_json(s); ws.send(\"parsed\");",
    ),
    (
        "r22_code",
        Somehow,
        "parse_json(\"#{a: loop {}}\"); parse_json(\"{a: f(0)}\"); ws.send(\"parsed\");",
    ),
    (
        "r22_rejoined",
        Somehow,
        "let s = \"1\"; loop { s = to_json([parse_json(s)]); }",
    ),
    // Numbers.
    (
        "r23_overflow",
        Fault,
        "let n = 9223372036854775807; ws.send(`${n + 1}`);",
    ),
    (
        "r23_product",
        Fault,
        "let n = 9223372036854775807; ws.send(`${n * 2}`);",
    ),
    (
        "r23_negation",
        Fault,
        "let n = -9223372036854775807; n -= 1; ws.send(`${-n}`);",
    ),
    (
        "r23_absolute",
        Fault,
        "let n = -9223372036854775807; n -= 1; ws.send(`${abs(n)}`);",
    ),
    (
        "r23_least_by_minus_one",
        Fault,
        "let n = -9223372036854775807; n -= 1; let m = -1; ws.send(`${n / m} ${n % m}`);",
    ),
    ("r23_division", Fault, "let n = 0; ws.send(`${1 / n}`);"),
    ("r23_remainder", Fault, "let n = 0; ws.send(`${1 % n}`);"),
    (
        "r23_shift",
        Somehow,
        "let n = 1; ws.send(`${n << 64} ${n << 9223372036854775807} ${n >> -1}`);",
    ),
    ("r23_power", Somehow, "let n = 10; ws.send(`${n ** 400}`);"),
    (
        "r23_negative_power",
        Somehow,
        "let n = 10; ws.send(`${n ** -1}`);",
    ),
    (
        "r23_float_to_int",
        Somehow,
        "let f = 1e300; ws.send(`${f.to_int()}`);",
    ),
    (
        "r23_rounding",
        Somehow,
        "let f = 1e300; ws.send(`${f.round(9223372036854775807)}`);",
    ),
    (
        "r23_index",
        Somehow,
        "let s = \"abc\"; ws.send(s.sub_string(-9223372036854775807, 9223372036854775807));",
    ),
    ("r27_honest_recursion", Reply, "ws.send(`${down(25)}`);"),
    (
        "r27_honest_work",
        Reply,
        "let n = 0; for i in 0..5000 { n += i; } ws.send(`${n}`);",
    ),
    // Timers.
    (
        "timers_too_many",
        Fault,
        "for i in 0..65 { ws.every(60, `t${i}`); }",
    ),
    ("timers_too_often", Fault, "ws.every(0.0, \"t\");"),
    ("timers_nan", Fault, "ws.after(0.0 / 0.0, \"t\");"),
    (
        "timers_long_names",
        Somehow,
        "let s = times(\"n\", 24); for i in 0..64 { ws.every(60, s + i); } ws.send(\"set\");",
    ),
    ("timers_of_the_handler", Fault, "every(1.0, \"t\");"),
    // Raw bytes.
    (
        "raw_nonsense",
        Never,
        "let b = blob(1000, 255); ws.raw_write(b); ws.send(\"behind\");",
    ),
    (
        "raw_frames",
        Never,
        "ws.frame(#{ opcode: 15, rsv1: true, rsv2: true, rsv3: true, fin: false, mask: true, \
        length: 9223372036854775807, length_form: 64, payload: blob(9) });",
    ),
    (
        "raw_frame_nonsense",
        Fault,
        "ws.frame(#{ opcode: 99, payload: || 1 });",
    ),
    ("raw_keep_open", Never, "ws.keep_open(1e9);"),
    (
        "raw_close_and_more",
        Somehow,
        "ws.frame(#{ opcode: 8, payload: \"\" }); ws.frame(#{ opcode: 8, payload: \"\" }); \
        ws.send(\"late\"); ws.close();",
    ),
];

/// Functions that the bodies call.
const HELPERS: &str = "fn f(n) { f(n + 1) }\n\
    fn g(n) { n }\n\
    fn h(n) { g(g(g(g(g(g(g(g(g(g(g(g(h(n + 1))))))))))))) }\n\
    fn m(n) { #{ a: [#{ a: [#{ a: [#{ a: [m(n + 1)] }] }] }] } }\n\
    fn ar(n) { [[[[[ar(n + 1)]]]]] }\n\
    fn t(n) { try { try { try { t(n + 1) } catch { 1 } } catch { 2 } } catch { 3 } }\n\
    fn ifs(n) { if n >= 0 { if n >= 0 { if n >= 0 { if n >= 0 { ifs(n + 1) } } } } }\n\
    fn sw(n) { switch n { -1 => 0, _ => switch n { -1 => 0, _ => sw(n + 1) } } }\n\
    fn tx(n) { `${`${`${`${tx(n + 1)}`}`}`}` }\n\
    fn bl(n) { {{{{{{ bl(n + 1) }}}}}} }\n\
    fn so(n) { let a = [2, 1]; a.sort(|x, y| so(n + 1)); }\n\
    fn me(n) { this.me(n + 1) }\n\
    fn deeper() { this.deeper() }\n\
    fn inside(a) { a.map(|x| inside(a)) }\n\
    fn left(n) { right(n) }\n\
    fn right(n) { left(n) }\n\
    fn wrap(f) { || f.call() }\n\
    fn times(s, n) { for i in 0..n { s += s; } s }\n\
    fn endless() { loop {} }\n\
    fn down(n) { if n == 0 { 0 } else { 1 + down(n - 1) } }\n";

/// Whole files.
fn files() -> Vec<(&'static str, Ends, String)> {
    let inside = |body: &str| format!("fn transfer_data(ws, message) {{\n{body}\n}}\n");
    // Each by itself, so that the first error is not the last.
    let tried = |before: &str, attempts: &[&str]| {
        let mut body = format!("{before} let m = 9223372036854775807; let n = -m - 1;\n");
        for attempt in attempts {
            body += &format!("try {{ {attempt}; }} catch {{ }}\n");
        }
        body + "ws.send(\"survived\");"
    };
    let numbered =
        |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    vec![
        ("r06_curry", Broken, inside("let f = || 1; loop { f = f.curry(f); }")),
        ("r13_eval", Broken, inside("eval(\"loop {}\");")),
        ("r14_import_absolute", Somehow, inside("import \"/etc/passwd\" as p; ws.send(\"read\");")),
        ("r14_import_above", Somehow, inside("import \"../../../../etc/passwd\" as p; \
            ws.send(\"read\");")),
        ("r14_import_of_a_name_made_up", Somehow, inside("import message + \"/../..\" as p; \
            ws.send(\"read\");")),
        ("r14_import_itself", Somehow, format!("import \"r14_import_itself_wsh\" as \
            own;\n{ANSWERS}")),
        ("r15_imports", Somehow, inside("for i in 0..10_000 { try { import `lib/m${i}` as m; } \
            catch { } } ws.send(\"asked\");")),
        ("r19_extremes_of_arrays", Reply, inside(&tried("let a = [1, 2, 3];", &[
            "a.splice(n, n, \
            a)", "a.splice(m, m, \
                [1])", "a.extract(n, \
                    m)", "a.extract(m, n)", "a.drain(n, n)", "a.drain(n, m)", "a.retain(n, n)",
            "a.retain(1, \
            m)", "a.chop(n)", "a.chop(m)", "a.truncate(n)", "a.insert(n, \
                1)", "a.insert(m, 1)", "a.remove(n)", "a.pad(n, 1)", "a.split(n)",
            "a.split(m)", "a[n] = \
                1", "a[m] = \
                    1", "a[n..m]", "a[m..n]", "a.extract(n..m)", "a.drain(m..=n)", "a.find(|x| x \
                        == n, n)", "a.index_of(1, n)",
            "a.order()", "a.zip(a, |x, y| \
                x)", "[][-1]", "[].pop()", "[].shift()", "[].reduce(|s, x| s)",
        ]))),
        ("r19_extremes_of_blobs", Reply, inside(&tried("let b = blob(9);", &[
            "b.write_le(n, n, \
            n)", "b.write_be(m, m, \
                m)", "b.write_le(0, 8, \
                    n)", "b.parse_be_int(n, n)", "b.parse_le_int(0, m)", "b.parse_le_float(n, 9)",
            "b.parse_be_float(m, \
            n)", "b.write_le(0, 99, \
                1.0)", "b.splice(n, n, b)", "b.drain(n, n)", "b.drain(n..m)", "b.retain(n, m)",
            "b.write_utf8(n, n, \
            `é`)", "b.write_utf8(0..=m, \
                `é`)", "b.write_ascii(n, m, \
                    `é`)", "b.chop(n)", "b.pad(n, n)", "b.pad(m, n)", "b.split(n)",
            "b[n] = \
            n", "b[m] = \
                m", "b[0] = \
                    256", "b.insert(n, \
                        1)", "b.remove(n)", "blob(n)", "blob(m)", "blob(-1, \
                            0)", "b += n", "b.as_string()",
        ]))),
        ("r19_extremes_of_texts", Reply, inside(&tried("let s = `añ€😀`;", &[
            "s.crop(n, \
            n)", "s.crop(n, \
                m)", "s.crop(m..n)", "s.sub_string(n, \
                    n)", "s.sub_string(n, m)", "s.sub_string(n..=m)", "s.truncate(n)",
            "s.pad(n, \
            'x')", "s.pad(m, \
                `é`)", "s.split(n)", "s.split(m)", "s.split(``, \
                    n)", "s.split(`a`, 0)", "s.split(`a`, m)", "s.split_rev(``, n)",
            "s.remove(``)", "s.pop(n)", "s.pop(m)", "s.index_of(``, \
                n)", "s.index_of('€', \
                    m)", "s[n] = 'x'", "s[m]", "s[1..2]", "s[-1] = '😀'", "s.set(n, 'x')",
            "s.get(m)", "s.replace(``, \
                s)", "s.chars(n, \
                    m)", "for c in s.chars(n, m) { \
                        }", "for c in s.chars(m, m) { }", "for c in s.chars(n..m) { }",
            "`${n} ${m}`.to_int()", "s.to_blob().as_string()", "s -= `a`", "s * 2",
        ]))),
        ("r19_extremes_of_numbers", Reply, inside(&tried("let v = 1;", &[
            "v.set_bits(0, 64, \
            -1)", "v.set_bits(n, m, \
                n)", "v.get_bits(63, \
                    1)", "v.get_bits(n..m)", "v.set_bit(-64, true)", "v.set_bit(n, true)",
            "for b in v.bits(0, 64) { \
            }", "for b in v.bits(n, m) { \
                }", "v.get_bits(64, \
                    64)", "v << 64", "v << n", "v >> m", "n ** m", "v ** -1", "n / -1",
            "n % -1", "-n", "abs(n)", "n * n", "n - m", "range(n, m, \
                n)", "range(0, 10, 0)", "for i in range(m, n, -m) { break; }",
            "for i in range(0.0, 1.0, 0.0) { break; \
            }", "(0.0 / \
                0.0).to_int()", "1e300.to_int()", "1e300.round(m)", "1.5.round(n)", "sqrt(-1)", "ln(0.0)",
            "parse_int(`1`, \
            37)", "parse_int(`1`, \
                1)", "parse_int(`1`, \
                    n)", "parse_int(`zz`, \
                        36)", "parse_float(`1e999999`)", "parse_int(``)", "exp(1e300).to_int()",
        ]))),
        ("r19_extremes_of_time", Reply, inside(&tried("let t = monotonic();", &[
            "t += m", "t -= m", "t += 1e308", "t -= 1e308", "t - n", "t + n", "t - (0.0 / \
                0.0)", "t + (1.0 / 0.0)", "t.elapsed", "sleep(1e-300)", "sleep(-0.0)",
        ]))),
        ("r19_extremes_of_the_connection", Reply, inside(&tried("", &[
            "ws.after(n, \
            `t`)", "ws.every(m, \
                `t`)", "ws.every(-0.0, \
                    `t`)", "ws.cancel(())", "ws.receive(n)", "ws.receive(0.0 / \
                        0.0)", "ws.close(n)", "ws.close(m, `x`)",
            "ws.ping(m)", "ws.send_fragment((), \
                true)", "ws.send_json(ws)", "ws.header(``)", "ws.header(`\\r\\n`)", "ws.id = \
                    1", "ws[0]", "ws.x = 1", "ws + 1", "ws == ws",
            "ws.raw_write(m)", "ws.frame(#{})", "ws.frame(#{ opcode: n \
                })", "ws.frame(#{ length_form: 8 \
                    })", "ws.frame(#{ mask: blob(3) })", "ws.keep_open(n)",
            "encode_frame(#{ length: n \
            })", "random(0)", "random(n)", "random(m, \
                n)", "random_bytes(n)", "random_bytes(m)", "env(``)", "env(`\\0`)", "env(`PATH=x`)",
            "pack(`>q`, \
            [])", "pack(`z`, \
                [1])", "pack(``, \
                    [1])", "unpack(`>q`, \
                        blob(7))", "unpack(`999999999999s`, \
                            blob(7))", "inflate(blob(9, 255))", "inflate(blob(9), n)",
            "deflate(blob(9), \
            n)", "base64_decode(`===`)", "hex_decode(`f`)", "url_decode(`%`)", "utf8(blob(4, \
                255))", "parse_json(``)", "parse_json(`nul`)", "parse_json(blob(3, 255))",
            "to_json(ws)", "to_json(|| \
                1)", "to_json(0.0 / 0.0)", "print(ws)", "info(`${ws}`)", "error(ws)", "debug(ws)",
        ]))),
        ("r24_too_long", Broken, format!("{ANSWERS}//{}", "x".repeat(128 * 1024))),
        ("r24_variables", Somehow, inside(&numbered(5000, &|i| format!("let v{i} = 1;\n")))),
        ("r24_constants", Somehow, format!("{}{ANSWERS}", numbered(900, &|i| format!("const V{i} = \
            1;\n")))),
        ("r24_functions", Somehow, format!("{}{ANSWERS}", numbered(450, &|i| format!("fn v{i}(a) \
            {{ a }}\n")))),
        ("r24_too_many_functions", Broken, format!("{}{ANSWERS}", numbered(600, &|i| format!("fn v{i}(a) {{ a }}\n")))),
        ("r24_switch", Somehow, inside(&format!("switch message {{ {} _ => ws.send(\"none\") \
            }}", numbered(5000, &|i| format!("{i} => {i},\n"))))),
        ("r24_array", Somehow, inside(&format!("let a = [{}]; ws.send(`${{a.len}}`);", "1,".repeat(30_000)))),
        ("r24_map", Somehow, inside(&format!("let a = #{{ {} }}; ws.send(`${{a.len}}`);", numbered(5000, &|i| format!("k{i}: {i},"))))),
        ("r24_text", Somehow, inside(&format!("ws.send(\"{}\");", "x".repeat(100_000)))),
        ("r25_round", Broken, inside(&"(".repeat(60_000))),
        ("r25_square", Broken, inside(&"[".repeat(60_000))),
        ("r25_curly", Broken, inside(&"{".repeat(60_000))),
        ("r25_not", Broken, inside(&format!("{}true", "!".repeat(60_000)))),
        ("r25_minus", Broken, inside(&format!("{}1", "- ".repeat(50_000)))),
        ("r25_pipe", Broken, inside(&"||".repeat(50_000))),
        ("r25_map", Broken, inside(&"#{a:".repeat(25_000))),
        ("r25_properties", Broken, inside(&format!("this{};", ".b".repeat(50_000)))),
        ("r25_indexes", Broken, inside(&format!("this{};", "[0]".repeat(30_000)))),
        ("r25_calls", Broken, inside(&format!("{}1{}", "f(".repeat(40_000), ")".repeat(40_000)))),
        ("r25_ifs", Broken, inside(&format!("if 1 == 2 {{}}{}", " else if 1 == 2 {}".repeat(6_000)))),
        ("r25_texts", Broken, inside(&"`${".repeat(30_000))),
        ("r25_comment", Broken, inside(&"/*".repeat(50_000))),
        ("r25_power", Broken, inside(&format!("1{};", "**1".repeat(30_000)))),
        ("r25_sum", Broken, inside(&format!("1{};", "+1".repeat(50_000)))),
        ("r25_and", Broken, inside(&format!("true{};", "&&true".repeat(20_000)))),
        ("r25_assignments", Broken, inside(&format!("let a = 1; {}1;", "a = ".repeat(30_000)))),
        ("r25_semicolons", Reply, inside(&format!("{} ws.send(message);", ";".repeat(100_000)))),
        ("r26_syntax", Broken, "fn transfer_data(ws, message) {".into()),
        ("r26_empty", Broken, String::new()),
        ("r26_no_hook", Broken, "fn something(ws) { }\n".into()),
        ("r26_arity", Broken, "fn transfer_data() { }\n".into()),
        ("r26_twice", Broken, format!("{ANSWERS}{ANSWERS}")),
        ("r26_shebang", Somehow, format!("#!/usr/bin/env wsh-server\n{ANSWERS}")),
        ("r26_bom", Somehow, format!("\u{feff}{ANSWERS}")),
        ("r26_crlf", Reply, ANSWERS.replace(' ', "\r\n")),
        ("r26_zero", Broken, format!("\0{ANSWERS}")),
        ("r26_top_level_loop", Broken, format!("loop {{}}\n{ANSWERS}")),
        ("r26_top_level_throw", Broken, format!("throw 1;\n{ANSWERS}")),
        ("r26_top_level_recursion", Broken, format!("f(0);\n{ANSWERS}{HELPERS}")),
        ("r26_top_level_memory", Broken, format!("let f = || 1; loop {{ let g = f; f = || g.call(); }}\n{ANSWERS}")),
        ("r26_top_level_depth", Somehow, format!("const A = [[[[[[[[[[1]]]]]]]]]];\n{ANSWERS}")),
        ("r26_constants_that_grow", Somehow, format!("const A = [1];\n{}", inside("let a = global::A; for i in 0..10 { a += a; } ws.send(`${a.len}`);"))),
        ("timers_all_at_once", Never, format!("fn on_open(ws) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ }}\n{LISTENS}")),
        ("timers_that_send", Never, format!("fn on_open(ws) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ ws.send(name); }}\n{LISTENS}")),
        ("timers_that_send_to_the_deaf", Deaf, format!("fn on_open(ws) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ let s = times(\"x\", 16); ws.send(s); }}\n{LISTENS}{HELPERS}")),
        ("timers_that_loop", Fault, format!("fn on_open(ws) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ loop {{}} }}\n{LISTENS}")),
        ("timers_that_sleep", Never, format!("fn on_open(ws) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ sleep(1); }}\n{LISTENS}")),
        ("timers_that_cancel", Never, format!("fn on_open(ws) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ for i in 0..64 {{ ws.cancel(`t${{i}}`); }} ws.every(0.001, name); }}\n{LISTENS}")),
        ("timers_that_set_timers", Never, format!("fn on_open(ws) {{ ws.after(0.0, \"t\"); }}\nfn on_timer(ws, name) {{ ws.after(0.0, name); ws.after(0.0, name + \"x\"); ws.cancel(name + \"x\"); }}\n{LISTENS}")),
        ("timers_that_receive", Never, format!("fn on_open(ws) {{ ws.every(0.001, \"t\"); }}\nfn on_timer(ws, name) {{ ws.receive(0.001); }}\n{LISTENS}")),
        ("timers_that_grow", Fault, format!("fn on_open(ws) {{ this.f = || 1; ws.every(0.001, \"t\"); }}\nfn on_timer(ws, name) {{ let f = this.f; for i in 0..500 {{ let g = f; f = || g.call(); }} this.f = f; }}\n{LISTENS}")),
        ("timers_without_a_hook", Fault, inside("ws.every(1.0, \"t\");")),
        ("timers_in_on_close", Reply, format!("fn on_close(ws, code, reason, was_clean) {{ for i in 0..64 {{ ws.every(0.001, `t${{i}}`); }} }}\nfn on_timer(ws, name) {{ loop {{}} }}\n{ANSWERS}")),
        ("loop_and_receivers", Somehow, "fn transfer_data(ws) { loop { let m = ws.receive(); if m == () { break; } ws.send(m); } }\nfn on_ping(ws, payload) { ws.receive(0.01); }\n".into()),
        ("loop_that_deepens", Fault, "fn transfer_data(ws) { let f = || 1; loop { for i in 0..500 { let g = f; f = || g.call(); } ws.receive(0.0); } }\n".into()),
        ("loop_that_ignores_the_end", Never, "fn transfer_data(ws) { loop { ws.receive(); } }\n".into()),
        ("loop_that_ends", Somehow, "fn transfer_data(ws) { }\n".into()),
        ("frames_hidden", Never, format!("fn on_frame(ws, frame) {{ false }}\n{ANSWERS}")),
        ("frames_answered_with_frames", Never, format!("fn on_frame(ws, frame) {{ for i in 0..100 {{ ws.frame(#{{ opcode: 9, payload: \"p\" }}); }} }}\n{LISTENS}")),
        ("pongs_answered_with_pings", Never, format!("fn on_pong(ws, payload) {{ ws.ping(payload); ws.ping(payload); }}\n{LISTENS}")),
        ("loads_for_ever", Reply, format!("fn on_load() {{ loop {{ sleep(0.001); }} }}\n{ANSWERS}")),
        ("loads_timers", Reply, format!("fn on_load() {{ for i in 0..64 {{ every(0.001, `t${{i}}`); }} }}\nfn on_interval(name) {{ this.n = name; }}\n{ANSWERS}")),
        ("loads_too_many_timers", Reply, format!("fn on_load() {{ for i in 0..100_000 {{ every(60, `t${{i}}`); }} }}\nfn on_interval(name) {{ }}\n{ANSWERS}")),
        ("loads_and_deepens", Reply, format!("fn on_load() {{ every(0.001, \"t\"); this.f = || 1; }}\nfn on_interval(name) {{ let f = this.f; for i in 0..500 {{ let g = f; f = || g.call(); }} this.f = f; }}\n{ANSWERS}")),
        ("r28_last_words", Reply, format!("fn on_close(ws, code, reason, was_clean) {{ loop {{ sleep(0.01); ws.send(\"late\"); }} }}\n{ANSWERS}")),
        ("r28_last_tries", Reply, format!("fn on_close(ws, code, reason, was_clean) {{ loop {{ try {{ loop {{}} }} catch {{ }} }} }}\n{ANSWERS}")),
    ]
}

/// All of them, each with a name of its own.
pub fn all() -> Vec<Script> {
    let script = |name: String, source, ends| Script { name, source, ends };
    let handler = |place: &Place, body: &str| {
        let cancels = if place.name == "on_interval" {
            "cancel(name); "
        } else {
            ""
        };
        format!(
            "fn {} {{\n    {cancels}{body}\n}}\n{}{HELPERS}",
            place.definition, place.beside
        )
    };
    let bodies = BODIES
        .iter()
        .map(|(name, ends, body)| script((*name).into(), handler(&PLACES[2], body), *ends));
    let matrix = PLACES.iter().flat_map(|place| {
        let with_ws = if place.has_ws { WITH_WS } else { &[] };
        EVERYWHERE
            .iter()
            .chain(with_ws)
            .map(move |(name, ends, body)| {
                let ends = match (place.seen, ends) {
                    (Seen::Nothing, _) => Reply,
                    (Seen::Failure, Somehow) => Never,
                    (_, ends) => *ends,
                };
                script(
                    format!("{name}__{}", place.name),
                    handler(place, body),
                    ends,
                )
            })
    });
    let files = files()
        .into_iter()
        .map(|(name, ends, source)| script(name.into(), source, ends));
    bodies.chain(matrix).chain(files).collect()
}
