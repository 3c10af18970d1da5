//! The environment variables that the operator lets scripts read.

use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult};

use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};

/// The functions of the environment.
pub const PACKAGE: Package = Package {
    name: "env",
    about: "What the operator tells handlers: keys, addresses, modes.",
    functions: &[Function {
        signatures: &["env(name: string) -> string | ()"],
        about: "An environment variable of the server, `()` if it is not set or no text. The \
            operator names those that scripts may read with \
                `--allow-env NAME`.",
        throws: &[("env", "for a name that is not allowed")],
        allowed: Allowed::Everywhere,
        example: "let mode = env(\"EXAMPLE\") ?? \"production\";\n\
                  try { env(\"PATH\") } catch (e) { ws.send(e.kind); } // => env",
        register: |engine, host| {
            let allowed = Arc::clone(&host.settings.env);
            engine.register_fn("env", move |name: &str| env(&allowed, name));
        },
    }],
};

fn env(allowed: &[String], name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    if !allowed.iter().any(|known| known == name) {
        return throw(
            "env",
            format!(
                "scripts may not read {name:?}: the server is started with --allow-env {name} for \
                that"
            ),
        );
    }
    Ok(std::env::var(name).map_or(Dynamic::UNIT, Dynamic::from))
}
