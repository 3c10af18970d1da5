//! Frames that are put away: what differs from others that were.
//!
//! Fibers that wait in the same hook have nearly the same on their stacks, but for addresses: of
//! the 1,450 words of a loop in `receive` 100 to 300 differ, once those that point into the stack
//! itself are taken from where it begins. So some whole images are kept, and of each fiber one of
//! them and the words that are others.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// Whole images that are kept to compare with.
const MOST: usize = 32;

/// Those of them that frames are compared with, at some microsecond each.
const TRIED: usize = 4;

/// Words of which one bit each says something.
const GROUP: usize = u64::BITS as usize;

/// Frames of some fiber, for others to be compared with: each word less the highest address of its
/// stack, if it points there.
struct Image {
    words: Box<[usize]>,
    /// All ones for those that do, else nothing.
    inward: Box<[usize]>,
}

/// The images of a pool's fibers, the one that was of use last in front.
#[derive(Default)]
pub struct Images {
    kept: VecDeque<Rc<Image>>,
    /// Room for the words that are others.
    found: Vec<usize>,
}

/// Frames that are put away.
pub struct Away {
    like: Rc<Image>,
    /// Which words are not as there, in groups,
    others: Box<[u64]>,
    /// and they, as they were.
    words: Box<[usize]>,
}

/// A stack's addresses, its highest among them: what begins there is none of its words, but is
/// pointed to.
type Addresses = RangeInclusive<usize>;

/// A word of an image as it is on a stack that ends at this address.
fn there(word: usize, inward: usize, end: usize) -> usize {
    word.wrapping_add(end & inward)
}

impl Image {
    fn of(frames: &[usize], stack: &Addresses) -> Self {
        let inward = |word| if stack.contains(word) { usize::MAX } else { 0 };
        let inward: Box<[usize]> = frames.iter().map(inward).collect();
        let words = frames.iter().zip(&inward);
        let words = words.map(|(word, inward)| word.wrapping_sub(stack.end() & inward));
        Self {
            words: words.collect(),
            inward,
        }
    }

    /// Collects the words that are not as here, and returns which they are.
    fn others(&self, frames: &[usize], end: usize, found: &mut Vec<usize>) -> Box<[u64]> {
        found.clear();
        let own = self.words.chunks(GROUP).zip(self.inward.chunks(GROUP));
        let groups = frames.chunks(GROUP).zip(own);
        let others = groups.map(|(group, (words, inward))| {
            let mut others = 0;
            let all = group.iter().zip(words).zip(inward);
            for (index, ((is, word), inward)) in all.enumerate() {
                others |= u64::from(*is != there(*word, *inward, end)) << index;
            }
            found.extend(ones(others).filter_map(|index| group.get(index)));
            others
        });
        others.collect()
    }
}

/// The places of the ones in a group.
fn ones(mut group: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let first = (group != 0).then(|| group.trailing_zeros() as usize);
        group &= group.wrapping_sub(1);
        first
    })
}

impl Images {
    /// Frames as they are to be put away.
    pub fn put_away(&mut self, frames: &[usize], stack: &Addresses) -> Away {
        let mut best: Option<(usize, Away)> = None;
        let kept = self.kept.iter().enumerate();
        let alike = kept.filter(|(_, image)| image.words.len() == frames.len());
        for (index, image) in alike.take(TRIED) {
            let others = image.others(frames, *stack.end(), &mut self.found);
            let found = self.found.as_slice();
            if best
                .as_ref()
                .is_none_or(|(_, best)| found.len() < best.words.len())
            {
                let away = Away {
                    like: Rc::clone(image),
                    others,
                    words: found.into(),
                };
                best = Some((index, away));
            }
            if found.len() <= frames.len() / 8 {
                break;
            }
        }
        match best {
            Some((index, away)) if away.words.len() <= frames.len() / 4 => {
                self.kept.swap(0, index);
                away
            }
            _ => {
                let image = Rc::new(Image::of(frames, stack));
                self.kept.truncate(MOST - 1);
                self.kept.push_front(Rc::clone(&image));
                Away {
                    others: vec![0; frames.len().div_ceil(GROUP)].into(),
                    like: image,
                    words: Box::default(),
                }
            }
        }
    }
}

impl Away {
    /// Lays the frames where they were: on this stack, in as many words.
    pub fn lay(self, frames: &mut [usize], stack: &Addresses) {
        let own = self.like.words.iter().zip(&self.like.inward);
        for (place, (word, inward)) in frames.iter_mut().zip(own) {
            *place = there(*word, *inward, *stack.end());
        }
        let mut words = self.words.iter();
        for (group, others) in frames.chunks_mut(GROUP).zip(&self.others) {
            for (index, word) in ones(*others).zip(&mut words) {
                group[index] = *word;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: Addresses = 0x1000..=0x9000;
    const OTHER: Addresses = 0x1_1000..=0x1_9000;

    /// Frames of so many words: small numbers, addresses of the stack and of elsewhere, some of
    /// them drawn anew.
    fn frames(
        count: usize,
        stack: &Addresses,
        anew: u32,
        random: &mut fastrand::Rng,
    ) -> Vec<usize> {
        let mut same = fastrand::Rng::with_seed(count as u64);
        let word = |from: &mut fastrand::Rng| match from.u32(..4) {
            0 => from.usize(..100),
            1 => stack.start() + from.usize(..=0x8000),
            2 => from.usize(0x1000..0x2_0000),
            _ => from.usize(..),
        };
        let words = (0..count).map(|_| {
            let usual = word(&mut same);
            if random.u32(..100) < anew {
                word(random)
            } else {
                usual
            }
        });
        words.collect()
    }

    #[test]
    fn frames_come_back_as_they_were() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut images = Images::default();
        for turn in 0..2_000 {
            let count = [0, 1, 63, 64, 65, 128, 1_000][random.usize(..7)];
            let stack = if turn % 2 == 0 { STACK } else { OTHER };
            let frames = frames(count, &stack, [0, 5, 20, 60][turn % 4], &mut random);
            let away = images.put_away(&frames, &stack);
            let mut laid = vec![usize::MAX; count];
            away.lay(&mut laid, &stack);
            assert!(laid == frames, "{count} words, turn {turn}");
            assert!(images.kept.len() <= MOST);
        }
    }

    #[test]
    fn what_is_like_others_takes_little() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut images = Images::default();
        let _ = images.put_away(&frames(1_000, &STACK, 0, &mut random), &STACK);
        let frames = frames(1_000, &OTHER, 10, &mut random);
        let away = images.put_away(&frames, &OTHER);
        // A tenth anew, and numbers that are addresses of one of the stacks by chance.
        let others = away.words.len();
        assert!((50..300).contains(&others), "{others}");
        assert_eq!(images.kept.len(), 1);
    }
}
