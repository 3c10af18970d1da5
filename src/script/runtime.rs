//! A worker's scripts: its engine, its fibers, and the handlers it has compiled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use rhai::{Dynamic, Engine};

use super::Limits;
use super::api::connection::Place;
use super::call;
use super::engine::engine;
use super::fiber::Fibers;
use super::hooks::Hook;
use super::program::{Program, Source};
use super::turns::Turns;

/// One worker's script machine.
pub struct Runtime {
    pub(super) fibers: Fibers,
    /// For scripts that compute.
    pub(super) turns: Turns,
    /// For hooks that find no fiber.
    pub(super) freed: Turns,
    engine: Rc<Engine>,
    limits: Rc<Limits>,
    /// By file. Weak, so that a file that is gone is forgotten when its last connection ends, and found again by
    /// those that are left when it comes back.
    handlers: RefCell<HashMap<String, Weak<Handler>>>,
}

/// One file's handler on one worker: the program that serves, and the source that should.
#[derive(Debug)]
pub struct Handler {
    pub(super) limits: Rc<Limits>,
    engine: Rc<Engine>,
    newest: RefCell<Arc<Source>>,
    /// The newest source's version, at hand for every hook.
    version: Cell<u64>,
    program: RefCell<Option<Rc<Program>>>,
    /// A fiber is compiling; until it is done the others use what serves.
    loading: Cell<bool>,
    /// The place that the last connection had.
    place: RefCell<Option<Rc<Place>>>,
    /// A `this` without properties: most connections have no other, and need none while they are idle.
    spare: RefCell<Dynamic>,
}

impl Runtime {
    /// A machine within these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            fibers: Fibers::new(limits.fibers, call::run),
            turns: Turns::default(),
            freed: Turns::default(),
            engine: Rc::new(engine(&limits)),
            limits: Rc::new(limits),
            handlers: RefCell::default(),
        }
    }

    /// Gives computing scripts their turns, for ever: a task of the worker.
    pub async fn run_turns(&self) {
        self.turns.run().await;
    }

    /// The handler of a source's file, with this source as its newest.
    pub fn handler(&self, source: &Arc<Source>) -> Rc<Handler> {
        let mut handlers = self.handlers.borrow_mut();
        if let Some(handler) = handlers.get(&source.file).and_then(Weak::upgrade) {
            handler.replace(source);
            return handler;
        }
        let handler = Rc::new(Handler {
            limits: Rc::clone(&self.limits),
            engine: Rc::clone(&self.engine),
            newest: RefCell::new(Arc::clone(source)),
            version: Cell::new(source.version),
            program: RefCell::new(None),
            loading: Cell::new(false),
            place: RefCell::new(None),
            spare: RefCell::new(Dynamic::UNIT),
        });
        handlers.insert(source.file.clone(), Rc::downgrade(&handler));
        handler
    }

    /// Whether connections use this file with another source than this.
    pub fn is_outdated(&self, source: &Source) -> bool {
        let handler = self
            .handlers
            .borrow()
            .get(&source.file)
            .and_then(Weak::upgrade);
        handler.is_some_and(|handler| handler.version.get() != source.version)
    }

    /// The handler of a source's file if connections use it, with this source as its newest.
    pub(super) fn in_use(&self, source: &Arc<Source>) -> Option<Rc<Handler>> {
        let handler = self
            .handlers
            .borrow()
            .get(&source.file)
            .and_then(Weak::upgrade)?;
        handler.replace(source);
        Some(handler)
    }

    /// Once a second: memory of deep calls and handlers without connections are given back.
    pub fn tick(&self) {
        self.fibers.trim();
        self.handlers
            .borrow_mut()
            .retain(|_, handler| handler.strong_count() > 0);
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
        let compiled = Program::compile(&self.engine, &source, &self.limits);
        self.loading.set(false);
        match compiled {
            Ok(program) => *self.program.borrow_mut() = Some(Rc::new(program)),
            // It compiled where it was checked, so this is about this run of its top level. What serves goes on.
            Err(fault) => {
                let report = format_args!("\n{fault}\n");
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

    /// A connection's `this` for a hook; `()` is one without properties.
    pub(super) fn unpack_state(&self, state: Dynamic) -> Dynamic {
        let state = if state.is_unit() {
            self.spare.take()
        } else {
            state
        };
        if state.is_unit() {
            Dynamic::from_map(rhai::Map::new())
        } else {
            state
        }
    }

    /// A connection's `this` between hooks.
    pub(super) fn pack_state(&self, state: Dynamic) -> Dynamic {
        if !state.is_shared() && state.as_map_ref().is_ok_and(|map| map.is_empty()) {
            *self.spare.borrow_mut() = state;
            return Dynamic::UNIT;
        }
        state
    }

    /// Whether the newest source serves.
    pub(super) fn is_current(&self) -> bool {
        let program = self.program.borrow();
        program
            .as_ref()
            .is_some_and(|program| program.source.version == self.version.get())
    }

    /// Whether a program serves.
    pub(super) fn is_loaded(&self) -> bool {
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
