//! The messages of an echo run, as frames that are built before it, and what their replies must be.
//!
//! Plain ones bear a mark in the first and last byte that names their place in the order.
//! Compressed ones are JSON records, each frame independent of the others.

use anyhow::{Result, bail};

use crate::deflate::{self, Agreement};
use crate::records;
use crate::wire::{self, Frame};

pub struct Messages {
    /// One round of frames, back to back, and the beginning of the next one: any batch is one slice
    /// of it.
    bytes: Vec<u8>,
    /// Where each begins, and the last ends.
    starts: Vec<usize>,
    count: usize,
    /// Bytes of a payload, on average.
    pub mean_payload: f64,
    opcode: u8,
    kind: Kind,
}

enum Kind {
    Marked { size: usize },
    Compressed { texts: Vec<String> },
}

/// Compressed messages of a round: so many that the largest window, 32 KiB, has forgotten one
/// before it comes again.
const TEXTS: usize = 128;

impl Messages {
    pub fn marked(binary: bool, size: usize, in_flight: usize) -> Messages {
        let opcode = if binary { wire::BINARY } else { wire::TEXT };
        // Four marks at least, so that a lost or doubled reply shows with one message in flight
        // too.
        let payloads: Vec<_> = (0..in_flight.max(4))
            .map(|number| {
                let mut payload = vec![b'x'; size];
                payload[0] = mark(number);
                payload[size - 1] = mark(number);
                payload
            })
            .collect();
        Messages::new(opcode, &payloads, in_flight, Kind::Marked { size })
    }

    pub fn compressed(size: usize, in_flight: usize, agreement: Agreement) -> Result<Messages> {
        let texts: Vec<_> = (0..TEXTS.max(in_flight))
            .map(|number| records::text(number, size))
            .collect();
        let payloads = texts
            .iter()
            .map(|text| deflate::compress(text.as_bytes(), agreement.client_bits))
            .collect::<Result<Vec<_>>>()?;
        let opcode = wire::TEXT | wire::RSV1;
        let kind = Kind::Compressed { texts };
        Ok(Messages::new(opcode, &payloads, in_flight, kind))
    }

    fn new(opcode: u8, payloads: &[Vec<u8>], in_flight: usize, kind: Kind) -> Messages {
        let mut bytes = Vec::new();
        let mut starts = vec![0];
        for payload in payloads.iter().chain(&payloads[..in_flight - 1]) {
            wire::push_frame(&mut bytes, opcode, payload);
            starts.push(bytes.len());
        }
        let total: usize = payloads.iter().map(Vec::len).sum();
        Messages {
            bytes,
            starts,
            count: payloads.len(),
            mean_payload: (total as f64 / payloads.len() as f64).round(),
            opcode,
            kind,
        }
    }

    /// Messages of a round.
    pub fn len(&self) -> usize {
        self.count
    }

    /// So many frames from the `first` on, as many as there are in flight at the most.
    pub fn frames(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[self.starts[first]..self.starts[first + count]]
    }

    /// Whether this can be the reply to the `number`-th: of a compressed one, whether it is
    /// compressed text.
    pub fn check(&self, number: usize, frame: &Frame) -> Result<()> {
        let fits = match self.kind {
            Kind::Marked { size } => {
                let mark = mark(number);
                frame.length == size && frame.first == mark && frame.last == mark
            }
            Kind::Compressed { .. } => frame.is_compressed,
        };
        if fits && frame.opcode == self.opcode & !wire::RSV1 {
            return Ok(());
        }
        if frame.opcode == wire::CLOSE {
            bail!("the server closed with {}", frame.close_code());
        }
        bail!(
            "a wrong reply to message {number}: opcode {}, {}compressed, {} bytes, from {:#x} to \
            {:#x}",
            frame.opcode,
            if frame.is_compressed { "" } else { "un" },
            frame.length,
            frame.first,
            frame.last
        )
    }

    /// The text of a compressed message.
    pub fn text(&self, number: usize) -> &[u8] {
        match &self.kind {
            Kind::Marked { .. } => &[],
            Kind::Compressed { texts } => texts[number].as_bytes(),
        }
    }
}

fn mark(number: usize) -> u8 {
    b'A' + (number % 26) as u8
}
