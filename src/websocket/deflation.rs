//! A connection's side of compression: what was agreed on, and the memory of what it has sent.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::deflate::{Compressor, Pool};
use super::extensions::Agreed;

/// What a connection compresses its messages with.
pub struct Deflation {
    agreed: Agreed,
    pool: Rc<Pool>,
    memory: Cell<Memory>,
}

/// What the peer's window has of the messages before.
#[derive(Default)]
enum Memory {
    /// Nothing, or nothing that is known.
    #[default]
    None,
    /// All that went through this compressor.
    Kept(Box<Compressor>),
    /// What will be known when the message that is being compressed is sent.
    Lent,
}

/// A compressed message, to be [given back](Deflation::give_back).
pub struct Compressed {
    /// What its frame carries.
    pub payload: Vec<u8>,
    compressor: Box<Compressor>,
}

impl Deflation {
    /// Compression as agreed, by what the worker has for it.
    pub fn new(agreed: Agreed, pool: Rc<Pool>) -> Self {
        Self {
            agreed,
            pool,
            memory: Cell::default(),
        }
    }

    /// What was agreed on.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Compresses a message. `None`: it is better sent as it is, unless `forced`, or it has to be, since another one is
    /// being compressed. `pause` is called now and then during a long one, and its error ends the work; the connection
    /// may be used meanwhile.
    pub fn compress<E>(
        &self,
        payload: &[u8],
        forced: bool,
        pause: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Compressed>, E> {
        let terms = &self.agreed.terms;
        let mut compressor = match self.memory.replace(Memory::Lent) {
            Memory::None => Box::new(self.pool.compressor(terms)),
            Memory::Kept(compressor) => compressor,
            Memory::Lent => return Ok(None),
        };
        // Into a context it has gone already, when it turns out that it does not get smaller.
        let most = if forced || terms.server_context {
            usize::MAX
        } else {
            payload.len().saturating_sub(1)
        };
        let compressed = self.pool.compress(&mut compressor, payload, most, pause);
        if let Ok(Some(payload)) = compressed {
            return Ok(Some(Compressed {
                payload,
                compressor,
            }));
        }
        self.memory.take();
        if compressed.is_ok() {
            self.pool.keep_compressor(*compressor);
        }
        compressed.map(|_| None)
    }

    /// Takes back what a message was compressed with. Where the peer keeps a window and this message was not sent, what
    /// comes next is compressed without a memory, which every peer understands.
    pub fn give_back(&self, compressed: Compressed, was_sent: bool) {
        self.pool.keep_output(compressed.payload);
        let compressor = compressed.compressor;
        let memory = match self.agreed.terms.server_context {
            true if was_sent => Memory::Kept(compressor),
            true => Memory::None,
            false => {
                self.pool.keep_compressor(*compressor);
                Memory::None
            }
        };
        self.memory.set(memory);
    }
}

impl fmt::Debug for Deflation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.agreed, out)
    }
}
