//! permessage-deflate: a message's bytes to compressed bytes and back. RFC 7692 section 7.2.
//!
//! Compressors and inflaters belong to a worker's [`Pool`]: one of each is enough for all of its
//! connections, because a message lends them and gives them back. What a connection keeps between
//! messages is only what it has agreed to keep: a compressor for the server's context, and the last
//! 32 KiB of what the client said for the client's.

use std::cell::{Cell, RefCell};
use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Violation;
use super::buffer::grow;
use super::extensions::{MAX_BITS, Parameters};

/// Last bytes of a sync flush, which a message leaves out: the empty stored block without its first
/// bits.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// [`TAIL`], and an empty last block, whose end shows that the message did not end within a block.
const END: [u8; 6] = [0x00, 0x00, 0xFF, 0xFF, 0x03, 0x00];
/// The compressed form of nothing, section 7.2.3.6. zlib flushes nothing twice in a row.
const EMPTY: [u8; 1] = [0x00];
/// Bytes that are inflated at once: no bomb gets further beyond a bound than that.
const STEP: usize = 16 * 1024;
/// Bytes that are compressed at once: a tenth of a millisecond, or one where it is to be as small
/// as can be.
const PIECE: usize = 16 * 1024;
/// Work that a byte to inflate counts, beside those that come out: a dozen of them make the decoder
/// build new tables.
const INPUT_WORTH: usize = 64;
/// Bytes of a buffer that is kept for the next message.
const KEPT: usize = 64 * 1024;
/// Final blocks of a message that are inflated whatever is in them; beyond that each must have had
/// its worth of bytes.
const FINAL_BLOCKS: usize = 16;
/// That worth: starting anew behind a final block copies a window of 32 KiB.
const FINAL_BLOCK_WORTH: usize = 4 * 1024;

/// A worker's pool of compressors and inflaters, made at the first use and kept.
#[derive(Default)]
pub struct Pool {
    /// One for each size of window.
    compressors: RefCell<Vec<Compressor>>,
    inflater: Cell<Option<Box<Inflater>>>,
    /// For the output of a step.
    step: RefCell<Vec<u8>>,
    /// For the output of a compressor.
    output: Cell<Vec<u8>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    /// A compressor without a memory, for these terms.
    pub fn compressor(&self, terms: &Parameters) -> Compressor {
        let mut known = self.compressors.borrow_mut();
        let bits = Compressor::bits(terms);
        match known.iter().position(|known| known.bits == bits) {
            Some(at) => known.swap_remove(at).anew(terms.level),
            None => Compressor::new(terms),
        }
    }

    /// Takes it back.
    pub fn keep_compressor(&self, compressor: Compressor) {
        let mut known = self.compressors.borrow_mut();
        if known.iter().all(|known| known.bits != compressor.bits) {
            known.push(compressor);
        }
    }

    /// An inflater for a message whose window begins with `history`.
    pub fn inflater(&self, history: Vec<u8>) -> Box<Inflater> {
        let mut inflater = self.inflater.take().unwrap_or_default();
        inflater.history = history;
        inflater.at = At::Start;
        inflater.final_blocks = 0;
        inflater
    }

