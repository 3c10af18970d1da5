//! Protocol violations by a peer, each with the close code that says so.

use super::code;

/// A breach of RFC 6455 or of a limit by the peer. Its text is for the log, for `on_close`, and the
/// reason of the Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RFC 6455 section 5.1: a client masks every frame.
    #[error("a frame without a mask")]
    Unmasked,
    /// Section 5.2: reserved bits are zero unless an extension was negotiated. RFC 7692 section 6:
    /// the first one may be set on a message's first frame only.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// Section 5.2: opcodes 3 to 7 and 11 to 15.
    #[error("unknown opcode {0}")]
    UnknownOpcode(u8),
    /// Section 5.5: at most 125 bytes.
    #[error("a control frame longer than 125 bytes")]
    ControlTooLong,
    /// Section 5.5: a control frame stands alone.
    #[error("a fragmented control frame")]
    ControlFragmented,
    /// Section 5.4: a continuation frame continues a fragmented message.
    #[error("a continuation frame with nothing to continue")]
    NothingToContinue,
    /// Section 5.4: a fragmented message ends before the next message begins.
    #[error("a new message inside a fragmented one")]
    MessageInsideMessage,
    /// Section 5.2: the shortest form must be used.
    #[error("a length that is not in its shortest form")]
    LengthNotMinimal,
    /// Section 5.2: the top bit of a 64-bit length is zero.
    #[error("a length with its top bit set")]
    LengthTopBit,
    /// Section 5.5.1: the body is empty or starts with two bytes.
    #[error("a Close body of one byte")]
    CloseBodyTooShort,
    /// Section 7.4: not a code that may be sent.
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// Section 5.5.1: the reason is UTF-8.
    #[error("a close reason that is not UTF-8")]
    CloseReason,
    /// Section 8.1: a text message is UTF-8.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// Section 10.4: a message has at most so many bytes.
    #[error("a message over the limit of {limit} bytes")]
    TooBig {
        /// The limit in bytes.
        limit: usize,
    },
    /// Section 10.4: many tiny fragments cost more than they carry.
    #[error("too many tiny fragments")]
    TinyFragments,
    /// RFC 7692 section 7.2.2: compressed data that is none.
    #[error("a compressed message that cannot be inflated")]
    BrokenDeflate,
    /// RFC 6455 section 10.4: each final block starts inflating anew, which costs more than it
    /// carries.
    #[error("too many final blocks in a compressed message")]
    FinalBlocks,
    /// Section 10.4: each is an answer to write.
    #[error("too many Pings and Pongs")]
    ControlRate,
    /// Section 10.4: a frame that does not go on.
    #[error("a message did not go on in time")]
    Stalled,
    /// Section 10.4: a message that never ends.
    #[error("a message was not finished in time")]
    Slow,
}

impl Violation {
    /// The close code that answers it, RFC 6455 section 7.4.1.
    pub fn code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::CloseReason | Self::BrokenDeflate => code::INVALID_PAYLOAD,
            Self::TooBig { .. } => code::TOO_BIG,
            Self::TinyFragments
            | Self::FinalBlocks
            | Self::ControlRate
            | Self::Stalled
            | Self::Slow => code::POLICY,
            _ => code::PROTOCOL_ERROR,
        }
    }

    /// Returns the name of the setting for its bound, if it has one; `script` if a handler has set
    /// it for this connection.
    pub fn setting(self, script: bool) -> Option<&'static str> {
        Some(match self {
            Self::TooBig { .. } if script => "request.max_message",
            Self::TooBig { .. } => "--max-message",
            Self::TinyFragments => "--max-fragments",
            Self::ControlRate => "--control-rate",
            Self::Stalled => "--frame-timeout",
            Self::Slow => "--message-timeout",
            _ => return None,
        })
    }

    /// The name by which logs and counters know it; it never changes. A limit's is that of its
    /// setting.
    pub fn id(self) -> &'static str {
        match self {
            Self::TooBig { .. } => "max-message",
            Self::TinyFragments => "max-fragments",
            Self::ControlRate => "control-rate",
            Self::Stalled => "frame-timeout",
            Self::Slow => "message-timeout",
            Self::InvalidUtf8 | Self::CloseReason => "utf8",
            Self::BrokenDeflate | Self::FinalBlocks => "deflate",
            Self::CloseBodyTooShort | Self::CloseCode(_) => "close",
            Self::NothingToContinue | Self::MessageInsideMessage => "fragments",
            Self::ControlTooLong | Self::ControlFragmented => "control-frame",
            Self::Unmasked
            | Self::ReservedBit
            | Self::UnknownOpcode(_)
            | Self::LengthNotMinimal
            | Self::LengthTopBit => "frame",
        }
    }
}
