//! Traffic by names that a script gives: who costs how many bytes.

use std::rc::Rc;
use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult, ImmutableString, Map};

use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::observe::accounts::Accounts;
use crate::script::caller;
use crate::script::request::Request;

/// Bytes of a name.
const NAME: usize = 128;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The functions.
pub const PACKAGE: Package = Package {
    name: "traffic",
    about: "Bytes on the wire, by names that you give: a user's, a room's, a way of asking. Heads, \
        bodies, frames and their headers are counted as they are before TLS.",
    functions: &[
        Function {
            signatures: &["request.count_as(name: string)"],
            about: "From this request on, what its connection takes is counted for this name: the \
                request and its answer, and all that goes over a WebSocket that is opened. Names are \
                the handler's own. Beyond `--max-traffic-names` the one that was used the longest \
                ago, and by nobody now, is forgotten.",
            throws: &[(
                "traffic",
                "for a name of more than 128 bytes, or if all names are in use",
            )],
            allowed: Allowed::Only(&["do_extra_handshake", "on_request"]),
            example: "fn do_extra_handshake(request) {\n    request.count_as(\"ada\");\n}\n\n\
                fn transfer_data(ws, message) {\n    \
                ws.send(`${traffic(\"ada\").requests}`); // => 1\n}",
            register: |engine, host| {
                let accounts = host.service::<Accounts>();
                engine.register_fn(
                    "count_as",
                    move |request: &mut Rc<Request>, name: ImmutableString| {
                        count_as(accounts.as_ref(), request, &name)
                    },
                );
            },
        },
        Function {
            signatures: &["traffic(name: string) -> map"],
            about: "What was counted for a name of this handler's: `#{requests, received, sent}`, \
                in bytes; zeros for one that is not known. An answer is counted as it is sent.",
            throws: &[("traffic", "outside of a hook")],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${traffic(\"nobody\").sent}`); // => 0",
            register: |engine, host| {
                let accounts = host.service::<Accounts>();
                engine.register_fn("traffic", move |name: &str| -> Result<Map> {
                    let (accounts, file) = here(accounts.as_ref())?;
                    let counts = accounts.read(&file, name);
                    let names = ["requests", "received", "sent"].into_iter();
                    let counts = counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
                    let parts = names
                        .zip(counts)
                        .map(|(name, count)| (name.into(), count.into()));
                    Ok(parts.collect::<Map>())
                });
            },
        },
    ],
};

/// The accounts, and the handler's file.
fn here(accounts: Option<&Arc<Accounts>>) -> Result<(&Arc<Accounts>, String)> {
    let caller = caller::current();
    let served = caller.and_then(|caller| caller.served.get().cloned());
    match (accounts, served) {
        (Some(accounts), Some(served)) => Ok((accounts, served.source.file.clone())),
        _ => throw(
            "traffic",
            "traffic is counted in hooks, not at the top level",
        ),
    }
}

fn count_as(accounts: Option<&Arc<Accounts>>, request: &Request, name: &str) -> Result<Dynamic> {
    let (accounts, file) = here(accounts)?;
    if name.len() > NAME {
        return throw("traffic", format!("a name has at most {NAME} bytes"));
    }
    let Some(account) = accounts.open(&file, name) else {
        return throw(
            "traffic",
            "as many names are in use as may be: use fewer, or raise --max-traffic-names",
        );
    };
    request.answer.borrow_mut().account = Some(account);
    Ok(Dynamic::UNIT)
}
