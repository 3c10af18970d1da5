//! Fibers: calls on a stack of their own, where they may wait without blocking their thread.
//!
//! In: a call. Out: what it returns, or what it [waits](Wait) for; then it is resumed with the
//! answer. Stacks are large (`stack` says why that is enough): they are address space, of which
//! only touched pages cost memory. A fiber is kept for the next call, so that a call costs a
//! switch.

#![allow(unsafe_code, reason = "stacks; each use says what it relies on")]

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rhai::Dynamic;

use super::running;
use super::stack::STACK;
use super::wait::{Suspend, Wait, Wake};

/// Bytes at a stack's top that an idle fiber keeps; what a deeper call has touched is given back.
const KEPT: usize = 64 * 1024;
/// Idle fibers that are kept.
const IDLE: usize = 256;

enum Input<C> {
    Run(C),
    Wake(Wake),
    Exit,
}

enum Output<R> {
    Returned(R),
    Waits(Wait),
}

impl<C, R> Suspend for Yielder<Input<C>, Output<R>> {
    fn suspend(&self, wait: Wait) -> Wake {
        match Yielder::suspend(self, Output::Waits(wait)) {
            Input::Wake(wake) => wake,
            Input::Run(_) | Input::Exit => Wake::Cancelled,
        }
    }
}

/// Has the running call wait; its thread goes on with other work. Off a fiber there is nothing to
/// wait for.
pub fn wait(wait: Wait) -> Wake {
    let Some(way_out) = running::way_out() else {
        return Wake::Ready(Dynamic::UNIT);
    };
    let away = running::put_away();
    // SAFETY: the pointer is set by the coroutine's own body, whose yielder lives as long as the
    // coroutine, and it is put away whenever the thread leaves that coroutine: here the thread is
    // on its stack.
    let wake = unsafe { way_out.as_ref() }.suspend(wait);
    running::take_up(away);
    wake
}

/// A fiber that waits.
pub struct Fiber<C, R> {
    coroutine: Coroutine<Input<C>, Output<R>, ()>,
    /// The lowest address that an idle fiber keeps, and where its stack begins.
    idle_from: usize,
    lowest: usize,
}

/// Result of running a fiber up to its end or its next wait.
pub enum Step<C, R> {
    /// The call is done; the fiber is back in the pool.
    Returned(R),
    /// The fiber has yielded and waits for this.
    Waits(Fiber<C, R>, Wait),
}

/// A pool of fibers for calls `C` that return `R`.
pub struct Fibers<C: 'static, R: 'static> {
    idle: RefCell<Vec<Fiber<C, R>>>,
    live: Cell<usize>,
    max: usize,
    run: fn(C) -> R,
}

impl<C, R> Fibers<C, R> {
    /// A pool of at most `max` fibers, each of which runs calls with `run`.
    pub fn new(max: usize, run: fn(C) -> R) -> Self {
        Self {
            idle: RefCell::default(),
            live: Cell::new(0),
            max,
            run,
        }
    }

    /// Calls that have not ended.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// Whether a call would find a fiber now.
    pub fn is_free(&self) -> bool {
        self.live.get() < self.max
    }

    /// Runs a call up to its end or its first wait. The error is the system's, when it has no stack
    /// to give.
    pub fn run(&self, call: C) -> io::Result<Step<C, R>> {
        let idle = self.idle.borrow_mut().pop();
        let fiber = match idle {
            Some(fiber) => fiber,
            None => self.create()?,
        };
        self.live.set(self.live.get() + 1);
        Ok(self.go(fiber, Input::Run(call)))
    }

    /// Lets a fiber go on.
    pub fn resume(&self, fiber: Fiber<C, R>, wake: Wake) -> Step<C, R> {
        self.go(fiber, Input::Wake(wake))
    }

    fn go(&self, mut fiber: Fiber<C, R>, input: Input<C>) -> Step<C, R> {
        let result = fiber.coroutine.resume(input);
        match result {
            CoroutineResult::Yield(Output::Waits(wait)) => Step::Waits(fiber, wait),
            CoroutineResult::Yield(Output::Returned(returned)) => {
                running::end();
                self.live.set(self.live.get() - 1);
                self.keep(fiber);
                Step::Returned(returned)
            }
            CoroutineResult::Return(()) => {
                unreachable!("a fiber ends only when its pool lets it exit")
            }
        }
    }

    fn keep(&self, mut fiber: Fiber<C, R>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE {
            idle.push(fiber);
        } else {
            fiber.coroutine.resume(Input::Exit);
        }
    }

    fn create(&self) -> io::Result<Fiber<C, R>> {
        let stack = DefaultStack::new(STACK)?;
        let (base, limit) = (stack.base().get(), stack.limit().get());
        let run = self.run;
        let coroutine = Coroutine::with_stack(stack, move |yielder, mut input| {
            while let Input::Run(call) = input {
                let way_out: &dyn Suspend = yielder;
                running::begin(NonNull::from(way_out));
                let returned = run(call);
                input = yielder.suspend(Output::Returned(returned));
            }
        });
        Ok(Fiber {
            coroutine,
            idle_from: base - KEPT,
            lowest: limit,
        })
    }

    /// Gives back the memory that deep calls have touched on idle stacks. For the worker's tick.
    pub fn trim(&self) {
        for fiber in &*self.idle.borrow() {
            // The lowest page is the guard.
            let from = fiber.lowest + page_size();
            // SAFETY: the range lies in the mapping of this fiber's stack, page-aligned, and below
            // every live frame: an idle fiber stands in its outermost loop, which uses far less
            // than `KEPT` bytes.
            unsafe {
                libc::madvise(
                    from as *mut libc::c_void,
                    fiber.idle_from - from,
                    libc::MADV_DONTNEED,
                )
            };
        }
    }
}

impl<C, R> Drop for Fibers<C, R> {
    fn drop(&mut self) {
        for fiber in self.idle.get_mut() {
            fiber.coroutine.resume(Input::Exit);
        }
    }
}

fn page_size() -> usize {
    // SAFETY: it reads a constant of the system.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}
