//! TLS stream: what is written leaves encrypted, what is read arrives decrypted.
//!
//! Records are read into a buffer of the thread and decrypted there, and written from another: a
//! stream owns bytes only while a record is not whole, the reader has less room than came, or the
//! peer takes less than it is sent. The handshake and all of TLS 1.2 are rustls', by its unbuffered
//! interface; what follows the handshake of TLS 1.3 are our [`Records`].

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use tokio_rustls::rustls::{self, ProtocolVersion, ServerConfig};

use super::records::{HEADER, OVERHEAD, Received, Records};
use crate::websocket::Transport;

/// Bytes of the buffer to read into: the longest handshake message, and the longest record behind
/// it.
const BUFFER: usize = 96 * 1024;
/// The longest record, RFC 5246 section 6.2.3; those of RFC 8446 are shorter.
const RECORD: usize = HEADER + 16 * 1024 + 2048;
/// Bytes of a handshake message that is not whole, as rustls bounds it.
const HANDSHAKE: usize = 64 * 1024;
/// Bytes that are read at once for a reader who has room for less.
const READ: usize = 4096;
/// Bytes that are encrypted at once: what the peer does not take is kept.
const WRITE: usize = 64 * 1024;

thread_local! {
    /// Records on their way in and out, of the stream that runs.
    static INCOMING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUTGOING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Has `work` use the buffer to read into.
fn with_incoming<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut records = INCOMING.take();
    if records.is_empty() {
        records = vec![0; BUFFER];
    }
    let result = work(&mut records);
    INCOMING.set(records);
    result
}

/// Has `work` use the buffer to write from, which is empty.
fn with_outgoing<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut records = OUTGOING.take();
    records.clear();
    let result = work(&mut records);
    OUTGOING.set(records);
    result
}

/// A stream whose peer is the client of a TLS session.
pub struct TlsStream<S> {
    stream: S,
    session: Session,
    /// The beginning of a record, or of a handshake message, that is not whole.
    unfinished: Vec<u8>,
}

/// The session, with what it has made of the records.
struct Session {
    layer: Layer,
    /// Decrypted bytes that the reader had no room for, and how many of them it has had since.
    received: Vec<u8>,
    taken: usize,
    /// Records that the peer has not taken yet, and how many of their bytes it has.
    unsent: Vec<u8>,
    sent: usize,
    /// The peer has sent its close_notify.
    has_ended: bool,
    /// We have sent ours.
    is_shut: bool,
    /// The peer has broken the protocol: nothing can be read or written any more.
    is_broken: bool,
}

/// What encrypts and decrypts.
enum Layer {
    /// During the handshake, and for TLS 1.2.
    Rustls(Box<UnbufferedServerConnection>),
    /// After the handshake of TLS 1.3.
    Ours(Box<Records>),
    /// Between the two.
    Neither,
}

