//! The peer of a stream, as far as the stream, a trusted proxy and the client itself tell.

use std::fmt;
use std::net::SocketAddr;

/// The peer of a connection.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its address; peers of a Unix-domain socket have none. The port is 0 if a proxy has not told
    /// it.
    pub address: Option<SocketAddr>,
    /// Whether the stream is encrypted.
    pub secure: bool,
    /// The subject of the certificate that it has shown.
    pub subject: Option<String>,
    /// The user whose password it has shown.
    pub user: Option<String>,
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) if address.port() == 0 => address.ip().fmt(out),
            Some(address) => address.fmt(out),
            None => out.write_str("unix"),
        }
    }
}
