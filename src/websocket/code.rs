//! Close codes, RFC 6455 section 7.4.1 and the IANA registry.

/// The purpose is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server goes down, or a page is left.
pub const GOING_AWAY: u16 = 1001;
/// A breach of the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// Never sent: a Close without a code arrived.
pub const NO_STATUS: u16 = 1005;
/// Never sent: the connection ended without a Close.
pub const ABNORMAL: u16 = 1006;
/// Data that does not fit its type, such as text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A limit other than size.
pub const POLICY: u16 = 1008;
/// A message over the size limit.
pub const TOO_BIG: u16 = 1009;
/// The handler failed.
pub const INTERNAL_ERROR: u16 = 1011;
/// There is no room for this connection now (IANA registry).
pub const TRY_AGAIN: u16 = 1013;