    /// Compresses a message. `None`: it would have more than `most` bytes. `pause` is called now
    /// and then, and its error ends the work; the compressor is of no use then.
    pub fn compress<E>(
        &self,
        compressor: &mut Compressor,
        payload: &[u8],
        most: usize,
        mut pause: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let mut out = self.output.take();
        out.clear();
        if payload.is_empty() {
            out.extend(EMPTY);
            return Ok((most > 0).then_some(out));
        }
        let mut pieces = payload.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            let went_well = compressor.compress(piece, is_last, &mut out);
            if !went_well || out.len() > most.saturating_add(TAIL.len()) {
                self.keep_output(out);
                return Ok(None);
            }
            if !is_last {
                pause()?;
            }
        }
        match out.strip_suffix(&TAIL).map(<[u8]>::len) {
            Some(length) => {
                out.truncate(length);
                Ok(Some(out))
            }
            None => Ok(None),
        }
    }

    /// Takes the buffer of a compressed message back.
    pub fn keep_output(&self, mut out: Vec<u8>) {
        out.clear();
        out.shrink_to(KEPT);
        self.output.set(out);
    }

    /// Inflates a piece of a message behind what is in `out` already, which gets no longer than
    /// `limit`. `is_valid` is shown what is added, step by step. Gives the work that it was, about
    /// the bytes that were written here and there.
    pub fn inflate(
        &self,
        inflater: &mut Inflater,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
        mut is_valid: impl FnMut(&[u8]) -> bool,
    ) -> Result<usize, Violation> {
        let mut step = self.step.borrow_mut();
        step.resize(STEP, 0);
        inflater.inflate(input, &mut step, out, |piece, out| {
            if piece.len() > limit - out.len().min(limit) {
                return Err(Violation::TooBig { limit });
            }
            if !is_valid(piece) {
                return Err(Violation::InvalidUtf8);
            }
            grow(out, piece.len(), limit);
            out.extend_from_slice(piece);
            Ok(())
        })
    }

    /// Checks that a message may end here, of which `out` is all, and gives the history that the
    /// next one begins with: `window` bytes at the most.
    pub fn finish(
        &self,
        mut inflater: Box<Inflater>,
        out: &mut Vec<u8>,
        window: usize,
    ) -> Result<Vec<u8>, Violation> {
        inflater.end(&mut self.step.borrow_mut(), out)?;
        let mut history = std::mem::take(&mut inflater.history);
        self.inflater.set(Some(inflater));
        if out.len() >= window {
            history.clear();
            history.shrink_to(window);
        }
        let said = &out[out.len() - window.min(out.len())..];
        let kept = history.len().min(window - said.len());
        history.drain(..history.len() - kept);
        history.reserve_exact(said.len());
        history.extend_from_slice(said);
        Ok(history)
    }
}

/// DEFLATE compressor, used for one message after another.
#[derive(Debug)]
pub struct Compressor {
    zlib: Compress,
    bits: u8,
    level: u32,
}

impl Compressor {
    /// One without a memory, for these terms.
    fn new(terms: &Parameters) -> Self {
        let (bits, level) = (Self::bits(terms), terms.level);
        Self {
            zlib: Compress::new_with_window_bits(Compression::new(level), false, bits),
            bits,
            level,
        }
    }

    /// zlib has no window of 8 bits, but its window of 9 bits will do: of those 512 bytes it keeps
    /// 262 to look ahead, and so it never refers to anything further back than 250, which a peer's
    /// 256 bytes hold.
    fn bits(terms: &Parameters) -> u8 {
        terms.server_bits.max(9)
    }

    /// The same without its memory.
    fn anew(mut self, level: u32) -> Self {
        self.zlib.reset();
        // Nothing is in it that a change of level would have to flush.
        if self.level != level && self.zlib.set_level(Compression::new(level)).is_ok() {
            self.level = level;
        }
        self
    }

    /// Compresses onto the end of `out`, to the last byte if this is the last piece; `false` if
    /// that cannot be.
    fn compress(&mut self, piece: &[u8], is_last: bool, out: &mut Vec<u8>) -> bool {
        let flush = if is_last {
            FlushCompress::Sync
        } else {
            FlushCompress::None
        };
        let mut rest = piece;
        loop {
            // As much as a piece shrinks to as a rule, and more than the marker of a flush has.
            out.reserve(rest.len() / 2 + 64);
            let (read, written) = (self.zlib.total_in(), out.len());
            if self.zlib.compress_vec(rest, out, flush).is_err() {
                return false;
            }
            let read = (self.zlib.total_in() - read) as usize;
            rest = &rest[read..];
            if rest.is_empty() && out.len() < out.capacity() {
                return true;
            }
            if read == 0 && out.len() == written {
                return false;
            }
        }
    }
}

