//! A service as one is added to the server: a counter that all workers share.

use rhai::Engine;
use tokio::sync::watch;
use wsh_server::machine::error::throw;
use wsh_server::machine::host::{Allowed, Function, Host, Package, Service};
use wsh_server::machine::meter;

/// The counter.
pub struct Tally(watch::Sender<i64>);

impl Default for Tally {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Service for Tally {
    const PACKAGE: &'static Package = &Package {
        name: "tally",
        about: "A counter that all connections share.",
        functions: &[
            Function {
                signatures: &["tally_add(count: int) -> int"],
                about: "Adds to the counter, and gives what it is then.",
                throws: &[("tally", "for less than 1")],
                allowed: Allowed::Everywhere,
                example: "tally_add(1);",
                register: add,
            },
            Function {
                signatures: &["tally_wait(count: int) -> int"],
                about: "Waits until the counter is so high, and gives what it is then.",
                throws: &[],
                allowed: Allowed::Everywhere,
                example: "tally_add(1);\ntally_wait(1);",
                register: wait,
            },
        ],
    };
}

fn add(engine: &mut Engine, host: &Host) {
    let Some(tally) = host.service::<Tally>() else {
        return;
    };
    engine.register_fn("tally_add", move |count: i64| {
        if count < 1 {
            return throw("tally", format!("tally_add adds 1 or more, not {count}"));
        }
        tally.0.send_modify(|tally| *tally += count);
        Ok(*tally.0.borrow())
    });
}

fn wait(engine: &mut Engine, host: &Host) {
    let Some(tally) = host.service::<Tally>() else {
        return;
    };
    engine.register_fn("tally_wait", move |count: i64| {
        let mut tally = tally.0.subscribe();
        let reached = meter::until(async move {
            let reached = tally.wait_for(|tally| *tally >= count).await;
            reached.map_or(0, |tally| *tally)
        });
        Ok::<_, Box<rhai::EvalAltResult>>(reached?)
    });
}