impl<S> std::fmt::Debug for TlsStream<S> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// A stream after its handshake, and the certificate of the client if it has shown one.
pub type Accepted<S> = (Box<TlsStream<S>>, Option<CertificateDer<'static>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Does the handshake. If there is none the stream comes back with the reason, and the peer has
    /// its alert.
    pub async fn accept(
        stream: S,
        config: Arc<ServerConfig>,
    ) -> Result<Accepted<S>, (io::Error, S)> {
        let tls = match UnbufferedServerConnection::new(config) {
            Ok(tls) => tls,
            Err(error) => return Err((io::Error::other(error), stream)),
        };
        let mut accepted = Box::new(Self {
            stream,
            session: Session::new(tls),
            unfinished: Vec::new(),
        });
        match std::future::poll_fn(|context| accepted.poll_handshake(context)).await {
            Ok(certificate) => Ok((accepted, certificate)),
            Err(error) => Err((error, accepted.stream)),
        }
    }

    fn poll_handshake(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<CertificateDer<'static>>>> {
        // What comes behind the handshake is kept.
        let mut nobody = ReadBuf::new(&mut []);
        loop {
            // A client that writes before it reads is not waited for.
            let sending = self.poll_send(context)?;
            if !self.session.is_shaking_hands() {
                ready!(sending);
                ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                let certificate = self.session.settle()?;
                let mut records = std::mem::take(&mut self.unfinished);
                let (done, result) = self.session.receive(&mut records, &mut nobody);
                self.keep(&records[done..]);
                return Poll::Ready(result.map(|()| certificate));
            }
            if ready!(self.poll_records(context, &mut nobody))? == 0 {
                let error = io::Error::new(ErrorKind::UnexpectedEof, "tls handshake eof");
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Reads once, and decrypts what is whole; how many bytes came.
    fn poll_records(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let begun = self.unfinished.len();
        let longest = match self.session.is_shaking_hands() {
            true => HANDSHAKE,
            false => RECORD,
        };
        if begun >= longest {
            self.session.is_broken = true;
            return Poll::Ready(Err(invalid("a message is longer than TLS allows")));
        }
        let polled = with_incoming(|records| {
            let room = reader.remaining().max(READ).min(records.len() - begun);
            let records = &mut records[..begun + room];
            records[..begun].copy_from_slice(&self.unfinished);
            let mut read = ReadBuf::new(&mut records[begun..]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let count = read.filled().len();
            let records = &mut records[..begun + count];
            let (done, result) = self.session.receive(records, reader);
            self.keep(&records[done..]);
            Poll::Ready(result.map(|()| count))
        });
        if polled.is_ready() && !self.session.unsent.is_empty() {
            // An alert, or what rustls answers. What the stream does not take now it takes before
            // all that is written later.
            let _ = self.poll_send(context);
        }
        polled
    }

    /// Keeps what is not finished, in as many bytes as that has.
    fn keep(&mut self, rest: &[u8]) {
        self.unfinished.clear();
        self.unfinished.shrink_to(rest.len());
        self.unfinished.reserve_exact(rest.len());
        self.unfinished.extend_from_slice(rest);
    }

    /// Gives the stream what it has not taken yet.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Session { unsent, sent, .. } = &mut self.session;
        while *sent < unsent.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &unsent[*sent..]))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                count => *sent += count,
            }
        }
        (*unsent, *sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Encrypts what fits and gives it to the stream; how many bytes that was.
    fn poll_encrypt<'t>(
        &mut self,
        context: &mut Context<'_>,
        texts: impl Iterator<Item = &'t [u8]>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        with_outgoing(|records| {
            let mut taken = 0;
            for text in texts {
                let text = &text[..text.len().min(WRITE - taken)];
                if !text.is_empty() {
                    self.session.encrypt(&mut self.unfinished, text, records)?;
                    taken += text.len();
                }
            }
            // What rustls has to say by itself goes first.
            let mut sent = 0;
            while self.session.unsent.is_empty() && sent < records.len() {
                match Pin::new(&mut self.stream).poll_write(context, &records[sent..])? {
                    Poll::Ready(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    Poll::Ready(count) => sent += count,
                    Poll::Pending => break,
                }
            }
            if sent < records.len() {
                self.session.unsent.extend_from_slice(&records[sent..]);
            }
            Poll::Ready(Ok(taken))
        })
    }
}

impl Session {
    fn new(tls: UnbufferedServerConnection) -> Self {
        Self {
            layer: Layer::Rustls(Box::new(tls)),
            received: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            sent: 0,
            has_ended: false,
            is_shut: false,
            is_broken: false,
        }
    }

    fn is_shaking_hands(&self) -> bool {
        matches!(&self.layer, Layer::Rustls(tls) if tls.is_handshaking())
    }

