//! The error object that `catch` gets when a host function has failed.

use rhai::ImmutableString;

use crate::machine::error::HostError;
use crate::machine::host::{Allowed, Function, Package};

/// The `errors` package: properties of the caught `error`.
pub const PACKAGE: Package = Package {
    name: "errors",
    about: "What the server's functions throw, as `catch (error)` gets it. Rhai's own errors have \
        a `message`, too, and no `kind`.",
    functions: &[
        Function {
            signatures: &["error.kind -> string"],
            about: "A word to compare with: the one that stands behind \"Throws\" in this \
                reference.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "try {\n    ws.close(7);\n} catch (error) {\n    ws.send(error.kind); // => \
                close\n}",
            register: |engine, _| {
                engine
                    .register_type_with_name::<HostError>("Error")
                    .register_get("kind", |error: &mut HostError| {
                        ImmutableString::from(error.kind)
                    });
            },
        },
        Function {
            signatures: &["error.message -> string"],
            about: "A sentence to read; `` `${error}` `` is the same.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "try {\n    sleep(-1);\n} catch (error) {\n    ws.send(error.message); // => \
                sleep takes 0 to 86400 seconds, not -1\n}",
            register: |engine, _| {
                engine
                    .register_get("message", |error: &mut HostError| error.message.clone())
                    .register_fn("to_string", |error: &mut HostError| error.message.clone())
                    .register_fn("to_debug", |error: &mut HostError| error.message.clone());
            },
        },
    ],
};
