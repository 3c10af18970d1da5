//! A worker's scripts: its compiler, its fibers, and the handlers it has compiled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::Limits;
use super::api::log;
use super::begun::Begun;
use super::call::{self, Call, Return};
use super::compiler::Compiler;
use super::fault::report;
use super::handler::Handler;
use super::hook_call::Boxes;
use super::hooks;
use super::peers::Peers;
use crate::hub::{Letters, Newcomers, Seat};
use crate::local::Turns;
use crate::machine::fiber::Fibers;
use crate::machine::heap;
use crate::machine::host::Host;
use crate::machine::source::Source;
use crate::observe::Flood;
use crate::observe::event::Event;
use crate::observe::metrics::Meters;

/// One worker's script machine.
pub struct Runtime {
    pub(super) fibers: Fibers<Call, Return>,
    /// For the next call.
    pub(super) boxes: Boxes,
    /// For scripts that compute.
    pub(super) turns: Turns,
    /// For hooks that find no fiber.
    pub(super) freed: Turns,
    pub(super) compiler: Rc<Compiler>,
    limits: Rc<Limits>,
    dev: bool,
    meters: Rc<Meters>,
    /// Which handlers have begun, where several workers serve them.
    pub(super) begun: Option<Arc<Begun>>,
    /// Hooks that wait in `receive`.
    receiving: Cell<usize>,
    /// Where topics are reached from.
    seat: Option<Arc<Seat>>,
    /// Connections that have just subscribed, for whoever delivers.
    pub newcomers: Rc<Newcomers>,
    /// Hooks that may not wait, by what they were to do.
    too_many: RefCell<Flood<&'static str>>,
    /// Those of a developer's seat.
    pub peers: Option<Peers>,
    /// By file. One that is gone is found again by the connections that are left when it comes
    /// back.
    handlers: RefCell<HashMap<String, Known>>,
}

/// Seconds that a handler is kept when its last connection has ended: one connection after the
/// other would compile it anew.
const KEEP: u32 = 10;

struct Known {
    handler: Rc<Handler>,
    /// Seconds for which no connection has used it.
    idle: u32,
}

impl Runtime {
    /// A machine for scripts of this host.
    pub fn new(host: &Host) -> Self {
        let limits = host.settings.limits;
        Self {
            fibers: Fibers::new(limits.fibers, limits.stacks, call::run),
            boxes: Boxes::default(),
            turns: Turns::default(),
            freed: Turns::default(),
            compiler: Rc::new(Compiler::new(host)),
            limits: Rc::new(limits),
            dev: host.settings.dev,
            meters: Meters::here(),
            begun: host.service(),
            receiving: Cell::new(0),
            seat: host.service(),
            newcomers: Rc::default(),
            too_many: RefCell::new(Flood::lines(1)),
            peers: host.settings.dev.then(Peers::default),
            handlers: RefCell::default(),
        }
    }

    /// The number of its worker.
    pub fn worker(&self) -> usize {
        self.seat.as_ref().map_or(0, |seat| seat.worker)
    }

    /// What other versions of a file have said about topics holds no more; without a version, what
    /// this one has.
    pub(super) fn retire_topics(&self, file: &str, version: Option<u64>) {
        if let Some(seat) = &self.seat {
            seat.hub.retire(file, version);
        }
    }

    /// Whether the hook that runs may wait, for anything but its turn to compute.
    pub(super) fn may_wait(&self) -> bool {
        let live = self.fibers.live();
        if live <= self.limits.waiting {
            return self.has_room_for_frames();
        }
        if self.too_many.borrow_mut().admits(&"wait") {
            Event::HooksWait { live }.tell();
        }
        false
    }

    /// Whether another hook may wait in `receive`.
    pub(super) fn may_receive(&self) -> bool {
        if self.receiving.get() < self.limits.receiving {
            return self.has_room_for_frames();
        }
        if self.too_many.borrow_mut().admits(&"wait in receive()") {
            let receiving = self.receiving.get();
            Event::LoopsWait { receiving }.tell();
        }
        false
    }

    /// Whether hooks that wait may have as much on their stacks as they have, with the one that
    /// would wait, too.
    fn has_room_for_frames(&self) -> bool {
        let bytes = self.fibers.waiting();
        if bytes <= self.limits.frames {
            return true;
        }
        if self.too_many.borrow_mut().admits(&"keep their stacks") {
            Event::FramesWait { bytes }.tell();
        }
        false
    }

    /// A hook begins to wait in `receive`, or does so no more.
    pub(super) fn receives(&self, begins: bool) {
        let now = self.receiving.get();
        self.receiving.set(if begins { now + 1 } else { now - 1 });
    }

    /// Hooks that wait now, if none runs.
    pub fn waiting(&self) -> usize {
        self.fibers.live()
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
        let meter = self.meters.handler(&source.file, hooks::metered());
        let letters = Letters::new(&self.newcomers);
        let handler = Handler::new(
            &self.compiler,
            &self.limits,
            self.dev,
            source,
            meter,
            letters,
        );
        let handler = Rc::new(handler);
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
        known.is_some_and(|known| known.handler.version() != source.version)
    }

    /// The handler of a source's file if connections use it, or have of late, with this source as
    /// its newest.
    pub(super) fn in_use(&self, source: &Arc<Source>) -> Option<Rc<Handler>> {
        let handlers = self.handlers.borrow();
        let handler = Rc::clone(&handlers.get(&source.file)?.handler);
        handler.replace(source);
        Some(handler)
    }

    /// Once a second: memory of deep calls and what nobody uses any more is given back, and faults
    /// that were met many times are summed up, and so are lines of scripts that were too many.
    pub fn tick(&self) {
        report::tick();
        log::tick();
        self.fibers.trim();
        heap::tidy();
        self.too_many.borrow_mut().tick(|what, more| {
            Event::HooksWaitMore { more, what }.tell();
        });
        self.handlers.borrow_mut().retain(|_, known| {
            let is_used = Rc::strong_count(&known.handler) > 1;
            known.idle = if is_used { 0 } else { known.idle + 1 };
            known.idle < KEEP
        });
        self.compiler.tidy();
    }
}
