//! A Rhai engine with its bounds: what is computed is metered, and what cannot be bounded is not
//! there.

use rhai::packages::{Package as _, StandardPackage};
use rhai::{Engine, OptimizationLevel};

use super::host::{Host, Package};
use super::meter;
use super::packages::bounded;

/// An engine with the functions of these packages, and of the services that the host has.
pub fn engine(host: &Host, packages: &[&Package]) -> Engine {
    let limits = &host.settings.limits;
    let mut engine = Engine::new_raw();
    engine.register_global_module(StandardPackage::new().as_shared_module());
    bounded::register(&mut engine, limits);
    let packages = packages.iter().chain(host.packages());
    for function in packages.flat_map(|package| package.functions) {
        (function.register)(&mut engine, host);
    }
    engine
        .disable_symbol("eval")
        // A function that is curried with itself doubles with every call. Closures do not need the
        // word.
        .disable_symbol("curry")
        .set_strict_variables(true)
        // Its optimizer takes time that grows with the square of a `switch`'s cases, at one go, and
        // makes hooks no faster.
        .set_optimization_level(OptimizationLevel::None)
        .set_max_expr_depths(limits.expressions.0, limits.expressions.1)
        .set_max_call_levels(limits.call_levels)
        // No bounds of Rhai's on the sizes of values: it would walk through all of a value after
        // every call of one of its methods, so that filling an array took time that grows with the
        // square of its length. The heap counts instead.
        .set_max_variables(limits.variables)
        .set_max_functions(limits.functions)
        .on_progress(|_| meter::tick());
    #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
    engine.on_parse_token(|token, _, _| {
        meter::yield_now();
        token
    });
    engine
}
