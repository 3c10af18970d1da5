//! The functions that need no connection, one file a package; `bounded` replaces Rhai's own where
//! those have no bound.

pub mod bounded;
pub mod dates;
mod deflate;
pub mod encoding;
pub mod env;
pub mod errors;
pub mod json;
mod pack;
pub mod random;
pub mod values;

/// An engine with all of them.
#[cfg(test)]
fn test_engine() -> rhai::Engine {
    let packages = [
        &values::PACKAGE,
        &encoding::PACKAGE,
        &json::PACKAGE,
        &random::PACKAGE,
        &env::PACKAGE,
        &errors::PACKAGE,
    ];
    super::engine::engine(&super::host::Host::default(), &packages)
}
