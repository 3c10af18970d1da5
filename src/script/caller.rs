//! Whose hook is running: for what it prints, and for functions that ask.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use rhai::{Dynamic, ImmutableString};

use super::hooks::{Hook, HookSet};
use super::owner::{Owner, Service};
use crate::machine::running;
use crate::machine::source::Source;

/// A hook's call, as the functions that it calls may ask about it.
pub struct Caller {
    /// Hook that is running.
    pub hook: Hook,
    /// Whose it is, with its `this`.
    pub owner: Owner,
    /// The arguments, until the hook runs.
    pub args: Cell<[Dynamic; 4]>,
    /// What serves it, from then on.
    pub served: OnceCell<Rc<Served>>,
    /// The text that it was about, when it has ended: its memory is for the next one's, unless the
    /// hook has kept it.
    pub over: Cell<Option<ImmutableString>>,
}

/// A handler's version that serves: what it was compiled from, and the hooks that it defines.
#[derive(Debug)]
pub struct Served {
    /// The handler's source.
    pub source: Arc<Source>,
    /// The name of its own store, by which it pays for what it keeps.
    pub own: Arc<str>,
    /// Its hooks.
    pub hooks: HookSet,
}

impl Caller {
    /// A call of a hook in this owner's name.
    pub fn new(hook: Hook, owner: &Owner, args: [Dynamic; 4]) -> Rc<Self> {
        Rc::new(Self {
            hook,
            owner: owner.clone(),
            args: Cell::new(args),
            served: OnceCell::new(),
            over: Cell::new(None),
        })
    }

    /// The handler's file; empty before it is served.
    pub fn file(&self) -> &str {
        self.served.get().map_or("", |served| &served.source.file)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hook, owner) = (&self.hook, &self.owner);
        out.debug_tuple("Caller").field(hook).field(owner).finish()
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

/// Returns the handler whose own hook is running, for its timers.
pub fn service() -> Option<Rc<Service>> {
    match &current()?.owner {
        Owner::Handler(service) => Some(Rc::clone(service)),
        Owner::Connection(_) | Owner::Handshake(_) => None,
    }
}
