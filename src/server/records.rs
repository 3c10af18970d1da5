//! Records of TLS 1.3 once the handshake is done: text to encrypted records, and back.
//!
//! The handshake is rustls', and so is the derivation of keys. What it keeps beside them for the
//! time after the handshake is three kilobytes; here it is the keys. While nothing happens their
//! expanded forms are given up as well.

use ring::aead::{self, Aad, LessSafeKey, UnboundKey};
use tokio_rustls::rustls::crypto::cipher::{Iv, Nonce};
use tokio_rustls::rustls::kernel::KernelConnection;
use tokio_rustls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use tokio_rustls::rustls::{
    self, ConnectionTrafficSecrets as Secrets, ExtractedSecrets, SupportedCipherSuite,
};

use crate::machine::heap;

/// Bytes of a record's header.
pub const HEADER: usize = 5;
/// Bytes of text in a record at the most, RFC 8446 section 5.1.
const TEXT: usize = 1 << 14;
/// What encryption may add to them, section 5.2.
const EXPANSION: usize = 256;
/// Bytes of the tag that authenticates a record; each of the ciphers has as many.
const TAG: usize = 16;
/// Bytes that a record has beside its text.
pub const OVERHEAD: usize = HEADER + 1 + TAG;

/// Records in a row that may say nothing, and changes of keys without a text between them.
const IDLE: u8 = 32;

/// Types of what a record holds, section 5.1.
mod content {
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const TEXT: u8 = 23;
}

/// Numbers of alerts, section 6.
mod alert {
    pub const CLOSE_NOTIFY: u8 = 0;
    pub const UNEXPECTED_MESSAGE: u8 = 10;
    pub const BAD_RECORD_MAC: u8 = 20;
    pub const RECORD_OVERFLOW: u8 = 22;
    pub const ILLEGAL_PARAMETER: u8 = 47;
    pub const DECODE_ERROR: u8 = 50;
    pub const INTERNAL_ERROR: u8 = 80;
    pub const USER_CANCELED: u8 = 90;
}

/// What ends a session before its time.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It was made with another key, or changed on its way.
    #[error("a record cannot be decrypted")]
    Undecryptable,
    /// More bytes than a record may have.
    #[error("a record is longer than TLS allows")]
    TooLong,
    /// Something that is not sent after the handshake, or not in this way.
    #[error("a record has no place after the handshake")]
    Unexpected,
    /// Neither what it should be nor anything else.
    #[error("a message cannot be read")]
    Unreadable,
    /// A value that means nothing.
    #[error("a change of keys asks for what there is not")]
    Illegal,
    /// Nothing but work for us.
    #[error("too many records say nothing")]
    Idle,
    /// The peer has ended it, and says why.
    #[error("the peer has sent the alert {0}")]
    Told(u8),
    /// There are no more keys.
    #[error("no key: {0}")]
    NoKey(#[from] rustls::Error),
    /// The cipher has refused.
    #[error("a record cannot be encrypted")]
    Unencryptable,
}

impl Fault {
    /// Returns the alert that the peer is to have.
    fn alert(&self) -> Option<u8> {
        Some(match self {
            Self::Undecryptable => alert::BAD_RECORD_MAC,
            Self::TooLong => alert::RECORD_OVERFLOW,
            Self::Unexpected | Self::Idle => alert::UNEXPECTED_MESSAGE,
            Self::Unreadable => alert::DECODE_ERROR,
            Self::Illegal => alert::ILLEGAL_PARAMETER,
            Self::NoKey(_) | Self::Unencryptable => alert::INTERNAL_ERROR,
            Self::Told(_) => return None,
        })
    }
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'r> {
    /// Bytes for whoever reads.
    Text(&'r [u8]),
    /// Something between the two sides of TLS, which is done with.
    Other,
    /// The peer writes nothing more.
    End,
}

/// The records of one session, in both directions.
pub struct Records {
    /// What derives the next keys.
    keys: KernelConnection<ServerConnectionData>,
    incoming: Direction,
    outgoing: Direction,
    /// The peer has new keys, and asks us to take new ones.
    owes_update: bool,
    /// Records in a row without a text.
    empty: u8,
    /// Changes of the peer's keys since its last text.
    updates: u8,
}

/// The keys of one direction.
struct Direction {
    secrets: Secrets,
    /// The number of the next record.
    next: u64,
    /// Expanded, while it is used.
    key: Option<Box<LessSafeKey>>,
}

impl Direction {
    fn new((next, secrets): (u64, Secrets)) -> Self {
        Self {
            secrets,
            next,
            key: None,
        }
    }

