//! Scripts' values in stores and queues: as JSON, and a blob as it is. Whoever reads one gets a
//! copy.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rhai::{Dynamic, EvalAltResult};

use crate::machine::Limits;
use crate::machine::budget::Stop;
use crate::machine::error::throw;
use crate::machine::host::Host;
use crate::machine::meter;
use crate::machine::packages::json;
use crate::script::caller::{self, Served};
use crate::script::hooks::Hook;
use crate::store::{self, Answer, Bytes, Later, Shelf};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The first byte of a blob; JSON has no such.
const BLOB: u8 = 0;

/// Throws that every function here may throw.
pub const AWAY: (&str, &str) = ("store", "outside of a hook, and where the disk fails");

/// And where the engine is in another process.
pub const ENGINE: (&str, &str) = (
    "engine",
    "with a store in Redis that is away (`--engine-timeout`), or that refuses",
);

/// Throws of all that changes something or waits.
pub const IN_UPDATE: (&str, &str) = ("update", "in the function of an `update`");

/// Where stores and queues are reached from, with the bounds of scripts.
#[derive(Debug, Clone)]
pub struct Desk {
    shelf: Option<Arc<Shelf>>,
    /// The bounds of values.
    pub limits: Limits,
}

impl Desk {
    /// That of a host; there is none where files are only checked.
    pub fn of(host: &Host) -> Self {
        let shelf = host.service::<Arc<Shelf>>();
        Self {
            shelf: shelf.map(|shelf| Arc::clone(&*shelf)),
            limits: host.settings.limits,
        }
    }

    /// The shelf, and who asks.
    pub fn here(&self) -> Result<(&Arc<Shelf>, Rc<Served>)> {
        let caller = caller::current();
        let served = caller.and_then(|caller| caller.served.get().cloned());
        match (&self.shelf, served) {
            (Some(shelf), Some(served)) => Ok((shelf, served)),
            _ => throw(
                "store",
                "stores and queues are there in hooks, not at the top level",
            ),
        }
    }

    /// The same for what changes something, which an update's function may not.
    pub fn to_change(&self) -> Result<(&Arc<Shelf>, Rc<Served>)> {
        if !meter::may_wait() {
            return throw(
                "update",
                "the function of an update may not change stores and queues: it may run again",
            );
        }
        self.here()
    }

    /// A value as it is kept; nothing for `()`.
    pub fn encode(&self, value: &Dynamic) -> Result<Option<Bytes>> {
        if value.is_unit() {
            return Ok(None);
        }
        if let Ok(number) = value.as_int() {
            return Ok(Some(number.to_string().into_bytes().into()));
        }
        if let Ok(blob) = value.as_blob_ref() {
            let bytes = || [&[BLOB], blob.as_slice()].concat();
            return Ok(Some(meter::exempt(|| bytes().into())));
        }
        let text = json::to_json(value, &self.limits)?;
        Ok(Some(meter::exempt(|| text.as_bytes().into())))
    }

    /// A value that was kept.
    pub fn decode(&self, bytes: Option<&[u8]>) -> Result<Dynamic> {
        match bytes {
            None => Ok(Dynamic::UNIT),
            Some([BLOB, blob @ ..]) => Ok(Dynamic::from_blob(blob.to_vec())),
            Some(text) => json::parse(text, &self.limits),
        }
    }
}

/// Asks, and waits for the answer if it is not there. What is kept is not the hook's own memory.
pub fn ask<T: 'static>(question: impl FnOnce() -> Answer<T>) -> Result<T> {
    answered(question, |answer| Ok(meter::until(answer)?))
}

fn answered<T>(
    question: impl FnOnce() -> Answer<T>,
    wait: impl FnOnce(Later<T>) -> Result<store::Result<T>>,
) -> Result<T> {
    let result = match meter::exempt(question) {
        Answer::Now(result) => result,
        Answer::Later(answer) => wait(answer)?,
    };
    result.or_else(|refused| throw(refused.kind(), refused.to_string()))
}

/// The same where others decide how long it takes: it ends with the hook once the peer is about to
/// leave, so that nothing is handed to whoever cannot pass it on. The last hooks know that already.
pub fn ask_patiently<T: 'static>(question: impl FnOnce() -> Answer<T>) -> Result<T> {
    let caller = caller::current();
    let peer = caller.as_ref().and_then(|caller| match caller.hook {
        Hook::OnClose | Hook::PassiveClosingHandshake => None,
        _ => caller.owner.peer().cloned(),
    });
    let Some(peer) = peer else {
        return ask(question);
    };
    answered(question, |mut answer| {
        let asked = meter::until(poll_fn(move |context| {
            // The connection's task asks again when anything has come from the peer.
            if peer.handle.is_leaving() {
                return Poll::Ready(None);
            }
            answer.as_mut().poll(context).map(Some)
        }));
        Ok(asked?.ok_or(Stop::Cancelled)?)
    })
}

/// Seconds above 0 and up to about thirty years.
pub fn lasting(what: &str, value: &Dynamic) -> Result<Duration> {
    const LONGEST: f64 = 1e9;
    let seconds = value
        .as_float()
        .or_else(|_| value.as_int().map(|seconds| seconds as f64));
    match seconds {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        _ => throw(
            "option",
            format!("{what} is a number of seconds above 0, not {value}"),
        ),
    }
}