    /// The handshake is done and has been sent: what it has needed is given up. Returns the
    /// client's certificate.
    fn settle(&mut self) -> io::Result<Option<CertificateDer<'static>>> {
        let Layer::Rustls(tls) = std::mem::replace(&mut self.layer, Layer::Neither) else {
            return Ok(None);
        };
        let certificate = tls.peer_certificates().and_then(<[_]>::first).cloned();
        self.layer = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => {
                Layer::Ours(Box::new(Records::after(*tls).map_err(io::Error::other)?))
            }
            _ => Layer::Rustls(tls),
        };
        Ok(certificate)
    }

    /// Decrypts records for the reader, and answers those that are for us; how many bytes of them
    /// are done with.
    fn receive(&mut self, records: &mut [u8], reader: &mut ReadBuf<'_>) -> (usize, io::Result<()>) {
        let received = &mut self.received;
        let mut text = |text: &[u8]| {
            // One that has to wait lets nothing overtake it.
            let fits = match received.is_empty() {
                true => text.len().min(reader.remaining()),
                false => 0,
            };
            reader.put_slice(&text[..fits]);
            received.extend_from_slice(&text[fits..]);
        };
        let (mut done, mut seen) = (0, 0);
        let result = loop {
            match &mut self.layer {
                Layer::Rustls(tls) => {
                    // A record at a time, so that the handshake ends with its last one.
                    seen = match tls.is_handshaking() {
                        true => seen + first_record(&records[seen..]),
                        false => records.len(),
                    };
                    let shown = &mut records[done..seen];
                    let went = advance(tls, &mut self.unsent, shown, &mut text, |_| ());
                    done += went.done;
                    self.has_ended |= went.has_ended;
                    match went.result {
                        Err(error) => break Err(invalid(error)),
                        Ok(_) if seen == records.len() || !tls.is_handshaking() => break Ok(()),
                        Ok(_) => {}
                    }
                }
                Layer::Ours(layer) => match layer.decrypt(&mut records[done..]) {
                    Ok(None) => break Ok(()),
                    Ok(Some((length, received))) => {
                        done += length;
                        match received {
                            Received::Text(bytes) => text(bytes),
                            Received::Other => {}
                            Received::End => {
                                // What follows it is nobody's.
                                (self.has_ended, done) = (true, records.len());
                                break Ok(());
                            }
                        }
                    }
                    Err(fault) => {
                        let _ = layer.alert(&fault, &mut self.unsent);
                        break Err(invalid(fault));
                    }
                },
                Layer::Neither => break Err(ErrorKind::BrokenPipe.into()),
            }
        };
        self.is_broken |= result.is_err();
        (done, result)
    }

    /// Encrypts a text behind what `records` holds.
    fn encrypt(
        &mut self,
        unfinished: &mut Vec<u8>,
        text: &[u8],
        records: &mut Vec<u8>,
    ) -> io::Result<()> {
        if self.is_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.is_broken {
            return Err(invalid(BROKEN));
        }
        if let Layer::Ours(layer) = &mut self.layer {
            return layer.encrypt(text, records).map_err(invalid);
        }
        let start = records.len();
        let mut room = text.len() + (text.len() / RECORD + 3) * OVERHEAD;
        loop {
            records.resize(start + room, 0);
            let out = &mut records[start..];
            match self.write(unfinished, |traffic| traffic.encrypt(text, out))? {
                Ok(count) => {
                    records.truncate(start + count);
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                    room = size.required_size;
                }
                Err(error) => return Err(invalid(error)),
            }
        }
    }

    /// Says that we write nothing more.
    fn shut(&mut self, unfinished: &mut Vec<u8>) {
        if self.is_shut || self.is_broken {
            return;
        }
        self.is_shut = true;
        // Where it cannot be said, the peer sees an end that is none.
        if let Layer::Ours(layer) = &mut self.layer {
            let _ = layer.close(&mut self.unsent);
            return;
        }
        let mut records = [0; 256];
        let closing = self.write(unfinished, |traffic| {
            traffic.queue_close_notify(&mut records)
        });
        if let Ok(Ok(count)) = closing {
            self.unsent.extend_from_slice(&records[..count]);
        }
    }

    /// Has rustls write records, as far as it has seen those that have come.
    fn write<R>(
        &mut self,
        unfinished: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> R,
    ) -> io::Result<R> {
        let Layer::Rustls(tls) = &mut self.layer else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let received = &mut self.received;
        let mut text = |text: &[u8]| received.extend_from_slice(text);
        let went = advance(tls, &mut self.unsent, unfinished, &mut text, write);
        self.has_ended |= went.has_ended;
        unfinished.drain(..went.done);
        match went.result {
            Ok(Some(written)) => Ok(written),
            Ok(None) => Err(ErrorKind::BrokenPipe.into()),
            Err(error) => {
                self.is_broken = true;
                Err(invalid(error))
            }
        }
    }

    /// Gives the reader what has been kept for it.
    fn take(&mut self, reader: &mut ReadBuf<'_>) {
        let kept = &self.received[self.taken..];
        let fits = kept.len().min(reader.remaining());
        reader.put_slice(&kept[..fits]);
        self.taken += fits;
        if self.taken == self.received.len() {
            (self.received, self.taken) = (Vec::new(), 0);
        }
    }
}

