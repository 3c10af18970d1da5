//! Rhai's own functions, those of them that could take any time or memory: the same, but bounded.
//!
//! Rhai bounds what a script has made, after it was made, and counts a native function as one
//! operation whatever it does. Registered at the engine, these stand before the standard packages'
//! functions of the same types. They are of three kinds. What makes something out of nothing
//! (`pad`, `blob`) or many parts out of one (`split`) is bounded beforehand and throws `limit`.
//! What works through something long works in pieces, so that others go first and the script's own
//! budget holds. What follows nested data (printing, comparing) ends at a depth.

mod blobs;
pub(super) mod bounds;
pub(super) mod equal;
mod lists;
pub(super) mod order;
pub(super) mod strings;
mod text;

use rhai::{Engine, EvalAltResult};

use crate::machine::Limits;
use crate::machine::error::throw;

/// Registers all of it.
pub fn register(engine: &mut Engine, limits: &Limits) {
    strings::register(engine, limits);
    lists::register(engine, limits);
    blobs::register(engine, limits);
    order::register(engine);
    equal::register(engine, limits);
    text::register(engine, limits);
    engine.register_fn("timestamp", || -> Result<(), Box<EvalAltResult>> {
        throw(
            "time",
            "there are no timestamps: now() is the time of day, monotonic() measures",
        )
    });
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rhai::packages::{Package, StandardPackage};
    use rhai::{Dynamic, Scope};

    use super::*;
    use crate::machine::packages::test_engine as ours;
    use crate::machine::types;

    fn run(engine: &Engine, script: &str) -> Result<String, String> {
        let value = engine
            .eval_with_scope::<Dynamic>(&mut Scope::new(), script)
            .map_err(|error| error.to_string())?;
        Ok(format!("{value:?}"))
    }

    /// The kind of the error that a script throws.
    fn thrown(script: &str) -> String {
        let script =
            format!("let kind = (); try {{ {script}; }} catch (e) {{ kind = e.kind; }} kind");
        run(&ours(), &script).expect("a result")
    }

    #[test]
    fn what_fits_is_as_rhai_has_it() {
        let mut rhai = Engine::new_raw();
        rhai.register_global_module(StandardPackage::new().as_shared_module());
        let ours = ours();
        let scripts = SAME.lines().map(str::trim);
        for script in scripts.filter(|line| !line.is_empty()) {
            assert_eq!(run(&ours, script), run(&rhai, script), "{script}");
        }
    }

    #[test]
    fn what_would_be_too_much_is_not_made() {
        for script in [
            "blob(16777217)",
            "blob(9223372036854775807)",
            "let b = blob(); b.pad(9223372036854775807, 0)",
            "blob(65537).to_array()",
            "let s = \"\"; s.pad(16777217, 'x')",
            "let s = \"\"; s.pad(8388609, \"é\")",
            "let s = \"\"; s.pad(9223372036854775807, \"xy\")",
            "let a = []; a.pad(65537, ())",
            "let a = []; a.pad(5000, [1, 2, [3, 4], #{ five: \"six\", seven: blob(80) }])",
            "let s = \"\"; s.pad(65536, ','); s.split(\",\")",
            "let s = \"\"; s.pad(65536, ','); s.split_rev(',')",
            "let s = \"\"; s.pad(65537, ','); s.to_chars()",
            "let s = \"\"; s.pad(1000000, 'a'); s.replace(\"a\", s)",
            "let b = blob(1000000, 255); let s = \"\"; for i in 0..6 { s += b; }",
            "let a = 1; for i in 0..65 { a = [a]; } a == a",
            "let a = 1; for i in 0..65 { a = #{ x: a }; } a == a",
            "let a = 1; for i in 0..65 { a = [a]; } [a].contains(a)",
        ] {
            assert_eq!(thrown(script), "\"limit\"", "{script}");
        }
    }

    #[test]
    fn what_is_just_not_too_much_is_made() {
        for (script, result) in [
            ("blob(16777216).len", "16777216"),
            ("let a = []; a.pad(65536, ()); a.len", "65536"),
            (
                "let s = \"\"; s.pad(65535, ','); s.split(\",\").len",
                "65536",
            ),
            ("let a = 1; for i in 0..64 { a = [a]; } a == a", "true"),
            (
                "let a = 1; for i in 0..64 { a = [a]; } `${a}`.contains(\"…\")",
                "false",
            ),
            (
                "let a = 1; for i in 0..65 { a = [a]; } `${a}`.contains(\"…\")",
                "true",
            ),
            ("let s = \"ab\"; s.pad(5, \"\"); s", "\"ab\""),
            (
                "let s = \"\"; s.pad(1000000, 'a'); [s, s].to_string().bytes",
                "1048579",
            ),
            ("blob(1048576).to_string().bytes", "1048579"),
            (
                "let a = []; a.pad(65536, 1000000000000000000); `${a}`.bytes",
                "1048579",
            ),
        ] {
            assert_eq!(run(&ours(), script), Ok(result.into()), "{script}");
        }
    }

    /// Rhai's sort swallows errors, its endless padding and its standard library's panics.
    #[test]
    fn the_scripts_own_functions_may_fail() {
        for script in [
            "a.sort(|x, y| throw 1)",
            "a.dedup(|x, y| throw 1)",
            "a.retain(|x| throw 1)",
            "a.drain(|x| throw 1)",
        ] {
            let script = format!("let a = [3, 1, 2]; try {{ {script} }} catch (e) {{ a += e }} a");
            assert_eq!(run(&ours(), &script), Ok("[3, 1, 2, 1]".into()), "{script}");
        }
        for script in [
            "let a = []; for i in 0..500 { a.push(i); } a.sort(|x, y| 1); a.len",
            "let a = []; for i in 0..500 { a.push(i); } a.sort(|x, y| x * 7919 % 3 - 1); a.len",
        ] {
            assert_eq!(run(&ours(), script), Ok("500".into()), "{script}");
        }
        assert_eq!(thrown("[1, \"a\"].sort()"), "\"type\"");
        assert_eq!(thrown("[1, 2].sort(|x, y| \"a\")"), "\"type\"");
    }

    /// These scripts take minutes where Rhai walks through a value after each of its methods.
    #[test]
    fn b05_filling_and_reading_take_time_by_their_number_only() {
        let began = Instant::now();
        for script in [
            "let a = []; for i in 0..200_000 { a.push(i); } a.len",
            "let a = []; for i in 0..200_000 { a += i; a[i] = a.len; } a.len",
            "let a = []; for i in 0..100_000 { a.push(i); a.pop(); a.insert(-1, i); a.push(a[-1]); \
            } a.len",
            "let m = #{ a: [#{ list: [], n: 0 }] }; for i in 0..200_000 { m.a[0].list.push(i); \
            m.a[0].n += 1; } m.a[0].n",
            "let m = #{}; for i in 0..200_000 { m[`${i}`] = i; } for i in 0..200_000 { m.n = \
            m.len(); } 200_000",
            "let s = \"\"; for i in 0..200_000 { s += \"x\"; } s.len",
            "let b = blob(); for i in 0..100_000 { b.push(i); b += i; } b.len",
        ] {
            assert_eq!(run(&ours(), script), Ok("200000".into()), "{script}");
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn what_changes_a_value_gives_it_too() {
        for (script, result) in [
            ("let s = \" a \"; [s.trim(), s]", r#"["a", "a"]"#),
            (
                "let s = \"aab\"; [s.replace(\"a\", \"x\"), s]",
                r#"["xxb", "xxb"]"#,
            ),
            (
                "let s = \"aab\"; [s.replace('z', 'x'), s]",
                r#"["aab", "aab"]"#,
            ),
            ("let s = \"aab\"; [s.remove(\"a\"), s]", r#"["b", "b"]"#),
            (
                "let s = \"\"; [s.replace(\"a\", \"\"), s.remove(\"\")]",
                r#"["", ""]"#,
            ),
            (
                "let s = \"aB\"; [s.make_upper(), s.make_lower()]",
                r#"["AB", "ab"]"#,
            ),
            (
                "let s = \"abc\"; [s.crop(1), s.truncate(1), s.pad(3, 'x'), s.set(0, 'y'), s]",
                r#"["bc", "b", "bxx", "yxx", "yxx"]"#,
            ),
            (
                "let a = [3, 1, 2]; [a.sort(), a.reverse(), a.sort_desc(), a]",
                "[[1, 2, 3], [3, 2, 1], [3, 2, 1], [3, 2, 1]]",
            ),
            (
                "let a = [3, 1, 2]; [a.sort(|x, y| y - x), a.sort_by(|x, y| x - y), a]",
                "[[3, 2, 1], [1, 2, 3], [1, 2, 3]]",
            ),
            (
                "let a = [1, 1, 2]; [a.dedup(), a.dedup(|x, y| true), a]",
                "[[1, 2], [1], [1]]",
            ),
            (
                "let b = to_blob([2, 1, 1]); [b.sort(), b.dedup(), b.reverse(), b.sort_desc(), \
                b.order()]",
                "[[010102], [0102], [0201], [0201], [0102]]",
            ),
        ] {
            assert_eq!(run(&ours(), script), Ok(result.into()), "{script}");
        }
    }

    #[test]
    fn bytes_are_ints_wherever_they_come_from() {
        for (script, result) in [
            (
                "let a = []; for b in blob(2, 200) { a.push(b + 1); } a",
                "[201, 201]",
            ),
            (
                "let a = []; for (b, i) in to_blob(\"hi\") { a.push(b ^ i); } a",
                "[104, 104]",
            ),
            (
                "for b in blob(1, 104) { if b == 104 { return type_of(b); } } 0",
                "\"i64\"",
            ),
            (
                "let out = blob(); for b in to_blob(\"hi\") { out.push(b ^ 0x20); } \
                out.as_string()",
                "\"HI\"",
            ),
            (
                "let out = blob(); for b in to_blob(\"hi\") { out += b; } out == to_blob(\"hi\")",
                "true",
            ),
            ("for b in blob(1, 3) { return blob(2, b); } 0", "[0303]"),
            ("to_blob([1, 2, 3]).map(|b| b * 100)", "[100, 200, 300]"),
            ("to_blob([1, 2, 3]).map(|b, i| b * i)", "[0, 2, 6]"),
            ("to_blob([1, 2, 3]).map(|| this + 1)", "[2, 3, 4]"),
            ("to_blob([1, 2, 3]).filter(|b| b % 2 == 1)", "[0103]"),
            (
                "let b = to_blob([1, 2, 3]); [b.retain(|x| x > 1), b, b.drain(|x, i| i == 0), b]",
                "[[01], [0203], [02], [03]]",
            ),
            (
                "let b = to_blob([1, 2]); b.for_each(|i| this += 10 + i); b",
                "[0b0d]",
            ),
            (
                "let b = to_blob([1, 2, 3]); [b.all(|x| x > 0), b.some(|x| x > 3), b.find(|x| x > \
                1), b.find(|x| x > 1, 2), b.find(|x| x > 9)]",
                "[true, false, 2, 3, ()]",
            ),
            (
                "let b = to_blob([1, 2, 3]); [b.find_map(|x| if x > 1 { `${x}` }), b.reduce(|sum, \
                x| (sum ?? 0) + x), b.reduce(|sum, x| sum + x, 10), b.reduce_rev(|s, x, i| s + x + \
                i, \"\")]",
                "[\"2\", 6, 16, \"322110\"]",
            ),
            (
                "let b = to_blob(\"hello\"); [b.index_of(108), b.index_of(108, 3), b.index_of(108, \
                -1), b.index_of(300), b.index_of(to_blob(\"lo\")), b.index_of(to_blob(\"l\"), 3), \
                b.index_of(|x| x > 108), b.index_of(|x| x > 108, -1)]",
                "[2, 3, -1, -1, 3, 3, 4, 4]",
            ),
            (
                "let b = to_blob(\"hello\"); [108 in b, b.contains(1), \
                b.contains(to_blob(\"ell\")), to_blob(\"x\") in b]",
                "[true, false, true, false]",
            ),
            (
                "let b = blob(); b += [1, 255]; b.append([2]); b += 3; b += \"a\"; b += blob(1); b \
                + [9]",
                "[01ff0203610009]",
            ),
            (
                "let b = blob(4, 7); [b[0], b.get(1), b.pop(), b.shift(), b.remove(0), b]",
                "[7, 7, 7, 7, 7, [07]]",
            ),
            (
                "let b = to_blob([3, 1, 2]); b.splice(0, 1, to_blob([9, 9])); b.insert(0, 5); \
                b.set(1, 6); b[2] += 1; b",
                "[05060a0102]",
            ),
            (
                "let b = to_blob([3, 1, 2]); [b.extract(1), b.extract(0..2), b.extract(-1, 1), \
                b.split(1), b]",
                "[[0102], [0301], [02], [0102], [03]]",
            ),
            (
                "let b = blob(2, 1); b == b && b != blob(2, 2) && blob(2, 1)[0] == 1",
                "true",
            ),
            ("to_blob([0, 255]).to_array()", "[0, 255]"),
            ("to_json(to_blob([0, 255]).map(|b| b))", "\"[0,255]\""),
            (
                "const B = to_blob([2, 1]); let a = 0; for b in B { a += b; } [a, B.order()]",
                "[3, [0102]]",
            ),
        ] {
            assert_eq!(run(&ours(), script), Ok(result.into()), "{script}");
        }
        for script in [
            "to_blob([256])",
            "to_blob([-1])",
            "to_blob([1.0])",
            "let b = blob(); b += [()]",
        ] {
            assert_eq!(thrown(script), "\"type\"", "{script}");
        }
        let failing = "let b = blob(3, 1); try { b.retain(|x| throw 7) } catch (e) { b += e } b";
        assert_eq!(run(&ours(), failing), Ok("[01010107]".into()));
    }

    /// Goes through what an engine can call: from what a script can write down, no function leads
    /// to a type that it does not know.
    #[test]
    fn no_function_gives_a_type_that_scripts_do_not_have() {
        let known: Vec<_> = types::TYPES.iter().map(|(_, id)| *id).collect();
        let foreign = ours().collect_fn_metadata(
            None,
            |info| {
                let types = &info.metadata.param_types;
                let is_reachable = types.iter().all(|id| known.contains(id));
                let given = info.metadata.return_type.to_string();
                let is_foreign = [
                    "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i128", "f32", "usize",
                    "Instant",
                ]
                .iter()
                .any(|name| {
                    let parts = given.split(|c: char| !c.is_alphanumeric() && c != '_');
                    given.replace("Vec<u8>", "Blob").contains(name)
                        && parts.into_iter().any(|part| part == *name)
                        && !given.contains("Vec<u8>")
                });
                (is_reachable && is_foreign && &*info.metadata.name != "timestamp")
                    .then(|| format!("{} -> {given}", info.metadata.name))
            },
            true,
        );
        assert_eq!(foreign, Vec::<String>::new());
    }

    #[test]
    fn what_rhai_should_not_do_cannot_be_reached() {
        for script in [
            "eval(\"1\")",
            "Fn(\"eval\").call(\"1\")",
            "let e = \"ev\"; e += \"al\"; Fn(e).call(\"1\")",
            "let e = Fn(\"to_string\"); e.curry(1)",
            "Fn(\"curry\")",
            "import \"x\" as x;",
        ] {
            assert!(run(&ours(), script).is_err(), "{script}");
        }
        assert_eq!(thrown("timestamp()"), "\"time\"");
    }

    const SAME: &str = r##"
        let s = "añb añb"; s.replace("añ", "x"); s
        let s = "añb añb"; s.replace("", "-"); s
        let s = ""; s.replace("", "-"); s
        let s = "añb"; s.replace("z", "y"); s
        let s = "aaa"; s.replace("aa", 'b'); s
        let s = "añb"; s.replace('ñ', "nn"); s
        let s = "añb"; s.replace('ñ', 'n'); s
        let s = "abcabc"; s.remove("bc"); s
        let s = "abcabc"; s.remove('b'); s
        let s = "abc"; s.remove(""); s
        "a,b,,c".split(",")
        "a,b,,c".split(",", 2)
        "a,b,,c".split(",", 0)
        "a,b,,c".split(",", -1)
        "a,b,,c".split(',')
        "a,b,,c".split(',', 3)
        "añb".split("")
        "añb".split("", 2)
        "".split(",")
        "".split("")
        "".split()
        "  a  ñ b ".split()
        "   ".split()
        "abc".split("zz")
        "añb".split(1)
        "a,b,,c".split_rev(",")
        "a,b,,c".split_rev(",", 2)
        "a,b,,c".split_rev(',')
        "a,b,,c".split_rev(',', 2)
        "a,b,,c".split_rev(",", 0)
        "aaa".split_rev("aa")
        "".split_rev("")
        "añb".split_rev("")
        "añb".to_chars()
        "".to_chars()
        "añbñ".index_of("ñ")
        "añbñ".index_of('ñ')
        "añbñ".index_of("ñ", 2)
        "añbñ".index_of('ñ', 2)
        "añbñ".index_of("ñ", -1)
        "añbñ".index_of('a', -1)
        "añbñ".index_of("ñ", -9)
        "añbñ".index_of("ñ", 4)
        "añbñ".index_of("", 2)
        "añbñ".index_of("")
        "".index_of("")
        "añbñ".index_of("zz")
        "añb".contains("ñb")
        "añb".contains("")
        "".contains("")
        "ñb" in "añb"
        "bñ" in "añb"
        "añbcd".sub_string(1, 2)
        "añbcd".sub_string(1)
        "añbcd".sub_string(-2)
        "añbcd".sub_string(-9, 2)
        "añbcd".sub_string(9, 2)
        "añbcd".sub_string(1, -2)
        "añbcd".sub_string(1..3)
        "añbcd".sub_string(1..=3)
        "añbcd".sub_string(-3..2)
        "añbcd".sub_string(3..1)
        "añbcd".sub_string(3..)
        "añbcd".sub_string(..=1)
        let s = "añbcd"; s.crop(1, 2); s
        let s = "añbcd"; s.crop(-2); s
        let s = "añbcd"; s.crop(1..3); s
        let s = "añbcd"; s.crop(1..=3); s
        let s = "añbcd"; s.crop(9); s
        let s = "añbcd"; s.truncate(2); s
        let s = "añbcd"; s.truncate(-2); s
        let s = "añbcd"; s.truncate(9); s
        let s = "añbcd"; [s.pop(2), s]
        let s = "añbcd"; [s.pop(9), s]
        let s = "añbcd"; [s.pop(-1), s]
        let s = "añbcd"; [s.pop(), s]
        let s = "añbcd"; s.set(1, 'n'); s
        let s = "añbcd"; s.set(-1, 'n'); s
        let s = "añbcd"; s.set(-5, 'n'); s
        let s = "añbcd"; s.set(-6, 'n'); s
        let s = "añbcd"; s.set(5, 'n'); s
        "straße ΣΑΣ ñ".to_upper()
        "STRASSE ΣΑΣ Ñ".to_lower()
        let s = "añ"; s.make_upper(); s
        let s = "AÑ"; s.make_lower(); s
        let a = []; for c in "añb" { a.push(c); } a
        let a = []; for c in "añb".chars { a.push(c); } a
        let a = []; for c in "añbcd".chars(1) { a.push(c); } a
        let a = []; for c in "añbcd".chars(-2) { a.push(c); } a
        let a = []; for c in "añbcd".chars(1, 2) { a.push(c); } a
        let a = []; for c in "añbcd".chars(1..3) { a.push(c); } a
        let a = []; for c in "añbcd".chars(1..=3) { a.push(c); } a
        let s = "añ"; s.pad(4, 'é'); s
        let s = "añ"; s.pad(7, "xyz"); s
        let s = "añ"; s.pad(1, 'é'); s
        let s = "añ"; s.pad(-1, "xy"); s
        let b = blob(3, 65); b.as_string()
        let b = blob(3, 255); b.as_string()
        "a" + blob(2, 255)
        blob(2, 65) + "a"
        let s = "a"; s += blob(2, 65); s
        let s = "a"; s.append(blob(2, 65)); s
        [blob(3), blob(3, 263), blob(-1), blob(0), blob()]
        let b = blob(2, 7); b.pad(4, 300); b
        let b = blob(2, 7); b.pad(1, 1); b
        blob(3, 200).to_array()
        let a = [1]; a.pad(3, "x"); a
        let a = [1]; a.pad(-3, "x"); a
        let a = [1]; a.pad(2, [1, #{a: 2}]); a
        [1, "a", 'c', 2.5, true, (), [1], #{a: 1}, blob(2)] == [1, "a", 'c', 2.5, true, (), [1], #{a: 1}, blob(2)]
        [1, 2] == [1, 3]
        [1, 2] != [1, 3]
        [1] == [1.0]
        [1] == ["1"]
        ["a"] == ['a']
        [()] == [1]
        [[1]] == [1]
        [1..2] == [1..2]
        #{a: 1, b: [2]} == #{b: [2], a: 1}
        #{a: 1} == #{b: 1}
        #{a: 1} != #{a: 1, b: 2}
        #{a: 1} == #{a: "1"}
        [1, "a", 2.5].contains("a")
        2.5 in [1, "a", 2.5]
        [1, [2], 3].index_of([2])
        [1, 2, 1].index_of(1, 1)
        [1, 2, 1].index_of(1, -1)
        [1, 2, 1].index_of(1, 9)
        [1, 2, 1].index_of(|x| x == 2)
        let a = [1, 1, 2, 2, 1]; a.dedup(); a
        let a = [1, 2, 4, 5, 7]; a.dedup(|x, y| y - x == 1); a
        let a = [3, 1, 2]; a.sort(); a
        let a = [3, 1, 2]; a.sort_desc(); a
        let a = ["b", "", "a"]; a.sort(); a
        let a = [2.5, -1.0]; a.sort(); a
        let a = [true, false]; a.sort(); a
        let a = ['b', 'a']; a.sort_desc(); a
        let a = [(), ()]; a.sort(); a
        let a = [3, 1, 2]; a.sort(|x, y| y - x); a
        let a = [3, 1, 2]; a.sort_by(|x, y| x < y); a
        let a = [[1, 1], [0, 2], [1, 0], [0, 1]]; a.sort(|x, y| x[0] - y[0]); a
        let a = [3, 1, 2]; [a.order(), a.order_desc(), a.order(|x, y| y - x), a.order_by(|x, y| y - x), a]
        let a = [1, 2, 3, 4]; [a.drain(|x| x % 2 == 0), a]
        let a = [1, 2, 3, 4]; [a.retain(|x| x % 2 == 0), a]
        let a = [1, 2, 3, 4]; [a.drain(|x, i| i < 2), a]
        let a = [1, 2, 3, 4]; [a.drain(|| this > 2), a]
        let a = [1, 2, 3, 4]; [a.drain(1..2), a.retain(0..1), a]
        `${[1, "a\n\"", 'c', 2.5, 1e30, true, (), [1], #{a: 1, "b c": [2]}, blob(11, 171), 1..2, Fn("f")]}`
        `${#{}} ${[]} ${blob()}`
        [1, "a", 'c'].to_string() + #{a: ()}.to_debug()
        "a\n\u{7f}".to_debug()
        debug("é\t")
        "s" + [1] + #{a: 1}
        let s = "s"; s += [1]; s
        const A = [2, 1]; A.sort(); A
        const S = "ab"; S.replace("a", "b"); S
        const A = [2, 1]; [A == [2, 1], A.contains(2)]
    "##;
}
