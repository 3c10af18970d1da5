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

    /// What the worker has for it.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What was agreed on.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Compresses a message. `None`: it is better sent as it is, unless `forced`, or it has to be,
    /// since another one is being compressed. `pause` is called now and then during a long one, and
    /// its error ends the work; the connection may be used meanwhile.
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

    /// What comes next is compressed without a memory, since the peer's window will have a message
    /// that the compressor has not seen; `false` while one is being compressed, which counts on
    /// that window.
    pub fn forget(&self) -> bool {
        match self.memory.take() {
            Memory::None => true,
            Memory::Kept(compressor) => {
                self.pool.keep_compressor(*compressor);
                true
            }
            Memory::Lent => {
                self.memory.set(Memory::Lent);
                // Without a context the order does not matter.
                !self.agreed.terms.server_context
            }
        }
    }

    /// Takes back what a message was compressed with. Where the peer keeps a window and this
    /// message was not sent, what comes next is compressed without a memory, which every peer
    /// understands.
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::config::Deflate;
    use crate::websocket::extensions::{self, Parameters};

    /// What a peer makes of one message after another, all of whose frames are compressed.
    #[derive(Default)]
    struct Peer {
        pool: Pool,
        history: Vec<u8>,
    }

    impl Peer {
        fn hears(&mut self, payload: &[u8]) -> Vec<u8> {
            let mut inflater = self.pool.inflater(std::mem::take(&mut self.history));
            let mut out = Vec::new();
            let inflated = self
                .pool
                .inflate(&mut inflater, payload, &mut out, 1 << 20, |_| true);
            inflated.expect("it is compressed");
            self.history = self
                .pool
                .finish(inflater, &mut out, 1 << 15)
                .expect("and whole");
            out
        }
    }

    fn deflation() -> Deflation {
        let terms = Parameters {
            server_context: true,
            ..Parameters::from(&Deflate::default())
        };
        let offers = extensions::parse(["permessage-deflate"].into_iter()).expect("an offer");
        let agreed = extensions::negotiate(&offers, &terms).expect("it is agreed to");
        assert!(agreed.terms.server_context);
        Deflation::new(agreed, Rc::default())
    }

    fn compress(deflation: &Deflation, message: &[u8]) -> Option<Compressed> {
        let Ok(compressed) = deflation.compress(message, true, || Ok::<_, Infallible>(()));
        compressed
    }

    /// Text that a window helps with.
    fn message(first: &str) -> Vec<u8> {
        format!(
            "{first}{}",
            "some words that come again and again, ".repeat(2000)
        )
        .into()
    }

    #[test]
    fn what_comes_while_a_message_is_compressed_goes_as_it_is() {
        let (deflation, mut peer) = (deflation(), Peer::default());
        let mut pauses = 0;
        let compressed = deflation.compress(&message("a"), true, || {
            pauses += 1;
            assert!(compress(&deflation, &message("between")).is_none());
            Ok::<_, Infallible>(())
        });
        let Ok(Some(first)) = compressed else {
            panic!("it is forced")
        };
        assert!(pauses > 1);
        assert!(compress(&deflation, &message("before it is sent")).is_none());
        assert_eq!(peer.hears(&first.payload), message("a"));
        deflation.give_back(first, true);
        let second = compress(&deflation, &message("b")).expect("it is forced");
        assert_eq!(peer.hears(&second.payload), message("b"));
        deflation.give_back(second, true);
    }

    /// A message that did not go out is not in the peer's window, and so in no memory.
    #[test]
    fn what_is_not_sent_is_forgotten() {
        let (deflation, mut peer) = (deflation(), Peer::default());
        let sent = compress(&deflation, &message("sent")).expect("it is forced");
        peer.hears(&sent.payload);
        deflation.give_back(sent, true);
        let unsent = compress(&deflation, &message("unsent")).expect("it is forced");
        deflation.give_back(unsent, false);
        let next = compress(&deflation, &message("next")).expect("it is forced");
        assert_eq!(peer.hears(&next.payload), message("next"));
        deflation.give_back(next, true);
        let stopped = deflation.compress(&message("stopped"), true, || Err(()));
        assert!(stopped.is_err());
        let last = compress(&deflation, &message("last")).expect("it is forced");
        assert_eq!(peer.hears(&last.payload), message("last"));
    }
}
