//! What a bench is asked for: everything, or one thing alone.

use wsh_server::config::Evaluator;

/// One thing alone, for a profiler that counts instructions: `-- NAME rhai|compiled COUNT`.
pub struct Alone {
    /// What is to be done,
    pub name: String,
    /// by which evaluator,
    pub evaluator: Evaluator,
    /// and how often.
    pub count: u32,
}

/// What the command line asks for, if that is one thing alone.
pub fn alone() -> Option<Alone> {
    // Cargo adds a flag of its own.
    let args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let [name, evaluator, count] = <[String; 3]>::try_from(Vec::from_iter(args)).ok()?;
    Some(Alone {
        name,
        evaluator: match evaluator.as_str() {
            "rhai" => Evaluator::Rhai,
            _ => Evaluator::Compiled,
        },
        count: count.parse().expect("a number"),
    })
}
