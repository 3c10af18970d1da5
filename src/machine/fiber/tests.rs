//! Fibers that wait by the hundred on a few stacks, in any order.

use super::*;

/// What a test's call is to do: wait so many times, so deep, beginning with this number.
struct Order {
    seed: u64,
    waits: u32,
    depth: u32,
    /// Counts those that have not been dropped.
    _alive: Rc<()>,
}

type Pool = Fibers<Order, u64>;
type Held = Fiber<Order, u64>;

/// What a call that was not disturbed returns.
fn expected(seed: u64, waits: u32, depth: u32) -> u64 {
    let below = match depth {
        0 => 0,
        _ => expected(seed + 1, waits, depth - 1),
    };
    (0..64).fold(below, |sum, index| sum.wrapping_mul(31) + seed + index) + u64::from(waits)
}

/// The same, with a wait in the deepest call, among values that lie on the stack and point there.
#[inline(never)]
fn work(seed: u64, waits: u32, depth: u32, alive: &Rc<()>) -> u64 {
    let numbers: [u64; 64] = std::array::from_fn(|index| seed + index as u64);
    let numbers = black_box(&numbers);
    let alive = Rc::clone(alive);
    let below = if depth == 0 {
        for _ in 0..waits {
            if matches!(wait(Wait::Slice), Wake::Cancelled) {
                return 0;
            }
        }
        0
    } else {
        work(seed + 1, waits, depth - 1, &alive)
    };
    let sum = numbers.iter();
    sum.fold(below, |sum, number| sum.wrapping_mul(31) + number) + u64::from(waits)
}

fn run(order: Order) -> u64 {
    work(order.seed, order.waits, order.depth, &order._alive)
}

fn order(random: &mut fastrand::Rng, alive: &Rc<()>) -> Order {
    Order {
        seed: random.u64(..1 << 20),
        waits: random.u32(1..6),
        depth: random.u32(..12),
        _alive: Rc::clone(alive),
    }
}

/// Begins so many calls; all of them wait.
fn begin(pool: &Pool, count: usize, seed: u64, alive: &Rc<()>) -> Vec<(Held, u64)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut waiting = Vec::new();
    for _ in 0..count {
        let order = order(&mut random, alive);
        let expected = expected(order.seed, order.waits, order.depth);
        let Step::Waits(fiber, Wait::Slice) = pool.run(order).expect("a stack") else {
            panic!("it waits at least once");
        };
        waiting.push((fiber, expected));
    }
    waiting
}

#[test]
fn calls_that_share_stacks_find_theirs_as_they_left_it() {
    for (stacks, count) in [(1, 50), (3, 500), (200, 500), (1000, 300)] {
        let pool = Pool::new(1000, stacks, run);
        let alive = Rc::new(());
        let mut waiting = begin(&pool, count, stacks as u64, &alive);
        let (mapped, away) = pool.stacks.borrow().count();
        assert_eq!(
            (mapped, away),
            (stacks.min(count), count - stacks.min(count))
        );
        let mut random = fastrand::Rng::with_seed(7);
        while !waiting.is_empty() {
            let (fiber, expected) = waiting.swap_remove(random.usize(..waiting.len()));
            match pool.resume(fiber, Wake::Ready(Dynamic::UNIT)) {
                Step::Waits(fiber, _) => waiting.push((fiber, expected)),
                Step::Returned(sum) => assert_eq!(sum, expected),
            }
            if random.u32(..20) == 0 {
                pool.trim();
            }
        }
        assert_eq!((pool.live(), Rc::strong_count(&alive)), (0, 1));
    }
}

#[test]
fn a_tick_puts_away_what_waits_and_nothing_is_lost() {
    let pool = Pool::new(100, 100, run);
    let alive = Rc::new(());
    let waiting = begin(&pool, 100, 1, &alive);
    pool.trim();
    assert_eq!(pool.stacks.borrow().count(), (100, 0), "they have just run");
    pool.trim();
    assert_eq!(pool.stacks.borrow().count(), (100, 100));
    for (mut fiber, expected) in waiting {
        loop {
            match pool.resume(fiber, Wake::Ready(Dynamic::UNIT)) {
                Step::Waits(waits, _) => fiber = waits,
                Step::Returned(sum) => break assert_eq!(sum, expected),
            }
        }
    }
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn a_call_that_nobody_waits_with_is_unwound_from_wherever_its_frames_are() {
    let pool = Pool::new(100, 3, run);
    let alive = Rc::new(());
    let mut waiting = begin(&pool, 60, 2, &alive);
    let kept = waiting.split_off(30);
    drop(waiting);
    pool.trim();
    pool.trim();
    for (fiber, _) in kept {
        assert!(matches!(
            pool.resume(fiber, Wake::Cancelled),
            Step::Returned(_)
        ));
    }
    assert_eq!(Rc::strong_count(&alive), 1, "everything was dropped");
    // Those that were dropped have left their places; the others are kept for the next calls.
    let (stacks, away) = pool.stacks.borrow().count();
    let idle = pool.idle.borrow().len();
    assert_eq!((stacks, away + 3, idle), (3, 30, 30));
}

#[test]
fn a_call_begins_where_others_wait() {
    let pool = Pool::new(10, 1, run);
    let alive = Rc::new(());
    let waiting = begin(&pool, 1, 3, &alive);
    for seed in 0..3 {
        let (fiber, expected) = begin(&pool, 1, seed, &alive).remove(0);
        let mut step = pool.resume(fiber, Wake::Ready(Dynamic::UNIT));
        while let Step::Waits(fiber, _) = step {
            step = pool.resume(fiber, Wake::Ready(Dynamic::UNIT));
        }
        assert!(matches!(step, Step::Returned(sum) if sum == expected));
    }
    assert_eq!(pool.stacks.borrow().count().0, 1);
    drop(waiting);
    assert_eq!(Rc::strong_count(&alive), 1);
}
