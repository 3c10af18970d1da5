//! Linearizability of a single object: whether there is an order of the calls, each between its
//! start and its end, in which a plain model gives what was answered (Herlihy and Wing, 1990; the
//! search is that of Wing and Gong, 1993, which remembers where it has been).

use std::collections::HashSet;
use std::hash::Hash;

/// A call and its answer.
#[derive(Debug, Clone)]
pub struct Call<C, A> {
    pub what: C,
    /// None where the connection was lost before: it may have been carried out or not, at any time.
    pub answer: Option<A>,
    /// Moments of one clock, which all calls share.
    pub start: u64,
    pub end: u64,
}

/// What an object does, one call after another.
pub trait Model: Clone + Eq + Hash + Default {
    type Call;
    type Answer: PartialEq;

    /// Carries out a call, and gives the answer.
    fn apply(&mut self, call: &Self::Call) -> Self::Answer;
}

/// Whether the calls can have been carried out one after another.
pub fn is_linearizable<M: Model>(calls: &[Call<M::Call, M::Answer>]) -> bool {
    assert!(calls.len() <= 128, "one bit each");
    let mut seen = HashSet::new();
    let mut stack = vec![(0_u128, M::default())];
    let must: u128 = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.answer.is_some())
        .fold(0, |all, (place, _)| all | 1 << place);
    while let Some((done, model)) = stack.pop() {
        if done & must == must {
            return true;
        }
        let left = || {
            let all = calls.iter().enumerate();
            all.filter(move |(place, _)| done & 1 << place == 0)
        };
        // Nothing can come before what had ended when it began.
        let Some(first_end) = left()
            .filter(|(_, call)| call.answer.is_some())
            .map(|(_, call)| call.end)
            .min()
        else {
            return true;
        };
        for (place, call) in left().filter(|(_, call)| call.start <= first_end) {
            let mut next = model.clone();
            let answer = next.apply(&call.what);
            if call.answer.as_ref().is_some_and(|told| *told != answer) {
                continue;
            }
            let state = (done | 1 << place, next);
            if seen.insert(state.clone()) {
                stack.push(state);
            }
        }
    }
    false
}

#[test]
fn the_search_knows_right_from_wrong() {
    #[derive(Clone, PartialEq, Eq, Hash, Default)]
    struct Counter(i64);
    impl Model for Counter {
        type Call = i64;
        type Answer = i64;
        fn apply(&mut self, call: &i64) -> i64 {
            self.0 += call;
            self.0
        }
    }
    let call = |what, answer, start, end| Call {
        what,
        answer,
        start,
        end,
    };
    let both = |second| {
        [
            call(1, Some(1), 0, 10),
            call(1, Some(second), 5, 20),
            call(0, Some(2), 30, 40),
        ]
    };
    assert!(is_linearizable::<Counter>(&both(2)));
    assert!(!is_linearizable::<Counter>(&both(1)), "one is lost");
    // In this order of time it cannot be.
    let late = [call(1, Some(2), 0, 10), call(1, Some(1), 20, 30)];
    assert!(!is_linearizable::<Counter>(&late));
    // What nobody was told may be so or so.
    for sum in [1, 2] {
        let unknown = [call(1, None, 0, 10), call(1, Some(sum), 20, 30)];
        assert!(is_linearizable::<Counter>(&unknown), "{sum}");
    }
    let unknown = [call(1, None, 25, 30), call(1, Some(2), 0, 10)];
    assert!(!is_linearizable::<Counter>(&unknown), "not before it began");
}
