//! Whose hook is running: for what it prints, and for functions that ask.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use rhai::Dynamic;

use super::hooks::{Hook, HookSet};
use super::peer::Peer;
use crate::machine::running;
use crate::machine::source::Source;

/// A hook's call, as the functions that it calls may ask about it.
pub struct Caller {
    /// Hook that is running.
    pub hook: Hook,
    /// The connection, with its `this`.
    pub peer: Rc<Peer>,
    /// The arguments, until the hook runs.
    pub args: Cell<[Dynamic; 4]>,
    /// What serves it, from then on.
    pub served: OnceCell<Rc<Served>>,
}

/// A handler's version that serves: what it was compiled from, and the hooks that it defines.
#[derive(Debug)]
pub struct Served {
    /// The handler's source.
    pub source: std::sync::Arc<Source>,
    /// Its hooks.
    pub hooks: HookSet,
}

impl Caller {
    /// A call of a connection's hook.
    pub fn new(hook: Hook, peer: &Rc<Peer>, args: [Dynamic; 4]) -> Rc<Self> {
        Rc::new(Self {
            hook,
            peer: Rc::clone(peer),
            args: Cell::new(args),
            served: OnceCell::new(),
        })
    }

    /// The handler's file; empty before it is served.
    pub fn file(&self) -> &str {
        self.served.get().map_or("", |served| &served.source.file)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hook, peer) = (&self.hook, &self.peer);
        out.debug_tuple("Caller").field(hook).field(peer).finish()
    }
}

/// Runs a hook in its name.
#[inline]
pub fn with<R>(caller: &Rc<Caller>, run: impl FnOnce() -> R) -> R {
    let caller: Rc<dyn Any> = Rc::clone(caller) as _;
    running::in_the_name_of(caller, run)
}

/// The call that is running.
pub fn current() -> Option<Rc<Caller>> {
    running::caller()?.downcast().ok()
}

/// The hook that is running.
pub fn hook() -> Option<Hook> {
    current().map(|caller| caller.hook)
}

/// Whether the program that is running defines this hook.
pub fn has(hook: Hook) -> bool {
    let caller = current();
    let served = caller.as_ref().and_then(|caller| caller.served.get());
    served.is_some_and(|served| served.hooks.has(hook))
}

/// Returns the peer that keeps the handler's own timers, in its hooks without a connection.
pub fn service() -> Option<Rc<Peer>> {
    let caller = current()?;
    matches!(caller.hook, Hook::OnLoad | Hook::OnInterval).then(|| Rc::clone(&caller.peer))
}
