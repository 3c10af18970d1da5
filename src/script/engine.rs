//! A Rhai engine as handlers see it: the standard library, our API, and the limits.

use rhai::packages::{Package, StandardPackage};
use rhai::{Engine, OptimizationLevel};
use tracing::Level;

use super::{Settings, api, caller, meter};

/// An engine with everything a script may call.
pub fn engine(settings: &Settings) -> Engine {
    let limits = &settings.limits;
    let mut engine = Engine::new_raw();
    engine.register_global_module(StandardPackage::new().as_shared_module());
    api::register(&mut engine, settings);
    engine
        .disable_symbol("eval")
        // A function that is curried with itself doubles with every call. Closures do not need the word.
        .disable_symbol("curry")
        .set_strict_variables(true)
        // Its optimizer takes time that grows with the square of a `switch`'s cases, at one go, and makes hooks no faster.
        .set_optimization_level(OptimizationLevel::None)
        .set_max_expr_depths(limits.expressions.0, limits.expressions.1)
        .set_max_call_levels(limits.call_levels)
        // No bounds of Rhai's on the sizes of values: it would walk through all of a value after every call of one of its
        // methods, so that filling an array took time that grows with the square of its length. The heap counts instead.
        .set_max_variables(limits.variables)
        .set_max_functions(limits.functions)
        .on_progress(|_| meter::tick())
        .on_print(|text| caller::log(Level::INFO, text))
        .on_debug(|text, _, _| caller::log(Level::DEBUG, text));
    #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
    engine.on_parse_token(|token, _, _| {
        meter::breathe();
        token
    });
    engine
}