    /// Returns the key, and the nonce of the next record, which nothing else is done with. `None`
    /// for a cipher that was not offered.
    fn key_and_nonce(&mut self) -> Option<(&LessSafeKey, aead::Nonce)> {
        let (algorithm, key, iv): (_, _, &Iv) = match &self.secrets {
            Secrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            Secrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            Secrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        if self.key.is_none() {
            let key = UnboundKey::new(algorithm, key.as_ref()).ok()?;
            self.key = Some(Box::new(LessSafeKey::new(key)));
        }
        let nonce = aead::Nonce::assume_unique_for_key(Nonce::new(iv, self.next).0);
        self.next = self.next.checked_add(1)?;
        Some((self.key.as_deref()?, nonce))
    }
}

/// A record's header, which its tag authenticates as well.
fn header(length: usize) -> [u8; HEADER] {
    let [high, low] = (length as u16).to_be_bytes();
    [content::TEXT, 3, 3, high, low]
}

impl Records {
    /// Goes on with a session whose handshake is done and whose records have all been sent.
    pub fn after(handshake: UnbufferedServerConnection) -> Result<Self, rustls::Error> {
        let (ExtractedSecrets { tx, rx }, keys) = handshake.dangerous_into_kernel_connection()?;
        Ok(Self {
            keys,
            incoming: Direction::new(rx),
            outgoing: Direction::new(tx),
            owes_update: false,
            empty: 0,
            updates: 0,
        })
    }

    /// Gives up what can be had again.
    pub fn rest(&mut self) {
        for direction in [&mut self.incoming, &mut self.outgoing] {
            if direction.key.take().is_some() {
                heap::gave_up(size_of::<LessSafeKey>());
            }
        }
    }

    /// Whether there is something to [give up](Self::rest).
    pub fn may_rest(&self) -> bool {
        self.incoming.key.is_some() || self.outgoing.key.is_some()
    }

    /// Decrypts the first of these records in its place: how many bytes it has, and what it says.
    /// `None` if it is not whole.
    pub fn decrypt<'r>(
        &mut self,
        records: &'r mut [u8],
    ) -> Result<Option<(usize, Received<'r>)>, Fault> {
        let Some((head, rest)) = records.split_at_mut_checked(HEADER) else {
            return Ok(None);
        };
        // Everything is encrypted now, and says what it is only inside.
        if head[0] != content::TEXT || head[1] != 3 {
            return Err(Fault::Unexpected);
        }
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length > TEXT + EXPANSION {
            return Err(Fault::TooLong);
        }
        let Some(bytes) = rest.get_mut(..length) else {
            return Ok(None);
        };
        let (key, nonce) = self.incoming.key_and_nonce().ok_or(Fault::Undecryptable)?;
        let text = key
            .open_in_place(nonce, Aad::from(header(length)), bytes)
            .map_err(|_| Fault::Undecryptable)?;
        if text.len() > TEXT + 1 {
            return Err(Fault::TooLong);
        }
        // Zeros may follow the type, so that a record's length says less.
        let end = text.iter().rposition(|byte| *byte != 0);
        let end = end.ok_or(Fault::Unexpected)?;
        let (text, kind) = (&text[..end], text[end]);
        self.empty = if text.is_empty() { self.empty + 1 } else { 0 };
        if self.empty > IDLE {
            return Err(Fault::Idle);
        }
        let received = match kind {
            content::TEXT => {
                self.updates = 0;
                Received::Text(text)
            }
            content::ALERT => Self::alerted(text)?,
            content::HANDSHAKE => self.shaken(text)?,
            _ => return Err(Fault::Unexpected),
        };
        Ok(Some((HEADER + length, received)))
    }

    fn alerted(text: &[u8]) -> Result<Received<'static>, Fault> {
        match *text {
            [_, alert::CLOSE_NOTIFY] => Ok(Received::End),
            // Says nothing more than that a close_notify follows.
            [_, alert::USER_CANCELED] => Ok(Received::Other),
            [_, other] => Err(Fault::Told(other)),
            _ => Err(Fault::Unreadable),
        }
    }

