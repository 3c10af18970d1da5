//! A worker's scripts: its compiler, its fibers, and the handlers it has compiled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rhai::Dynamic;

use super::api::connection::Place;
use super::call;
use super::caller;
use super::fault::report;
use super::fiber::Fibers;
use super::hooks::Hook;
use super::meter;
use super::modules::Compiler;
use super::program::{Program, Source};
use super::state;
use super::{Limits, Settings};
use crate::local::Turns;
use crate::observe::Flood;

/// One worker's script machine.
pub struct Runtime {
    pub(super) fibers: Fibers,
    /// For scripts that compute.
    pub(super) turns: Turns,
    /// For hooks that find no fiber.
    pub(super) freed: Turns,
    compiler: Rc<Compiler>,
    limits: Rc<Limits>,
    dev: bool,
    /// Hooks that wait in `receive`.
    receiving: Cell<usize>,
    /// Hooks that may not wait, by what they were to do.
    too_many: RefCell<Flood<&'static str>>,
    /// By file. One that is gone is found again by the connections that are left when it comes back.
    handlers: RefCell<HashMap<String, Known>>,
}

/// Seconds that a handler is kept when its last connection has ended: one connection after the other would compile it anew.
const KEEP: u32 = 10;

struct Known {
    handler: Rc<Handler>,
    /// Seconds for which no connection has used it.
    idle: u32,
}

/// One file's handler on one worker: the program that serves, and the source that should.
#[derive(Debug)]
pub struct Handler {
    pub(super) limits: Rc<Limits>,
    /// Whether its author watches: see [`Settings::dev`].
    pub(super) dev: bool,
    compiler: Rc<Compiler>,
    newest: RefCell<Arc<Source>>,
    /// The newest source's version, at hand for every hook.
    version: Cell<u64>,
    program: RefCell<Option<Rc<Program>>>,
    /// A fiber is compiling; until it is done the others use what serves.
    loading: Cell<bool>,
    /// The place that the last connection had.
    place: RefCell<Option<Rc<Place>>>,
    /// A `this` without properties that no connection uses now.
    spare: RefCell<Dynamic>,
}

impl Runtime {
    /// A machine with these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            fibers: Fibers::new(settings.limits.fibers, call::run),
            turns: Turns::default(),
            freed: Turns::default(),
            compiler: Rc::new(Compiler::new(settings)),
            limits: Rc::new(settings.limits),
            dev: settings.dev,
            receiving: Cell::new(0),
            too_many: RefCell::new(Flood::lines(1)),
            handlers: RefCell::default(),
        }
    }

    /// Whether the hook that runs may wait, for anything but its turn to compute.
    pub(super) fn may_wait(&self) -> bool {
        let live = self.fibers.live();
        if live <= self.limits.waiting {
            return true;
        }
        if self.too_many.borrow_mut().admits(&"wait") {
            tracing::warn!(
                "{live} hooks wait on this worker: those that would wait, too, are ended and their connections closed with 1013, \
                 so that others go on"
            );
        }
        false
    }

    /// Whether another hook may wait in `receive`.
    pub(super) fn may_receive(&self) -> bool {
        if self.receiving.get() < self.limits.receiving {
            return true;
        }
        if self.too_many.borrow_mut().admits(&"wait in receive()") {
            tracing::warn!(
                "{} hooks wait in receive() on this worker, and another loop is refused with 1013: \
                 fn transfer_data(ws, message) takes no place while it waits for a message",
                self.receiving.get()
            );
        }
        false
    }

    /// A hook begins to wait in `receive`, or does so no more.
    pub(super) fn receives(&self, begins: bool) {
        let now = self.receiving.get();
        self.receiving.set(if begins { now + 1 } else { now - 1 });
    }

    /// Gives computing scripts their turns, for ever: a task of the worker.
    pub async fn run_turns(&self) {
        self.turns.run().await;
    }

    /// The handler of a source's file, with this source as its newest.
    pub fn handler(&self, source: &Arc<Source>) -> Rc<Handler> {
        if let Some(handler) = self.in_use(source) {
            return handler;
        }
        let handler = Rc::new(Handler {
            limits: Rc::clone(&self.limits),
            dev: self.dev,
            compiler: Rc::clone(&self.compiler),
            newest: RefCell::new(Arc::clone(source)),
            version: Cell::new(source.version),
            program: RefCell::new(None),
            loading: Cell::new(false),
            place: RefCell::new(None),
            spare: RefCell::new(Dynamic::UNIT),
        });
        let known = Known {
            handler: Rc::clone(&handler),
            idle: 0,
        };
        self.handlers
            .borrow_mut()
            .insert(source.file.clone(), known);
        handler
    }

    /// Whether connections use this file, or have of late, with another source than this.
    pub fn is_outdated(&self, source: &Source) -> bool {
        let handlers = self.handlers.borrow();
        let known = handlers.get(&source.file);
        known.is_some_and(|known| known.handler.version.get() != source.version)
    }

    /// The handler of a source's file if connections use it, or have of late, with this source as its newest.
    pub(super) fn in_use(&self, source: &Arc<Source>) -> Option<Rc<Handler>> {
        let handlers = self.handlers.borrow();
        let handler = Rc::clone(&handlers.get(&source.file)?.handler);
        handler.replace(source);
        Some(handler)
    }

    /// Once a second: memory of deep calls and what nobody uses any more is given back, and faults that were met many
    /// times are summed up, and so are lines of scripts that were too many.
    pub fn tick(&self) {
        report::tick();
        caller::tick();
        self.fibers.trim();
        super::heap::tidy();
        self.too_many.borrow_mut().tick(|what, more| {
            tracing::warn!("{more} more hooks could not {what}");
        });
        self.handlers.borrow_mut().retain(|_, known| {
            let is_used = Rc::strong_count(&known.handler) > 1;
            known.idle = if is_used { 0 } else { known.idle + 1 };
            known.idle < KEEP
        });
        self.compiler.tidy();
    }
}

