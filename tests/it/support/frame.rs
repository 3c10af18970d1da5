//! Frames on the wire, written here a second time and by hand: a codec that the tests shared with
//! the server would share its mistakes.

/// A frame as the server sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

/// A client's frame with every bit settable; masked, final and minimal unless told otherwise.
#[derive(Clone)]
pub struct Wire {
    fin: bool,
    rsv: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    length: Length,
    announced: Option<u64>,
    payload: Vec<u8>,
}

/// Which of the three forms of a length is written.
#[derive(Clone, Copy)]
pub enum Length {
    Shortest,
    Bits16,
    Bits64,
}

impl Wire {
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Wire {
        Wire {
            fin: true,
            rsv: 0,
            opcode,
            mask: Some([0x37, 0xfa, 0x21, 0x3d]),
            length: Length::Shortest,
            announced: None,
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn continuation(payload: impl AsRef<[u8]>) -> Wire {
        Wire::new(0, payload)
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Wire {
        Wire::new(1, payload)
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Wire {
        Wire::new(2, payload)
    }

    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Wire {
        Wire::new(8, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    pub fn empty_close() -> Wire {
        Wire::new(8, [])
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Wire {
        Wire::new(9, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Wire {
        Wire::new(10, payload)
    }

    /// Not the last fragment.
    pub fn more(mut self) -> Wire {
        self.fin = false;
        self
    }

    /// The three reserved bits, as a number from 0 to 7.
    pub fn rsv(mut self, bits: u8) -> Wire {
        self.rsv = bits;
        self
    }

    pub fn unmasked(mut self) -> Wire {
        self.mask = None;
        self
    }

    pub fn length(mut self, length: Length) -> Wire {
        self.length = length;
        self
    }

    /// Announces this length, whatever the payload has.
    pub fn announcing(mut self, length: u64) -> Wire {
        self.announced = Some(length);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = self.announced.unwrap_or(self.payload.len() as u64);
        let form = match self.length {
            Length::Shortest if length < 126 => length as u8,
            Length::Shortest if length <= 0xffff => 126,
            Length::Bits16 => 126,
            Length::Shortest | Length::Bits64 => 127,
        };
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let first = u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode;

        let mut bytes = vec![first, mask_bit | form];
        match form {
            126 => bytes.extend_from_slice(&(length as u16).to_be_bytes()),
            127 => bytes.extend_from_slice(&length.to_be_bytes()),
            _ => {}
        }
        let mask = self.mask.unwrap_or([0; 4]);
        if self.mask.is_some() {
            bytes.extend_from_slice(&mask);
        }
        bytes.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(b, m)| b ^ m),
        );
        bytes
    }
}