    /// A client has one message for us after the handshake: it takes new keys, section 4.6.3. The
    /// next record is made with them, so that nothing may follow it in its own.
    fn shaken(&mut self, text: &[u8]) -> Result<Received<'static>, Fault> {
        let &[24, 0, 0, 1, asks] = text else {
            return Err(Fault::Unexpected);
        };
        if asks > 1 {
            return Err(Fault::Illegal);
        }
        self.updates += 1;
        if self.updates > IDLE {
            return Err(Fault::Idle);
        }
        self.incoming = Direction::new(self.keys.update_rx_secret()?);
        self.owes_update |= asks == 1;
        Ok(Received::Other)
    }

    /// Encrypts a text behind what `out` holds.
    pub fn encrypt(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        for text in text.chunks(TEXT) {
            if self.owes_update || self.outgoing.next.saturating_add(1) >= self.limit() {
                self.seal(content::HANDSHAKE, &[24, 0, 0, 1, 0], out)?;
                self.outgoing = Direction::new(self.keys.update_tx_secret()?);
                self.owes_update = false;
            }
            self.seal(content::TEXT, text, out)?;
        }
        Ok(())
    }

    /// Returns the number of records that one key is good for.
    fn limit(&self) -> u64 {
        match self.keys.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(_) => 0,
        }
    }

    /// Says that nothing more is written.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.seal(content::ALERT, &[1, alert::CLOSE_NOTIFY], out)
    }

    /// Says what is wrong, if that is for the peer to know.
    pub fn alert(&mut self, fault: &Fault, out: &mut Vec<u8>) -> Result<(), Fault> {
        match fault.alert() {
            Some(alert) => self.seal(content::ALERT, &[2, alert], out),
            None => Ok(()),
        }
    }

    fn seal(&mut self, kind: u8, text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let header = header(text.len() + 1 + TAG);
        out.extend_from_slice(&header);
        let start = out.len();
        out.extend_from_slice(text);
        out.push(kind);
        let (key, nonce) = self.outgoing.key_and_nonce().ok_or(Fault::Unencryptable)?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..])
            .map_err(|_| Fault::Unencryptable)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use tokio_rustls::rustls::crypto::CipherSuiteCommon;
    use tokio_rustls::rustls::crypto::ring::{cipher_suite, default_provider};
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::unbuffered::ConnectionState;
    use tokio_rustls::rustls::version::TLS13;
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, Tls13CipherSuite,
    };

    use super::*;

    const SUITES: [SupportedCipherSuite; 3] = [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];

    /// A client of rustls, and our records, after a handshake with this suite.
    fn pair(suite: SupportedCipherSuite) -> (ClientConnection, Records) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut provider = default_provider();
        provider.cipher_suites = vec![suite];
        let provider = Arc::new(provider);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        config.enable_secret_extraction = true;
        let mut server = UnbufferedServerConnection::new(Arc::new(config)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut incoming = Vec::new();
        while server.is_handshaking() || server.wants_write() {
            let mut outgoing = Vec::new();
            let status = server.process_tls_records(&mut incoming);
            let discard = status.discard;
            match status.state.unwrap() {
                ConnectionState::EncodeTlsData(mut data) => {
                    outgoing.resize(20_000, 0);
                    let count = data.encode(&mut outgoing).unwrap();
                    outgoing.truncate(count);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => {
                    client.write_tls(&mut incoming).unwrap();
                }
            }
            incoming.drain(..discard);
            take(&mut client, &outgoing);
        }
        assert!(incoming.is_empty());
        (client, Records::after(server).unwrap())
    }

    /// Gives a client records; what it reads in them.
    fn take(client: &mut ClientConnection, mut records: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        while !records.is_empty() {
            client.read_tls(&mut records).unwrap();
            client.process_new_packets().unwrap();
            let _ = client.reader().read_to_end(&mut text);
        }
        text
    }

    /// What a client's records say.
    fn read(records: &mut Records, client: &mut ClientConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let (mut rest, mut said) = (&mut bytes[..], Vec::new());
        while !rest.is_empty() {
            let (length, received) = records.decrypt(rest).unwrap().unwrap();
            match received {
                Received::Text(text) => said.extend_from_slice(text),
                Received::Other => {}
                Received::End => said.extend_from_slice(b"END"),
            }
            rest = &mut rest[length..];
        }
        said
    }

    /// A record as the client might make one, were it hostile.
    fn forged(records: &Records, inner: &[u8]) -> Vec<u8> {
        let (key, iv) = match &records.incoming.secrets {
            Secrets::Aes128Gcm { key, iv } => (key, iv),
            _ => panic!("another cipher"),
        };
        let key = UnboundKey::new(&aead::AES_128_GCM, key.as_ref()).unwrap();
        let nonce = Nonce::new(iv, records.incoming.next).0;
        let mut bytes = inner.to_vec();
        let header = header(inner.len() + TAG);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                Aad::from(header),
                &mut bytes,
            )
            .unwrap();
        [&header[..], &bytes].concat()
    }

    #[test]
    fn rustls_reads_what_we_write_and_we_what_it_writes() {
        let mut random = fastrand::Rng::with_seed(8);
        for suite in SUITES {
            let (mut client, mut records) = pair(suite);
            for round in 0..200 {
                let length = match round % 4 {
                    0 => random.usize(1..100),
                    1 => TEXT - 1 + random.usize(0..3),
                    _ => random.usize(1..60_000),
                };
                let text: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
                client.writer().write_all(&text).unwrap();
                assert!(read(&mut records, &mut client) == text, "{length} in");
                let mut out = b"before".to_vec();
                records.encrypt(&text, &mut out).unwrap();
                let overhead = OVERHEAD * length.div_ceil(TEXT);
                assert!(out.len() == 6 + length + overhead || round % 10 == 1);
                assert!(take(&mut client, &out[6..]) == text, "{length} out");
                match round % 10 {
                    // Both sides take new keys.
                    0 => client.refresh_traffic_keys().unwrap(),
                    5 => records.rest(),
                    _ => {}
                }
            }
            let mut out = Vec::new();
            records.close(&mut out).unwrap();
            client.read_tls(&mut &out[..]).unwrap();
            assert!(client.process_new_packets().unwrap().peer_has_closed());
            client.send_close_notify();
            assert_eq!(read(&mut records, &mut client), b"END");
        }
    }

    /// A key is good for so many records, of which the last one says that another follows.
    #[test]
    fn keys_change_before_they_are_worn() {
        let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
            panic!("another version");
        };
        let suite = Tls13CipherSuite {
            common: CipherSuiteCommon {
                confidentiality_limit: 4,
                ..suite.common
            },
            ..*suite
        };
        let suite = SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)));
        let (mut client, mut records) = pair(suite);
        for round in 0..50_u8 {
            let mut out = Vec::new();
            records.encrypt(&[round; 3], &mut out).unwrap();
            assert!(records.outgoing.next < 4);
            assert_eq!(take(&mut client, &out), [round; 3]);
            client.writer().write_all(&[round; 3]).unwrap();
            assert_eq!(read(&mut records, &mut client), [round; 3]);
        }
    }

    #[test]
    fn what_is_not_whole_waits() {
        let (mut client, mut records) = pair(SUITES[0]);
        client.writer().write_all(b"some text").unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        for length in 0..bytes.len() {
            assert!(records.decrypt(&mut bytes[..length]).unwrap().is_none());
        }
        let length = bytes.len();
        let received = records.decrypt(&mut bytes).unwrap();
        assert_eq!(received, Some((length, Received::Text(b"some text"))));
    }

    #[test]
    fn what_a_hostile_client_sends_has_its_alert() {
        let update = [24, 0, 0, 1, 0];
        let inner =
            |text: &[u8], kind: u8, zeros: usize| [text, &[kind][..], &vec![0; zeros]].concat();
        let cases = [
            (inner(b"", content::HANDSHAKE, 0), alert::UNEXPECTED_MESSAGE),
            (
                inner(&update[..4], content::HANDSHAKE, 0),
                alert::UNEXPECTED_MESSAGE,
            ),
            (
                inner(&[update, update].concat(), content::HANDSHAKE, 0),
                alert::UNEXPECTED_MESSAGE,
            ),
            (
                inner(&[1, 0, 0, 1, 0], content::HANDSHAKE, 0),
                alert::UNEXPECTED_MESSAGE,
            ),
            (
                inner(&[24, 0, 0, 1, 2], content::HANDSHAKE, 0),
                alert::ILLEGAL_PARAMETER,
            ),
            (inner(b"\x01", 20, 0), alert::UNEXPECTED_MESSAGE),
            (inner(b"text", 0, 9), alert::UNEXPECTED_MESSAGE),
            (inner(&[], 0, 9), alert::UNEXPECTED_MESSAGE),
            (inner(&[1], content::ALERT, 0), alert::DECODE_ERROR),
            (inner(&[1; TEXT], content::TEXT, 1), alert::RECORD_OVERFLOW),
            (
                inner(&vec![1; TEXT + 1], content::TEXT, 0),
                alert::RECORD_OVERFLOW,
            ),
        ];
        for (inner, alert) in cases {
            let (_, mut records) = pair(SUITES[0]);
            let mut record = forged(&records, &inner);
            let fault = records.decrypt(&mut record).unwrap_err();
            assert_eq!(fault.alert(), Some(alert), "{fault}");
        }
        for (record, alert) in [
            (&[20, 3, 3, 0, 1, 1][..], alert::UNEXPECTED_MESSAGE),
            (&[21, 3, 3, 0, 2, 1, 0], alert::UNEXPECTED_MESSAGE),
            (b"GET / HTTP/1.1", alert::UNEXPECTED_MESSAGE),
            (&[23, 3, 3, 0x41, 1], alert::RECORD_OVERFLOW),
            (&[23, 3, 3, 0, 0], alert::BAD_RECORD_MAC),
            (
                &[
                    23, 3, 3, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7,
                ],
                alert::BAD_RECORD_MAC,
            ),
        ] {
            let (_, mut records) = pair(SUITES[0]);
            let fault = records.decrypt(&mut record.to_vec()).unwrap_err();
            assert_eq!(fault.alert(), Some(alert), "{fault}");
        }
    }

    /// A record is good once, in its place, and as it is.
    #[test]
    fn order_and_integrity_are_checked() {
        let (mut client, mut records) = pair(SUITES[0]);
        let mut written = [Vec::new(), Vec::new()];
        for record in &mut written {
            client.writer().write_all(b"text").unwrap();
            client.write_tls(record).unwrap();
        }
        let [first, second] = written;
        let refused = |records: &mut Records, mut record: Vec<u8>| {
            let before = records.incoming.next;
            let fault = records.decrypt(&mut record).unwrap_err();
            assert_eq!(fault.alert(), Some(alert::BAD_RECORD_MAC));
            // A session that is broken is not gone on with, but here.
            records.incoming.next = before;
        };
        refused(&mut records, second.clone());
        for place in HEADER..first.len() {
            let mut changed = first.clone();
            changed[place] ^= 1;
            refused(&mut records, changed);
        }
        assert!(records.decrypt(&mut first.clone()).unwrap().is_some());
        refused(&mut records, first);
        assert!(records.decrypt(&mut second.clone()).unwrap().is_some());
    }

    #[test]
    fn records_that_say_nothing_come_to_an_end() {
        for (inner, fits) in [
            (&[content::TEXT, 0, 0][..], IDLE),
            (&[24, 0, 0, 1, 1, content::HANDSHAKE], IDLE),
        ] {
            let (_, mut records) = pair(SUITES[0]);
            for _ in 0..fits {
                let mut record = forged(&records, inner);
                assert!(records.decrypt(&mut record).unwrap().is_some());
            }
            let mut record = forged(&records, inner);
            let fault = records.decrypt(&mut record).unwrap_err();
            assert!(matches!(fault, Fault::Idle));
        }
        // A padded text of any length is one.
        let (_, mut records) = pair(SUITES[0]);
        let mut record = forged(&records, &[b'x', content::TEXT, 0, 0, 0]);
        let received = records.decrypt(&mut record).unwrap();
        assert!(matches!(received, Some((_, Received::Text(b"x")))));
    }

    #[test]
    fn an_end_for_a_reason_is_said() {
        let (_, mut records) = pair(SUITES[0]);
        let mut record = forged(&records, &[2, 48, content::ALERT]);
        let fault = records.decrypt(&mut record).unwrap_err();
        assert!(fault.to_string().contains("48") && fault.alert().is_none());
        let mut record = forged(&records, &[1, alert::USER_CANCELED, content::ALERT]);
        let received = records.decrypt(&mut record).unwrap();
        assert!(matches!(received, Some((_, Received::Other))));
    }
}
