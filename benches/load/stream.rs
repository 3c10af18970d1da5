//! A connection's bytes, encrypted or not, over a socket that blocks or one that does not.
//!
//! Reads and writes behave as the socket's do. What TLS has taken and the socket has not is written
//! before anything else.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore};

pub struct Stream<S> {
    pub socket: S,
    tls: Option<Box<ClientConnection>>,
    is_drained: bool,
}

thread_local! {
    /// Encrypted bytes of one read. A record has at most 16 KiB and a little; rustls by itself
    /// reads in pieces of 4 KiB.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

impl<S: Read + Write> Stream<S> {
    /// The handshake is done by the first reads and writes.
    pub fn new(socket: S, peer: IpAddr, config: Option<&Arc<ClientConfig>>) -> Result<Stream<S>> {
        let tls = match config {
            None => None,
            Some(config) => Some(Box::new(ClientConnection::new(
                Arc::clone(config),
                peer.into(),
            )?)),
        };
        Ok(Stream {
            socket,
            tls,
            is_drained: false,
        })
    }

    /// The same over the same socket in another guise.
    pub fn map<T>(self, change: impl FnOnce(S) -> T) -> Stream<T> {
        Stream {
            socket: change(self.socket),
            tls: self.tls,
            is_drained: self.is_drained,
        }
    }

    /// Does TLS's handshake at once, if there is one, on a socket that blocks.
    pub fn handshake(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.complete_io(&mut self.socket).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Begins TLS's handshake, and stops in the middle of its first message.
    pub fn half_a_hello(&mut self) -> io::Result<()> {
        let mut hello = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.write_tls(&mut hello)?;
        }
        self.socket.write_all(&hello[..hello.len() / 2])
    }

    /// Whether the last read has taken all that had arrived: what comes later raises a new event.
    pub fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Whether bytes wait that `write` has taken.
    pub fn has_backlog(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }
}

impl<S: Read + Write> Read for Stream<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            let count = self.socket.read(out)?;
            self.is_drained = count < out.len();
            return Ok(count);
        };
        let mut filled = decrypted(tls, out)?;
        INPUT.with_borrow_mut(|input| {
            while filled == 0 {
                // No more than fits once decrypted, but for a record begun earlier, which rustls
                // has room for.
                let most = input.len().min(out.len());
                let count = self.socket.read(&mut input[..most])?;
                if count == 0 {
                    return Ok(0);
                }
                self.is_drained = count < most;
                let mut rest = &input[..count];
                while !rest.is_empty() {
                    tls.read_tls(&mut rest)?;
                    tls.process_new_packets().map_err(io::Error::other)?;
                    filled += decrypted(tls, &mut out[filled..])?;
                }
                // The client's part of the handshake, and a request that waited for it.
                push_some(tls, &mut self.socket)?;
            }
            self.is_drained &= filled < out.len();
            Ok(filled)
        })
    }
}

/// What is decrypted already, as far as it fits.
fn decrypted(tls: &mut ClientConnection, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match tls.reader().read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<S: Read + Write> Write for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        push(tls, &mut self.socket)?;
        let count = tls.writer().write(bytes)?;
        push_some(tls, &mut self.socket)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => push(tls, &mut self.socket),
            None => Ok(()),
        }
    }
}

fn push(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

/// The same, as far as it goes now.
fn push_some(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    match push(tls, socket) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// TLS 1.3 with the cipher suite that browsers prefer, so that every server has the same to do.
/// Nothing is resumed.
pub fn trusting(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let pem = CertificateDer::from_pem_file(certificate);
    roots.add(pem.with_context(|| format!("no certificate in {}", certificate.display()))?)?;
    let mut provider: CryptoProvider = ring::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    ensure!(!provider.cipher_suites.is_empty(), "no cipher suite");
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
