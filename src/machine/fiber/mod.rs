//! Fibers: calls on a stack of their own, where they may wait without blocking their thread.
//!
//! In: a call. Out: what it returns, or what it [waits](Wait) for; then it is resumed with the
//! answer. Stacks are large (`stack` says why that is enough): they are address space, of which
//! only touched pages cost memory, and fibers [share](stacks) them. A fiber is kept for the next
//! call, so that a call costs a switch.

#![allow(unsafe_code, reason = "stacks; each use says what it relies on")]

mod images;
mod stacks;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rhai::Dynamic;
use stacks::{Frames, Place, Stacks};

use super::running;
use super::wait::{Suspend, Wait, Wake};

/// Idle fibers that are kept.
const IDLE: usize = 256;
/// Bytes of the stack on which is measured how far a fiber reaches that leaves.
const PROBE: usize = 64 * 1024;
/// Bytes by which it is taken to reach further than was measured: registers that happened to be
/// zero.
const SLACK: usize = 64;

enum Input<C> {
    Run(C),
    Wake(Wake),
    Exit,
}

enum Output<R> {
    Returned(R),
    Waits(Wait),
}

/// What a fiber hands out when it leaves, and an address in its last frame but for corosensei's.
struct Left<R> {
    output: Output<R>,
    mark: usize,
}

type Way<C, R> = Yielder<Input<C>, Left<R>>;

/// Leaves a fiber until it is resumed. From every place by this one frame, so that it is
/// [known](reach) how far below its mark a fiber that is left reaches.
#[inline(never)]
fn leave<C, R>(way: &Way<C, R>, output: Output<R>) -> Input<C> {
    let mark = 0_u8;
    let mark = black_box(&raw const mark) as usize;
    way.suspend(Left { output, mark })
}

/// Bytes that a fiber takes below its mark when it has left: the rest of `leave`'s frame, and what
/// corosensei saves. Its own stack pointer it does not tell, so that it is measured.
fn reach<C: 'static, R: 'static>() -> io::Result<usize> {
    let stack = DefaultStack::new(PROBE)?;
    // The lowest page is the guard.
    let limit = stack.limit().get() + stacks::page_size();
    let mut fiber = Coroutine::with_stack(stack, |way: &Way<C, R>, _| {
        leave(way, black_box(Output::Waits(Wait::Slice)));
    });
    let CoroutineResult::Yield(Left { mark, .. }) = fiber.resume(Input::Exit) else {
        unreachable!("it has been left");
    };
    let is_written = |address: &usize| {
        let word = *address as *const usize;
        // SAFETY: it is an aligned address of the fiber's stack, above the guard and below its
        // mark. The mapping is new, so that what was not written is zero, and the fiber is left.
        let word = unsafe { word.read() };
        word != 0
    };
    let mut words = (limit..mark).step_by(size_of::<usize>());
    let lowest = words.find(is_written).unwrap_or(mark);
    // What is pushed last is a return address, which is not zero.
    fiber.resume(Input::Exit);
    assert!(
        lowest > limit,
        "a fiber leaves in a frame of some hundred bytes"
    );
    Ok(mark - lowest + SLACK)
}

impl<C, R> Suspend for Way<C, R> {
    fn suspend(&self, wait: Wait) -> Wake {
        match leave(self, Output::Waits(wait)) {
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
pub struct Fiber<C: 'static, R: 'static> {
    coroutine: Coroutine<Input<C>, Left<R>, (), Place>,
    frames: Rc<Frames>,
}

impl<C, R> Drop for Fiber<C, R> {
    fn drop(&mut self) {
        // A call that has not ended is unwound where it stands.
        let running = self.frames.run();
        self.coroutine.force_unwind();
        drop(running);
    }
}

/// Result of running a fiber up to its end or its next wait.
pub enum Step<C: 'static, R: 'static> {
    /// The call is done; the fiber is back in the pool.
    Returned(R),
    /// The fiber has yielded and waits for this.
    Waits(Fiber<C, R>, Wait),
}

/// A pool of fibers for calls `C` that return `R`.
pub struct Fibers<C: 'static, R: 'static> {
    idle: RefCell<Vec<Fiber<C, R>>>,
    live: Cell<usize>,
    /// Bytes on the stacks of those that wait.
    waiting: Cell<usize>,
    max: usize,
    stacks: RefCell<Stacks>,
    /// What [`reach`] has measured, once there was a fiber.
    reach: Cell<Option<usize>>,
    run: fn(C) -> R,
}

impl<C, R> Fibers<C, R> {
    /// A pool of at most `max` fibers on at most `stacks` stacks, each of which runs calls with
    /// `run`.
    pub fn new(max: usize, stacks: usize, run: fn(C) -> R) -> Self {
        Self {
            idle: RefCell::default(),
            live: Cell::new(0),
            waiting: Cell::new(0),
            max,
            stacks: RefCell::new(Stacks::new(stacks)),
            reach: Cell::new(None),
            run,
        }
    }

    /// Calls that have not ended.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// Bytes that calls which wait have on their stacks, wherever these lie.
    pub fn waiting(&self) -> usize {
        self.waiting.get()
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
        self.waiting.set(self.waiting.get() - fiber.frames.bytes());
        self.go(fiber, Input::Wake(wake))
    }

    fn go(&self, mut fiber: Fiber<C, R>, input: Input<C>) -> Step<C, R> {
        let running = fiber.frames.run();
        let result = fiber.coroutine.resume(input);
        drop(running);
        let CoroutineResult::Yield(Left { output, mark }) = result else {
            unreachable!("a fiber ends only when its pool lets it exit")
        };
        fiber
            .frames
            .left(mark - self.reach.get().unwrap_or_default());
        match output {
            Output::Waits(wait) => {
                self.waiting.set(self.waiting.get() + fiber.frames.bytes());
                Step::Waits(fiber, wait)
            }
            Output::Returned(returned) => {
                running::end();
                self.live.set(self.live.get() - 1);
                self.keep(fiber);
                Step::Returned(returned)
            }
        }
    }

    fn keep(&self, fiber: Fiber<C, R>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE {
            idle.push(fiber);
        } else {
            exit(fiber);
        }
    }

    fn create(&self) -> io::Result<Fiber<C, R>> {
        if self.reach.get().is_none() {
            self.reach.set(Some(reach::<C, R>()?));
        }
        let (frames, place) = self.stacks.borrow_mut().place()?;
        let run = self.run;
        let coroutine = Coroutine::with_stack(place, move |way: &Way<C, R>, mut input| {
            while let Input::Run(call) = input {
                let way_out: &dyn Suspend = way;
                running::begin(NonNull::from(way_out));
                let returned = run(call);
                input = leave(way, Output::Returned(returned));
            }
        });
        Ok(Fiber { coroutine, frames })
    }

    /// Gives back the memory of stacks that is not needed. For the worker's tick.
    pub fn trim(&self) {
        self.stacks.borrow().trim();
    }
}

/// An idle fiber ends.
fn exit<C, R>(mut fiber: Fiber<C, R>) {
    let running = fiber.frames.run();
    fiber.coroutine.resume(Input::Exit);
    drop(running);
}

impl<C, R> Drop for Fibers<C, R> {
    fn drop(&mut self) {
        self.idle.take().into_iter().for_each(exit);
    }
}
