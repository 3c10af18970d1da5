//! Fibers: small machines with a stack of their own, on which a hook runs and may wait without blocking its worker.
//!
//! In: a [`Call`]. Out: its [`Return`], or what it [waits](Wait) for; then it is resumed with the worker's answer.
//! Stacks are large, because a script's recursion must end at Rhai's limit and never at the stack's: they are address
//! space, of which only touched pages cost memory. A fiber is kept for the next call, so that a call costs a switch.

#![allow(unsafe_code, reason = "stacks; each use says what it relies on")]

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::time::Duration;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rhai::Dynamic;

use super::call::{Call, Return};

/// Bytes of address space of one stack. Nested data is freed by recursion, about 220 bytes a level (measured with a
/// chain of closures, which takes at least 3 operations a level): this is enough for the operations of one run.
pub const STACK: usize = 256 * 1024 * 1024;
/// Bytes at a stack's top that an idle fiber keeps; what a deeper call has touched is given back.
const KEPT: usize = 64 * 1024;
/// Idle fibers that are kept.
const IDLE: usize = 256;

/// What a fiber waits for.
#[derive(Debug)]
pub enum Wait {
    /// This much time.
    Sleep(Duration),
    /// Its turn to compute on, since it has used up a slice of time.
    Slice,
    /// Room in the connection's send queue.
    Drained,
    /// The connection's next message, for so long.
    Receive(Option<Duration>),
    /// So many bytes behind the request head, for so long.
    Bytes(usize, Option<Duration>),
}

/// Why a wait is over.
#[derive(Debug)]
pub enum Wake {
    /// What was waited for has come: a message, or `()`.
    Ready(Dynamic),
    /// The hook must end at once.
    Cancelled,
}

enum Input {
    Run(Call),
    Wake(Wake),
    Exit,
}

enum Output {
    Returned(Return),
    Waits(Wait),
}

thread_local! {
    /// The way out of the fiber that this thread is running on, if it is on one.
    static CURRENT: Cell<Option<NonNull<Yielder<Input, Output>>>> = const { Cell::new(None) };
}

/// Has the current fiber wait; the worker goes on with other work. Off a fiber there is nothing to wait for.
pub fn wait(wait: Wait) -> Wake {
    let Some(yielder) = CURRENT.get() else {
        return Wake::Ready(Dynamic::UNIT);
    };
    // SAFETY: the pointer is set by the coroutine's own body, whose yielder lives as long as the coroutine, and it is
    // unset whenever the thread leaves that coroutine: here the thread is on its stack.
    let input = unsafe { yielder.as_ref() }.suspend(Output::Waits(wait));
    CURRENT.set(Some(yielder));
    match input {
        Input::Wake(wake) => wake,
        Input::Run(_) | Input::Exit => Wake::Cancelled,
    }
}

/// A fiber that waits.
pub struct Fiber {
    coroutine: Coroutine<Input, Output, ()>,
    /// The lowest address that an idle fiber keeps, and where its stack begins.
    idle_from: usize,
    lowest: usize,
}

/// How far a fiber came.
pub enum Step {
    /// The call is done; the fiber is back in the pool.
    Returned(Return),
    /// It waits.
    Waits(Fiber, Wait),
}

/// A worker's fibers.
pub struct Fibers {
    idle: RefCell<Vec<Fiber>>,
    live: Cell<usize>,
    max: usize,
    run: fn(Call) -> Return,
}

impl Fibers {
    /// A pool of at most `max` fibers, each of which runs calls with `run`.
    pub fn new(max: usize, run: fn(Call) -> Return) -> Self {
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

    /// Runs a call up to its end or its first wait. The error is the system's, when it has no stack to give.
    pub fn run(&self, call: Call) -> io::Result<Step> {
        let idle = self.idle.borrow_mut().pop();
        let fiber = match idle {
            Some(fiber) => fiber,
            None => self.create()?,
        };
        self.live.set(self.live.get() + 1);
        Ok(self.go(fiber, Input::Run(call)))
    }

    /// Lets a fiber go on.
    pub fn resume(&self, fiber: Fiber, wake: Wake) -> Step {
        self.go(fiber, Input::Wake(wake))
    }

    fn go(&self, mut fiber: Fiber, input: Input) -> Step {
        let result = fiber.coroutine.resume(input);
        CURRENT.set(None);
        match result {
            CoroutineResult::Yield(Output::Waits(wait)) => Step::Waits(fiber, wait),
            CoroutineResult::Yield(Output::Returned(returned)) => {
                self.live.set(self.live.get() - 1);
                self.keep(fiber);
                Step::Returned(returned)
            }
            CoroutineResult::Return(()) => {
                unreachable!("a fiber ends only when its pool lets it exit")
            }
        }
    }

    fn keep(&self, mut fiber: Fiber) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE {
            idle.push(fiber);
        } else {
            fiber.coroutine.resume(Input::Exit);
        }
    }

    fn create(&self) -> io::Result<Fiber> {
        let stack = DefaultStack::new(STACK)?;
        let (base, limit) = (stack.base().get(), stack.limit().get());
        let run = self.run;
        let coroutine = Coroutine::with_stack(stack, move |yielder, mut input| {
            while let Input::Run(call) = input {
                CURRENT.set(Some(NonNull::from(yielder)));
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
            // SAFETY: the range lies in the mapping of this fiber's stack, page-aligned, and below every live frame:
            // an idle fiber stands in its outermost loop, which uses far less than `KEPT` bytes.
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

impl Drop for Fibers {
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
