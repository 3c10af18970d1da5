//! The run of one test, up to its end or that of its time.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use rhai::Dynamic;

use super::call::{Call, Return};
use super::fault::Fault;
use super::runtime::Runtime;
use super::suite::Test;
use crate::machine::fiber::{Fiber, Step};
use crate::machine::source::Source;
use crate::machine::wait::{Wait, Wake};

/// Runs a test of a file, up to its end or that of its time; the fault that it fails for.
pub async fn run(
    runtime: &Rc<Runtime>,
    source: &Arc<Source>,
    name: &str,
    limit: impl Future<Output = ()>,
) -> Option<Box<Fault>> {
    let mut limit = pin!(limit);
    let call = Call::Test(Test::new(&runtime.compiler, source, name));
    let mut step = match runtime.fibers.run(call) {
        Ok(step) => step,
        Err(error) => return Some(Fault::of_file(&source.file, error.to_string()).into()),
    };
    loop {
        let (fiber, wait) = match step {
            Step::Returned(Return::Test(fault)) => return fault,
            Step::Returned(_) => return None,
            Step::Waits(fiber, wait) => (fiber, wait),
        };
        let mut held = Held(runtime, Some(fiber));
        let over = async {
            match wait {
                Wait::Until(future) => future.await,
                Wait::Slice | Wait::Receive(_) => tokio::task::yield_now().await,
            }
        };
        let wake = tokio::select! {
            () = over => Wake::Ready(Dynamic::UNIT),
            () = &mut limit => Wake::Cancelled,
        };
        let fiber = held.1.take()?;
        step = runtime.fibers.resume(fiber, wake);
    }
}

/// A fiber that waits, and is ended when nobody waits with it any more.
struct Held<'r>(&'r Rc<Runtime>, Option<Fiber<Call, Return>>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut left = self.1.take();
        while let Some(fiber) = left.take() {
            if let Step::Waits(fiber, _) = self.0.fibers.resume(fiber, Wake::Cancelled) {
                left = Some(fiber);
            }
        }
    }
}
