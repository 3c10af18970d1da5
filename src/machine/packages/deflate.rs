//! `deflate` and `inflate`: raw deflate in pieces, with a bound on what comes out.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rhai::{Blob, EvalAltResult};

use super::bounded::bounds::over;
use crate::machine::error::throw;
use crate::machine::meter::{self, PIECE};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// zlib's usual level.
pub const LEVEL: i64 = 6;

/// `deflate(data, level)`: at most `most` bytes.
pub fn deflate(data: &[u8], level: i64, most: usize) -> Result<Blob> {
    let Some(level) = u32::try_from(level).ok().filter(|level| *level <= 9) else {
        return throw("deflate", format!("the level is 0 to 9, not {level}"));
    };
    let mut encoder = DeflateEncoder::new(Blob::new(), Compression::new(level));
    // Compressing takes some ten times as long as other work on bytes.
    for piece in data.chunks(PIECE / 8) {
        encoder.write_all(piece).expect("a blob takes everything");
        if encoder.get_ref().len() > most {
            break;
        }
        meter::pause()?;
    }
    let out = encoder.finish().expect("a blob takes everything");
    if out.len() > most {
        return over("deflate", most, "bytes");
    }
    Ok(out)
}

/// An empty last block.
const LAST: [u8; 2] = [0x03, 0x00];

/// Implements `inflate(data, most)`: inflates DEFLATE data to at most `most` bytes.
pub fn inflate(data: &[u8], most: usize) -> Result<Blob> {
    // Where the data lacks its last block it ends with this one; within another block that would be
    // broken data.
    let mut decoder = DeflateDecoder::new(data.chain(&LAST[..]));
    let mut out = Blob::new();
    loop {
        match (&mut decoder).take(PIECE as u64).read_to_end(&mut out) {
            Ok(0) => break,
            Ok(_) if out.len() > most => {
                return throw("inflate", format!("it inflates to more than {most} bytes"));
            }
            Ok(_) => meter::pause()?,
            Err(error) => return throw("inflate", format!("this is no deflate: {error}")),
        }
    }
    match decoder.get_ref().get_ref() {
        ([], []) => Ok(out),
        ([], last) if *last == LAST => Ok(out),
        ([], _) => throw("inflate", "this is no deflate: it ends within a block"),
        (behind, _) => throw(
            "inflate",
            format!("{} bytes stand behind the end", behind.len()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deflated_comes_out() {
        let data: Blob = (0..3 * PIECE + 5).map(|at| (at * at % 251) as u8).collect();
        for level in 0..=9 {
            for data in [&data[..], b"", b"a"] {
                let small = deflate(data, level, usize::MAX).unwrap();
                assert_eq!(inflate(&small, data.len()).unwrap(), data);
            }
        }
        assert!(deflate(b"", 10, 100).is_err());
        assert!(deflate(b"", -1, 100).is_err());
        assert!(deflate(&data, 0, data.len()).is_err());
    }

    /// RFC 7692 section 7.2.3: `Hello`, with a final block, without, and as a stored block.
    #[test]
    fn the_last_block_may_be_missing() {
        for data in [
            &[
                0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff,
            ][..],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
        ] {
            assert_eq!(inflate(data, 5).unwrap(), b"Hello");
            assert!(inflate(data, 4).is_err());
        }
        assert_eq!(inflate(b"", 0).unwrap(), b"");
    }

    #[test]
    fn broken_data_and_bombs_are_refused() {
        for data in [
            &[0xff][..],
            &[0x06; 20],
            b"Hello, this is a text",
            &[0x03, 0x00, 0x00],
        ] {
            assert!(inflate(data, 1000).is_err(), "{data:?}");
        }
        let bomb = deflate(&vec![0; 16 * PIECE], LEVEL, usize::MAX).unwrap();
        assert!(bomb.len() < PIECE / 10);
        assert!(inflate(&bomb, 16 * PIECE - 1).is_err());
    }
}