impl Handler {
    fn replace(&self, source: &Arc<Source>) {
        self.version.set(source.version);
        *self.newest.borrow_mut() = Arc::clone(source);
    }

    /// The program that serves, compiled on first use; `None` if even that fails, which has been reported.
    pub(super) fn program(&self) -> Option<Rc<Program>> {
        let current = self.program.borrow().clone();
        let newest = self.version.get();
        match current {
            Some(program) if program.source.version == newest || self.loading.get() => {
                Some(program)
            }
            _ => {
                self.load();
                self.program.borrow().clone()
            }
        }
    }

    /// Compiles the newest source unless it serves already.
    pub(super) fn load(&self) {
        let source = Arc::clone(&self.newest.borrow());
        if self.is_current() {
            return;
        }
        self.loading.set(true);
        let budget = Hook::TransferData.budget(&self.limits);
        let compiled = meter::apart(budget, || Program::compile(&self.compiler, &source));
        self.loading.set(false);
        match compiled {
            Ok(program) => *self.program.borrow_mut() = Some(Rc::new(program)),
            // It compiled where it was checked, so this is about this run of its top level. What serves goes on.
            Err(fault) => {
                let report = fault.in_log(&[]);
                tracing::error!(file = source.file, %report, "script fault");
                if let Some(program) = &*self.program.borrow() {
                    self.replace(&program.source);
                }
            }
        }
    }

    /// A place to share between connections: most of a handler's are the same.
    pub fn place(&self, place: Place) -> Rc<Place> {
        let mut last = self.place.borrow_mut();
        match &*last {
            Some(known) if **known == place => Rc::clone(known),
            _ => Rc::clone(last.insert(Rc::new(place))),
        }
    }

    /// A `this` without properties.
    pub(super) fn spare_state(&self) -> Dynamic {
        let spare = self.spare.take();
        if spare.is_unit() { state::new() } else { spare }
    }

    /// Keeps one for the next connection that needs it.
    pub(super) fn keep_state(&self, spare: Dynamic) {
        *self.spare.borrow_mut() = spare;
    }

    /// The version that serves; 0 before there is one.
    pub fn serving(&self) -> u64 {
        let program = self.program.borrow();
        program.as_ref().map_or(0, |program| program.source.version)
    }

    /// Whether its programs may look at frames.
    pub(super) fn may_see_frames(&self) -> bool {
        self.compiler.allow_raw
    }

    /// Whether the program that serves asks connections for their request.
    pub fn keeps_requests(&self) -> bool {
        let program = self.program.borrow();
        program
            .as_ref()
            .is_some_and(|program| program.keeps_requests)
    }

    pub(super) fn is_current(&self) -> bool {
        let program = self.program.borrow();
        program
            .as_ref()
            .is_some_and(|program| program.source.version == self.version.get())
    }

    /// Whether a program serves.
    pub fn is_loaded(&self) -> bool {
        self.program.borrow().is_some()
    }

    /// The file's name below the handler folder.
    pub fn file(&self) -> String {
        self.newest.borrow().file.clone()
    }

    /// Whether the program that serves defines this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.program
            .borrow()
            .as_ref()
            .is_some_and(|program| program.has(hook))
    }
}
