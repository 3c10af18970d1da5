//! Compiling a handler on a worker, which takes a fiber's stack.

use std::rc::Rc;
use std::sync::Arc;

use super::{Then, without_connection};
use crate::machine::source::Source;
use crate::script::call::Call;
use crate::script::handler::Handler;
use crate::script::hooks::Hook;
use crate::script::owner::Owner;
use crate::script::runtime::Runtime;

/// Compiles a handler on first use or if its newest source does not serve yet; whether it has a
/// program.
pub async fn ensure_loaded(runtime: &Rc<Runtime>, handler: &Rc<Handler>) -> bool {
    if !handler.is_current() {
        load(runtime, handler).await;
    }
    handler.is_loaded()
}

/// The same with what the handler's `on_load` says in force, where it has one.
pub async fn ensure_begun(runtime: &Rc<Runtime>, handler: &Rc<Handler>) -> bool {
    let is_loaded = ensure_loaded(runtime, handler).await;
    if let Some(begun) = &runtime.begun
        && handler.has(Hook::OnLoad)
        && !handler.has_begun.get()
    {
        begun.of(&handler.file()).await;
        handler.has_begun.set(true);
    }
    is_loaded
}

/// A file has a new source: if connections use it here, it is compiled now, and serves from their
/// next hook on.
pub async fn reload(runtime: Rc<Runtime>, source: Arc<Source>) {
    if let Some(handler) = runtime.in_use(&source) {
        load(&runtime, &handler).await;
    }
}

/// Compiles a handler's newest source on a fiber, so that a large one holds up nobody.
async fn load(runtime: &Rc<Runtime>, handler: &Rc<Handler>) {
    let mut loader = without_connection(runtime, handler, Owner::handler());
    let mut call = Some(Call::Load(Rc::clone(handler)));
    std::future::poll_fn(|context| match call.take() {
        Some(call) => loader.begin(call, Then::Nothing, context),
        None => loader.go_on(context),
    })
    .await;
}
