//! Rhai's own functions, those of them that could take any time or memory: the same, but bounded.
//!
//! Rhai bounds what a script has made, after it was made, and counts a native function as one operation whatever it
//! does. Registered at the engine, these stand before the standard packages' functions of the same types. They are of
//! three kinds. What makes something out of nothing (`pad`, `blob`) or many parts out of one (`split`) is bounded
//! beforehand and throws `limit`. What works through something long works in pieces, so that others go first and the
//! script's own budget holds. What follows nested data (printing, comparing) ends at a depth.

mod equal;
mod lists;
mod order;
mod strings;
mod text;

use rhai::{Engine, EvalAltResult, FuncRegistration, RhaiNativeFunc};

use super::throw;
use crate::script::Settings;
pub use text::text;

/// The work of looking at one value, in bytes that could be copied in that time.
pub(super) const VALUE: usize = 16;
/// The work of calling one function.
const CALL: usize = 512;

/// Registers all of it.
pub fn register(engine: &mut Engine, settings: &Settings) {
    strings::register(engine, &settings.limits);
    lists::register(engine, &settings.limits);
    order::register(engine);
    equal::register(engine, &settings.limits);
    text::register(engine, &settings.limits);
    engine.register_fn("timestamp", || -> Result<(), Box<EvalAltResult>> {
        throw(
            "time",
            "there are no timestamps: now() is the time of day, monotonic() measures",
        )
    });
}

/// Registers a method that changes what it is called on, and so not for constants.
fn change<A: 'static, const N: usize, const X: bool, R: rhai::Variant + Clone, const F: bool>(
    engine: &mut Engine,
    name: &str,
    function: impl RhaiNativeFunc<A, N, X, R, F> + 'static,
) {
    FuncRegistration::new(name)
        .with_purity(false)
        .register_into_engine(engine, function);
}

/// Throws `limit`: the function would make too much.
pub(super) fn over<T>(function: &str, bound: usize, unit: &str) -> Result<T, Box<EvalAltResult>> {
    throw(
        "limit",
        format!("{function} would make more than {bound} {unit}"),
    )
}

#[cfg(test)]
mod tests {
    use rhai::packages::{Package, StandardPackage};
    use rhai::{Dynamic, Scope};

    use super::*;
    use crate::script::engine::engine;

    fn run(engine: &Engine, script: &str) -> Result<String, String> {
        let value = engine
            .eval_with_scope::<Dynamic>(&mut Scope::new(), script)
            .map_err(|error| error.to_string())?;
        Ok(format!("{value:?}"))
    }

    fn ours() -> Engine {
        engine(&Settings::default())
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
            "blob(1048577)",
            "blob(9223372036854775807)",
            "let b = blob(); b.pad(9223372036854775807, 0)",
            "blob(65537).to_array()",
            "let s = \"\"; s.pad(1048577, 'x')",
            "let s = \"\"; s.pad(524289, \"é\")",
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
            ("blob(1048576).len", "1048576"),
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
        assert_eq!(thrown("Fn(\"sleep\").call(-1)"), "\"time\"");
        assert_eq!(thrown("Fn(\"sleep\").call(-1.0)"), "\"time\"");
        assert_eq!(thrown("(-1).sleep()"), "\"time\"");
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
