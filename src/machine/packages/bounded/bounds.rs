//! What the bounded functions share: the price of their work, and the error of one that would make
//! too much.

use rhai::{Engine, EvalAltResult, FuncRegistration, RhaiNativeFunc};

use crate::machine::error::throw;

/// The work of looking at one value, in bytes that could be copied in that time.
pub const VALUE: usize = 16;
/// The work of calling one function.
pub const CALL: usize = 512;

/// Registers a method that changes what it is called on, and so not for constants.
pub fn change<
    A: 'static,
    const N: usize,
    const X: bool,
    R: rhai::Variant + Clone,
    const F: bool,
>(
    engine: &mut Engine,
    name: &str,
    function: impl RhaiNativeFunc<A, N, X, R, F> + 'static,
) {
    FuncRegistration::new(name)
        .with_purity(false)
        .register_into_engine(engine, function);
}

/// Throws `limit`: the function would make too much.
pub fn over<T>(function: &str, bound: usize, unit: &str) -> Result<T, Box<EvalAltResult>> {
    throw(
        "limit",
        format!("{function} would make more than {bound} {unit}"),
    )
}
