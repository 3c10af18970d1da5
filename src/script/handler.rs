//! A file's handler on one worker: the program that serves, and the source that should.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rhai::Dynamic;

use super::Limits;
use super::compiler::Compiler;
use super::hooks::{self, Hook};
use super::peer::Place;
use super::program::Program;
use super::state;
use crate::hub::Letters;
use crate::machine::budget::Budget;
use crate::machine::meter;
use crate::machine::source::Source;
use crate::observe::apart;
use crate::observe::event::{Event, text};
use crate::observe::metrics::{HandlerMeter, Open};

/// One file's handler on one worker: the program that serves, and the source that should.
#[derive(Debug)]
pub struct Handler {
    pub(super) limits: Rc<Limits>,
    /// Whether its author watches: see [`Settings::dev`](super::Settings::dev).
    pub(super) dev: bool,
    compiler: Rc<Compiler>,
    newest: RefCell<Arc<Source>>,
    /// The newest source's version, at hand for every hook.
    version: Cell<u64>,
    program: RefCell<Option<Rc<Program>>>,
    /// The `on_load` of its file has run once, or was waited for long enough.
    pub(super) has_begun: Cell<bool>,
    /// A fiber is compiling; until it is done the others use what serves.
    loading: Cell<bool>,
    /// What it counts for the metrics.
    pub(super) meter: Rc<HandlerMeter>,
    /// What topics have for the hooks of its connections.
    pub(super) letters: Rc<Letters>,
    /// The place that the last connection had.
    place: RefCell<Option<Rc<Place>>>,
    /// A `this` without properties that no connection uses now.
    spare: RefCell<Dynamic>,
}

impl Handler {
    /// A handler that has not been compiled yet.
    pub(super) fn new(
        compiler: &Rc<Compiler>,
        limits: &Rc<Limits>,
        dev: bool,
        source: &Arc<Source>,
        meter: Rc<HandlerMeter>,
        letters: Letters,
    ) -> Self {
        Self {
            limits: Rc::clone(limits),
            dev,
            compiler: Rc::clone(compiler),
            newest: RefCell::new(Arc::clone(source)),
            version: Cell::new(source.version),
            program: RefCell::new(None),
            has_begun: Cell::new(false),
            loading: Cell::new(false),
            meter,
            letters: Rc::new(letters),
            place: RefCell::new(None),
            spare: RefCell::new(Dynamic::UNIT),
        }
    }

    /// What a run of this hook may use up between two waits.
    pub(super) fn budget(&self, hook: Hook) -> Budget {
        match hook {
            Hook::OnClose => Budget {
                time: self.limits.close_budget,
                ..self.compiler.budget()
            },
            _ => self.compiler.budget(),
        }
    }

    /// This source is its newest from now on.
    pub(super) fn replace(&self, source: &Arc<Source>) {
        self.version.set(source.version);
        *self.newest.borrow_mut() = Arc::clone(source);
    }

    /// The program that serves, compiled on first use; `None` if even that fails, which has been
    /// reported.
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
        meter::start(self.compiler.budget());
        let compiled = Program::compile(&self.compiler, &source);
        self.loading.set(false);
        match compiled {
            Ok(program) => {
                if program.has(Hook::OnPublish) {
                    self.letters.see_messages();
                }
                if program.has(Hook::OnPresence) {
                    self.letters.see_people();
                }
                if program.has(Hook::OnGap) {
                    self.letters.see_gaps();
                }
                *self.program.borrow_mut() = Some(Rc::new(program));
            }
            // It compiled where it was checked, so this is about this run of its top level. What
            // serves goes on.
            Err(fault) => {
                let report = fault.in_log(&[]);
                let report = text(&report);
                self.meter.failed(hooks::LOAD);
                apart::keep(|| fault.to_string());
                Event::LoadFault {
                    file: &source.file,
                    report,
                    plain: &fault,
                }
                .tell();
                if let Some(program) = &*self.program.borrow() {
                    self.replace(&program.source);
                }
            }
        }
    }

    /// A place to share between connections: most of a handler's are the same.
    pub fn place(&self, mut place: Place) -> Rc<Place> {
        place.meter = Some(Rc::clone(&self.meter));
        place.letters = Rc::clone(&self.letters);
        let mut last = self.place.borrow_mut();
        match &*last {
            Some(known) if **known == place => Rc::clone(known),
            _ => Rc::clone(last.insert(Rc::new(place))),
        }
    }

    /// Counts a connection of it, until the result is dropped.
    pub fn opened(&self) -> Open {
        self.meter.opened()
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

    /// The newest source's version.
    pub(super) fn version(&self) -> u64 {
        self.version.get()
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
