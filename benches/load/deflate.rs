//! permessage-deflate as a client needs it: the offer, what the server has agreed to, payloads in
//! and out of it.

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// What browsers offer.
pub const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// What a sync flush ends with, and what a frame leaves out. RFC 7692, section 7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Of how many replies one is inflated.
const SAMPLE: usize = 64;

/// What the server has agreed to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The window that the client's messages may refer to.
    pub client_bits: u8,
    /// Whether its own messages refer to earlier ones.
    pub server_keeps_window: bool,
}

impl Agreement {
    /// Reads a complete response head, in which a server agrees to the offer.
    pub fn read(head: &[u8]) -> Result<Agreement> {
        let head = String::from_utf8_lossy(head);
        let answer = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"))
            .map(|(_, value)| value.trim())
            .context("the server has not agreed to permessage-deflate")?;
        let mut parts = answer.split(';').map(str::trim);
        ensure!(
            parts.next() == Some("permessage-deflate"),
            "the server agreed to {answer:?}"
        );
        let mut agreement = Agreement {
            client_bits: 15,
            server_keeps_window: true,
        };
        for parameter in parts {
            match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("client_max_window_bits", bits) => {
                    agreement.client_bits = bits.trim_matches('"').parse().context(OFFER)?;
                }
                ("server_no_context_takeover", "") => agreement.server_keeps_window = false,
                // A smaller window is no matter to an inflater with the largest, and no message
                // refers to an earlier one.
                ("server_max_window_bits", _) | ("client_no_context_takeover", "") => {}
                _ => bail!("the server agreed to {answer:?}"),
            }
        }
        // zlib cannot keep to a window of 8 bits, and no server asks for one.
        ensure!(
            (9..=15).contains(&agreement.client_bits),
            "the server agreed to {answer:?}"
        );
        Ok(agreement)
    }
}

/// A frame's payload, which refers to no earlier one: legal whatever was agreed, and it can be sent
/// again and again.
pub fn compress(text: &[u8], bits: u8) -> Result<Vec<u8>> {
    let mut compressor = Compress::new_with_window_bits(Compression::default(), false, bits);
    // Deflate adds five bytes to a block of 16 KiB that does not compress at all.
    let mut out = Vec::with_capacity(text.len() + text.len() / 1024 + 64);
    compressor.compress_vec(text, &mut out, FlushCompress::Sync)?;
    ensure!(
        compressor.total_in() as usize == text.len() && out.ends_with(&TAIL),
        "a message does not compress"
    );
    out.truncate(out.len() - TAIL.len());
    Ok(out)
}

/// Inflates one of 64 replies and compares: each 64th of a connection, or, where the server keeps
/// its window, all of each 64th connection, because there every reply leans on the ones before it.
pub struct Sample {
    inflater: Decompress,
    server_keeps_window: bool,
    seen: usize,
    inflated: Vec<u8>,
    pub checked: u64,
}

impl Sample {
    /// For the `index`-th connection; `None` where none of its replies are looked into.
    pub fn of(agreement: Agreement, index: usize) -> Option<Sample> {
        let server_keeps_window = agreement.server_keeps_window;
        (!server_keeps_window || index.is_multiple_of(SAMPLE)).then(|| Sample {
            inflater: Decompress::new(false),
            server_keeps_window,
            // Connections take turns.
            seen: index,
            inflated: Vec::new(),
            checked: 0,
        })
    }

    /// Looks into a reply that must be `text`, if it is this one's turn.
    pub fn check(&mut self, payload: &[u8], text: &[u8]) -> Result<()> {
        let turn = self.seen.is_multiple_of(SAMPLE);
        self.seen += 1;
        if !self.server_keeps_window {
            if !turn {
                return Ok(());
            }
            self.inflater.reset(false);
        }
        self.inflated.clear();
        // More than there must be, so that a longer reply shows.
        self.inflated.reserve(text.len() + 64);
        let flush = FlushDecompress::Sync;
        for input in [payload, &TAIL] {
            self.inflater
                .decompress_vec(input, &mut self.inflated, flush)
                .context("a reply does not inflate")?;
        }
        ensure!(
            self.inflated == text,
            "a wrong reply of {} bytes, inflated",
            self.inflated.len()
        );
        self.checked += 1;
        Ok(())
    }
}