/// What is said to whoever goes on with a session that is broken.
const BROKEN: &str = "the peer has broken the protocol of TLS";

/// Bytes of the first of these records; all of them if it is not whole.
fn first_record(records: &[u8]) -> usize {
    let length = match records {
        [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
        _ => usize::MAX,
    };
    length.min(records.len())
}

/// How far rustls went.
struct Went<R> {
    /// Bytes of the records that it needs no more.
    done: usize,
    /// The peer says that it writes nothing more.
    has_ended: bool,
    /// What was written, where that is allowed.
    result: Result<Option<R>, rustls::Error>,
}

/// Has rustls go through the records until it wants more of them. What they say goes to `text`,
/// what it answers to `unsent`; then it is asked to `write`.
fn advance<R>(
    tls: &mut UnbufferedServerConnection,
    unsent: &mut Vec<u8>,
    records: &mut [u8],
    text: &mut impl FnMut(&[u8]),
    write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> R,
) -> Went<R> {
    let (mut done, mut has_ended) = (0, false);
    let result = loop {
        let UnbufferedStatus {
            mut discard, state, ..
        } = tls.process_tls_records(&mut records[done..]);
        let stop = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        text(record.payload);
                        discard += record.discard;
                    }
                    Some(Err(error)) => break Some(Err(error)),
                    None => break None,
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, unsent);
                None
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                None
            }
            Ok(ConnectionState::PeerClosed) => {
                has_ended = true;
                None
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let written = write(&mut traffic);
                done += discard;
                break Ok(Some(written));
            }
            // More is wanted, or all is over. Early data is not agreed on.
            Ok(_) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        };
        done += discard;
        if let Some(stop) = stop {
            break stop;
        }
    };
    // The peer is to have the alert that says what is wrong with what it sent.
    while result.is_err() && tls.wants_write() {
        match tls.process_tls_records(&mut records[done..]).state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, unsent),
            _ => break,
        }
    }
    Went {
        done,
        has_ended,
        result,
    }
}

/// Puts a record of rustls' own behind those that wait.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, unsent: &mut Vec<u8>) {
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        let start = unsent.len();
        unsent.resize(start + size.required_size, 0);
        let _ = data.encode(&mut unsent[start..]);
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = reader.remaining();
        this.session.take(reader);
        while reader.remaining() == before && before > 0 && !this.session.has_ended {
            if this.session.is_broken {
                return Poll::Ready(Err(invalid(BROKEN)));
            }
            let came = ready!(this.poll_records(context, reader))?;
            let is_cut_off = came == 0 && !this.session.has_ended;
            if is_cut_off {
                let message = "the peer ended the stream without TLS close_notify";
                return Poll::Ready(Err(io::Error::new(ErrorKind::UnexpectedEof, message)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        text: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_encrypt(context, std::iter::once(text))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        texts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let texts = texts.iter().map(|text| &**text);
        self.get_mut().poll_encrypt(context, texts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.shut(&mut this.unfinished);
        ready!(this.poll_send(context))?;
        match ready!(Pin::new(&mut this.stream).poll_shutdown(context)) {
            // The peer is gone already.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            ended => Poll::Ready(ended),
        }
    }
}

impl<S: Transport> Transport for TlsStream<S> {
    fn reset_when_dropped(&self) {
        self.stream.reset_when_dropped();
    }

    fn may_rest(&self) -> bool {
        matches!(&self.session.layer, Layer::Ours(layer) if layer.may_rest())
    }

    fn rest(&mut self) {
        if let Layer::Ours(layer) = &mut self.session.layer {
            layer.rest();
        }
    }
}

#[cfg(test)]
mod tests;
