//! The way input comes and goes: cut into pieces, which must change nothing.

/// Bytes of an input that say how the rest is cut.
const SCHEDULE: usize = 8;

/// Sizes of pieces, over and over. No byte at all is everything at once.
#[derive(Debug, Clone)]
pub struct Pieces {
    sizes: [u8; SCHEDULE],
    next: usize,
}

/// Takes the schedule off the front of an input.
pub fn scheduled(bytes: &[u8]) -> (Pieces, &[u8]) {
    let (front, rest) = bytes.split_at(bytes.len().min(SCHEDULE));
    let mut sizes = [0; SCHEDULE];
    sizes[..front.len()].copy_from_slice(front);
    (Pieces { sizes, next: 0 }, rest)
}

impl Pieces {
    /// The size of the next piece; `None` has the reader wait once. 0 stands for all that there is.
    pub fn next(&mut self) -> Option<usize> {
        let size = self.sizes[self.next % SCHEDULE];
        self.next += 1;
        match size {
            0 => Some(usize::MAX),
            // A schedule of nothing but waits would not end.
            0x80.. if !self.next.is_multiple_of(SCHEDULE) => None,
            size => Some((size & 0x7f).max(1).into()),
        }
    }

    /// The bytes piece by piece.
    pub fn of<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            if let Some(size) = self.next() {
                let (piece, rest) = bytes.split_at(size.min(bytes.len()));
                pieces.push(piece);
                bytes = rest;
            }
        }
        pieces
    }
}