/// DEFLATE decompressor, used for one message after another. Its window is the largest there is,
/// which holds every smaller one.
#[derive(Debug)]
pub struct Inflater {
    zlib: Decompress,
    at: At,
    /// Final blocks of this message so far.
    final_blocks: usize,
    /// Bytes of the window before this message, which the peer may refer to.
    history: Vec<u8>,
}

/// Position of an [`Inflater`] within a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before its first byte.
    Start,
    /// Behind some, perhaps within a block.
    Within,
    /// Behind a final block: zlib takes that for the end, RFC 7692 section 7.2.1 does not.
    FinalBlock,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            zlib: Decompress::new(false),
            at: At::Start,
            final_blocks: 0,
            history: Vec::new(),
        }
    }
}

impl Inflater {
    /// Gives what comes out of `input` to `add`, a step's worth at a time; `out` is what has come
    /// out before. Gives the work.
    fn inflate(
        &mut self,
        mut input: &[u8],
        step: &mut [u8],
        out: &mut Vec<u8>,
        mut add: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Violation>,
    ) -> Result<usize, Violation> {
        let mut work = 0;
        let mut is_full = false;
        while !input.is_empty() || is_full {
            if self.at != At::Within {
                work += self.start_stream(out)?;
            }
            let (read, written) = (self.zlib.total_in(), self.zlib.total_out());
            let status = self.zlib.decompress(input, step, FlushDecompress::None);
            let status = status.map_err(|_| Violation::BrokenDeflate)?;
            let read = (self.zlib.total_in() - read) as usize;
            let written = (self.zlib.total_out() - written) as usize;
            input = &input[read..];
            add(&step[..written], out)?;
            work += written + INPUT_WORTH * read;
            is_full = written == step.len();
            if status == Status::StreamEnd {
                self.at = At::FinalBlock;
                self.final_blocks += 1;
                is_full = false;
            } else if read == 0 && written == 0 && !input.is_empty() {
                return Err(Violation::BrokenDeflate);
            }
        }
        Ok(work)
    }

    /// Starts at the beginning of a block, with the bytes before it as window. Gives how many those
    /// are.
    fn start_stream(&mut self, out: &[u8]) -> Result<usize, Violation> {
        const WINDOW: usize = 1 << MAX_BITS;
        if self.final_blocks > FINAL_BLOCKS + out.len() / FINAL_BLOCK_WORTH {
            return Err(Violation::FinalBlocks);
        }
        self.zlib.reset(false);
        self.at = At::Within;
        let said = &out[out.len() - WINDOW.min(out.len())..];
        let kept = self.history.len().min(WINDOW - said.len());
        let before = &self.history[self.history.len() - kept..];
        let joined;
        let window = match (before, said) {
            ([], window) | (window, []) => window,
            _ => {
                joined = [before, said].concat();
                &joined
            }
        };
        if !window.is_empty() {
            let set = self.zlib.set_dictionary(window);
            set.map_err(|_| Violation::BrokenDeflate)?;
        }
        Ok(window.len())
    }

