//! A module's function takes functions of other files for its own, and other files its private ones.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin modules
//!
//! Expected: a name means what its own file says, whoever calls. Seen: a call of a module's function runs on top of its
//! caller, and the cache of what names were resolved to goes on being used, so that it depends on who called, and on what
//! was called before; and a closure that leaves its file is not found, since a function pointer is a name without the
//! environment that it comes from. `Engine::call_script_fn` merges the function's environment into the state, but begins
//! no new resolution cache. A resolution is cached when it is asked for the second time, hence the loop.

use rhai::module_resolvers::StaticModuleResolver;
use rhai::{Engine, Module, Scope};

const MODULE: &str = r#"
    fn run() { helper() }
    fn often() { helper() + helper() + helper() }
    fn closure() { || helper() }
    fn apply(f) { f.call() }
    private fn helper() { "module " }
"#;

/// A script, and what it should give.
const SCRIPTS: [(&str, &str); 5] = [
    (
        r#"fn helper() { "script " } let s = ""; for i in 0..3 { s += helper(); } s + m::run()"#,
        "script script script module ",
    ),
    ("m::often() + helper()", "an error: there is no helper"),
    (
        r#"fn helper() { "script " } m::often() + helper()"#,
        "module module module script ",
    ),
    (
        r#"fn helper() { "script " } m::apply(|| helper())"#,
        "script ",
    ),
    ("m::closure().call()", "module "),
];

fn main() {
    let mut engine = Engine::new();
    let module = engine.compile(MODULE).expect("a correct module");
    let module = Module::eval_ast_as_new(Scope::new(), &module, &engine).expect("a module");
    let mut modules = StaticModuleResolver::new();
    modules.insert("m", module);
    engine.set_module_resolver(modules);
    for (script, expected) in SCRIPTS {
        let result = engine.eval::<String>(&format!(r#"import "m" as m; {script}"#));
        println!("{script}\n    gives {result:?}\n    and should give {expected:?}");
    }
}