    /// Checks that the message may end here.
    fn end(&mut self, step: &mut [u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        match self.at {
            // Even nothing has a compressed form, section 7.2.3.6.
            At::Start => return Err(Violation::BrokenDeflate),
            // What ends in a final block and lacks the tail's first byte is complete all the same.
            At::FinalBlock => return Ok(()),
            At::Within => {}
        }
        let blocks = self.final_blocks;
        // The tail carries nothing: where something comes out of it, the message has ended within a
        // block.
        let nothing = |piece: &[u8], _: &mut Vec<u8>| {
            if piece.is_empty() {
                Ok(())
            } else {
                Err(Violation::BrokenDeflate)
            }
        };
        self.inflate(&END, step, out, nothing)?;
        if self.at != At::FinalBlock || self.final_blocks != blocks + 1 {
            return Err(Violation::BrokenDeflate);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Deflate;

    fn terms(level: u32, server_bits: u8) -> Parameters {
        Parameters {
            level,
            server_bits,
            ..Parameters::from(&Deflate::default())
        }
    }

    fn compress(pool: &Pool, compressor: &mut Compressor, payload: &[u8]) -> Vec<u8> {
        let compressed = pool.compress(compressor, payload, usize::MAX, || Ok::<_, ()>(()));
        compressed.unwrap().expect("no bound was given")
    }

    /// A message in pieces, after this history: its bytes and the history behind it, or what is
    /// wrong with it.
    fn inflate(
        pool: &Pool,
        pieces: &[&[u8]],
        history: Vec<u8>,
        limit: usize,
    ) -> Result<(Vec<u8>, Vec<u8>), Violation> {
        let mut inflater = pool.inflater(history);
        let mut out = Vec::new();
        for piece in pieces {
            pool.inflate(&mut inflater, piece, &mut out, limit, |_| true)?;
        }
        let history = pool.finish(inflater, &mut out, 1 << MAX_BITS)?;
        Ok((out, history))
    }

    fn whole(pool: &Pool, bytes: &[u8]) -> Result<Vec<u8>, Violation> {
        inflate(pool, &[bytes], Vec::new(), 1 << 20).map(|(out, _)| out)
    }

    /// Words that repeat, and some that do not.
    fn sample(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let words: [&[u8]; 5] = [b"lorem ", b"ipsum ", b"dolor ", b"sit amet, ", b"\0\xFF"];
        let mut out = Vec::new();
        while out.len() < length {
            out.extend_from_slice(random.choice(words).unwrap());
            if random.u8(..) < 40 {
                out.push(random.u8(..));
            }
        }
        out.truncate(length);
        out
    }

    const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

    /// RFC 7692 section 7.2.3: every form of `Hello` there is, and the empty message, split at
    /// every byte.
    #[test]
    fn the_forms_of_the_rfc() {
        let forms: [(&[u8], &[u8]); 8] = [
            (&HELLO, b"Hello"),
            // 7.2.3.3: stored.
            (
                &[
                    0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
                ],
                b"Hello",
            ),
            // 7.2.3.4: a final block, with and without the empty one behind it.
            (&[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00], b"Hello"),
            (&[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], b"Hello"),
            // 7.2.3.5: two blocks.
            (
                &[
                    0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
                ],
                b"Hello",
            ),
            // 7.2.3.6.
            (&[0x00], b""),
            // Blocks behind a final one, the second of which refers to what is before it.
            (
                &[
                    0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xF2, 0x00, 0x11, 0x00, 0x00,
                ],
                b"HelloHello",
            ),
            (&[0x03, 0x00, 0x02, 0x00], b""),
        ];
        let pool = Pool::default();
        for (form, text) in forms {
            for at in 0..=form.len() {
                let (front, back) = form.split_at(at);
                let inflated = inflate(&pool, &[front, back], Vec::new(), 10);
                let (out, history) =
                    inflated.unwrap_or_else(|error| panic!("{form:x?} at {at}: {error}"));
                assert_eq!((&out[..], &history[..]), (text, text), "{form:x?} at {at}");
            }
        }
    }

    /// Section 7.2.3.2: the second message refers to the first, and cannot without it.
    #[test]
    fn a_window_that_is_kept() {
        let pool = Pool::default();
        let (_, history) = inflate(&pool, &[&HELLO], Vec::new(), 10).unwrap();
        let second = [0xF2, 0x00, 0x11, 0x00, 0x00];
        let (out, history) = inflate(&pool, &[&second], history, 10).unwrap();
        assert_eq!(
            (&out[..], &history[..]),
            (&b"Hello"[..], &b"HelloHello"[..])
        );
        assert_eq!(whole(&pool, &second), Err(Violation::BrokenDeflate));
    }

    /// Robustness row D06.
    #[test]
    fn broken_streams() {
        let pool = Pool::default();
        let broken: [&[u8]; 12] = [
            // No bytes at all.
            b"",
            // A block of the reserved kind, at the front and behind a final block.
            &[0x06],
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x06],
            // A stored block whose length is not said twice, one that is cut off, and one that
            // would swallow the tail.
            &[0x00, 0x05, 0x00, 0xFA, 0xFE, 0x48],
            &[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65],
            &[0x00, 0x09, 0x00, 0xF6, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F],
            // `Hello` cut off.
            &HELLO[..3],
            &HELLO[..5],
            // With the tail that should have been left out, less its last byte.
            &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00, 0x00, 0xFF],
            // A reference to before the beginning.
            &[0xF2, 0x00, 0x11, 0x00, 0x00],
            b"Hello, this is a text",
            &[0xFF; 40],
        ];
        for bytes in broken {
            assert_eq!(
                whole(&pool, bytes),
                Err(Violation::BrokenDeflate),
                "{bytes:x?}"
            );
        }
        // The pool is none the worse for it.
        assert_eq!(whole(&pool, &HELLO).unwrap(), b"Hello");
    }

    /// Robustness row D06: damaged streams, each whole and in pieces, have one verdict, and what is
    /// accepted inflates to the same for an inflater that is given all of it at once.
    #[test]
    fn damage() {
        let pool = Pool::default();
        let mut random = fastrand::Rng::with_seed(3);
        let streams = [(1, 400), (6, 2000), (9, 20_000)].map(|(level, length)| {
            compress(
                &pool,
                &mut pool.compressor(&terms(level, 15)),
                &sample(length),
            )
        });
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..3000 {
            let mut bytes = random.choice(&streams).unwrap().clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] = random.u8(..),
                    2 => bytes[at] ^= 1 << random.u8(..8),
                    _ => bytes.insert(at, random.u8(..)),
                }
            }
            let at_once = inflate(&pool, &[&bytes], Vec::new(), 1 << 20);
            let (front, back) = bytes.split_at(random.usize(..=bytes.len()));
            let (middle, back) = back.split_at(random.usize(..=back.len()));
            let in_pieces = inflate(&pool, &[front, middle, back], Vec::new(), 1 << 20);
            assert_eq!(at_once, in_pieces, "{bytes:x?}");
            let Ok((out, _)) = at_once else {
                refused += 1;
                continue;
            };
            accepted += 1;
            let mut oracle = Decompress::new(false);
            let mut expected = Vec::with_capacity(1 << 20);
            let whole = [&bytes[..], &TAIL].concat();
            let status = oracle.decompress_vec(&whole, &mut expected, FlushDecompress::Sync);
            // It ends at a final block, which is not the end.
            if status.unwrap() != Status::StreamEnd {
                assert_eq!(out, expected);
            }
        }
        assert!(accepted > 100 && refused > 1000, "{accepted} {refused}");
    }

    /// Every message, in every mode, comes back; checked by another inflater, too.
    #[test]
    fn round_trips() {
        let pool = Pool::default();
        let messages = [0, 1, 10, 1000, 16 * 1024, 65_536, 65_537, 300_000].map(sample);
        for (level, bits) in [(1, 15), (3, 15), (6, 9), (9, 12), (3, 8)] {
            let terms = terms(level, bits);
            let mut own = pool.compressor(&terms);
            let mut history = Vec::new();
            let mut oracle = Decompress::new(false);
            for message in messages.iter().chain(&messages) {
                let kept = compress(&pool, &mut own, message);
                let mut fresh = pool.compressor(&terms);
                let alone = compress(&pool, &mut fresh, message);
                pool.keep_compressor(fresh);
                assert!(message.len() < 1000 || alone.len() < message.len());
                assert_eq!(
                    &inflate(&pool, &[&alone], Vec::new(), 300_000).unwrap().0,
                    message
                );
                let (out, next) = inflate(&pool, &[&kept], history, 300_000).unwrap();
                assert_eq!(&out, message);
                assert!(next.len() <= 1 << MAX_BITS);
                history = next;

                let mut out = Vec::with_capacity(message.len() + 1);
                let kept = [&kept[..], &TAIL].concat();
                oracle
                    .decompress_vec(&kept, &mut out, FlushDecompress::Sync)
                    .unwrap();
                assert_eq!(&out, message);
            }
        }
    }

    /// A window of 8 bits is kept to, although zlib has none.
    #[test]
    fn the_smallest_window() {
        let pool = Pool::default();
        for level in 1..=9 {
            let mut compressor = pool.compressor(&terms(level, 8));
            // What recurs after 200 bytes is found, what recurs after 251 and more is not.
            for (distance, is_found) in [
                (200, true),
                (250, true),
                (251, false),
                (256, false),
                (400, false),
            ] {
                let mut random = fastrand::Rng::with_seed(distance as u64);
                let block: Vec<u8> = (0..distance).map(|_| random.u8(..)).collect();
                let message = block.repeat(20);
                let length = compress(&pool, &mut compressor, &message).len();
                let is_short = length < message.len() * 3 / 4;
                assert_eq!(is_short, is_found, "level {level}, {distance}: {length}");
                compressor = compressor.anew(level);
                // A peer that remembers 256 bytes understands every message.
                let mut history = Vec::new();
                for message in message.chunks(8) {
                    let compressed = compress(&pool, &mut compressor, message);
                    let mut inflater = pool.inflater(history);
                    let mut out = Vec::new();
                    let inflated = pool.inflate(&mut inflater, &compressed, &mut out, 8, |_| true);
                    inflated.unwrap_or_else(|error| panic!("level {level}, {distance}: {error}"));
                    history = pool.finish(inflater, &mut out, 256).unwrap();
                    assert_eq!(out, message);
                    assert!(history.len() <= 256);
                }
                compressor = compressor.anew(level);
            }
        }
    }

    /// Robustness row D01: the limit is met at the step that crosses it.
    #[test]
    fn bombs() {
        let pool = Pool::default();
        let bomb = compress(
            &pool,
            &mut pool.compressor(&terms(9, 15)),
            &vec![0; 1 << 20],
        );
        assert!(bomb.len() < 1100);
        let limit = 100_000;
        let mut inflater = pool.inflater(Vec::new());
        let mut out = Vec::new();
        let failed = pool.inflate(&mut inflater, &bomb, &mut out, limit, |_| true);
        assert_eq!(failed, Err(Violation::TooBig { limit }));
        assert!(out.len() > limit - STEP && out.capacity() <= limit);
        assert_eq!(
            inflate(&pool, &[&bomb], Vec::new(), 1 << 20)
                .unwrap()
                .0
                .len(),
            1 << 20
        );
    }

    #[test]
    fn final_blocks_are_bounded() {
        let pool = Pool::default();
        let blocks = |count| [0x03, 0x00].repeat(count);
        assert_eq!(whole(&pool, &blocks(FINAL_BLOCKS + 1)).unwrap(), b"");
        assert_eq!(
            whole(&pool, &blocks(FINAL_BLOCKS + 2)),
            Err(Violation::FinalBlocks)
        );
    }

    #[test]
    fn what_does_not_shrink_is_given_up() {
        let pool = Pool::default();
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..300_000).map(|_| random.u8(..)).collect();
        let mut compressor = pool.compressor(&terms(3, 15));
        let tried = pool.compress(&mut compressor, &noise, noise.len() - 1, || Ok::<_, ()>(()));
        assert_eq!(tried, Ok(None));
        let ended = pool.compress(&mut compressor.anew(3), &noise, usize::MAX, || {
            Err("enough")
        });
        assert_eq!(ended, Err("enough"));
    }
}
