//! The TLS handshake of one stream, on its worker.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{self, CertificateError, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::encrypted::TlsStream;
use crate::config::limits;
use crate::http::{self, Client, Kind, log_refusal};
use crate::observe::event::{Event, text};

/// Names by which logs know why there was no handshake; a limit's is that of its setting.
const BROKEN: &str = "tls-handshake";
const LATE: &str = "tls-handshake-timeout";

/// The terms of a handshake: the configuration of the moment when it began, and a timeout.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Certificate, key, and what is asked of clients.
    pub config: Arc<ServerConfig>,
    /// Timeout of the handshake.
    pub time: Duration,
}

/// A stream that speaks TLS now, and the subject of the certificate that its client has shown. It
/// is too large to be moved from task to task.
pub type Encrypted<S> = (Box<TlsStream<S>>, Option<String>);

/// Does the handshake; `None` if there is none, which is logged. A client that breaks it has its
/// alert then, with time to read it.
pub async fn shake_hands<S>(
    stream: S,
    terms: &Terms,
    client: &Client,
    linger: Duration,
) -> Option<Encrypted<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refused = |refusal: &'static str, why: &dyn Display| {
        let client = text(client);
        Event::NoTlsHandshake {
            client,
            refusal,
            why,
        }
        .tell();
    };
    let accepting = TlsStream::accept(stream, Arc::clone(&terms.config));
    match tokio::time::timeout(terms.time, accepting).await {
        Ok(Ok((stream, shown))) => {
            match shown.as_ref().map(subject).transpose() {
                Ok(subject) => return Some((stream, subject)),
                Err(error) => {
                    // A script must not take it for a client without a certificate.
                    let why = format_args!("the client's certificate cannot be read: {error}");
                    refused(BROKEN, &why);
                    Box::pin(http::finish(stream, &[], linger)).await;
                }
            }
        }
        Ok(Err((error, stream))) => {
            // Whoever expects clients with certificates wants to know of those that have none, or a
            // wrong one.
            match client_certificate(&error) {
                Some(why) => log_refusal(Kind::Certificate, client, None, &why),
                None => refused(BROKEN, &error),
            }
            Box::pin(http::finish(stream, &[], linger)).await;
        }
        Err(_) => refused(LATE, &format_args!("it took longer than {:?}", terms.time)),
    }
    None
}

/// The fatal alert to a client that does not speak TLS, RFC 8446 section 6: unexpected_message.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

/// Tells who speaks plain HTTP to a port of TLS so, in plain HTTP; others that are no TLS get an
/// alert.
pub async fn refuse_plain<S>(mut stream: S, client: &Client, limits: &limits::Head)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Vec::new();
    let reading = async {
        while !line.contains(&b'\n') && line.len() < limits.line {
            if stream.read_buf(&mut line).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(limits.linger, reading).await;
    let line = line.split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default().trim_ascii_end();
    if line.ends_with(b"HTTP/1.1") || line.ends_with(b"HTTP/1.0") {
        let said = "plain HTTP is spoken to a port of TLS: open https:// or wss://";
        let refusal = http::Refusal::new(400, said).named("plain-to-tls-port");
        http::note(refusal.id, refusal.status, client, || refusal.why());
        let without_body = line.starts_with(b"HEAD ");
        return refusal.send(stream, limits.linger, without_body).await;
    }
    Event::NoTlsHandshake {
        client: text(client),
        refusal: BROKEN,
        why: &"what came is none",
    }
    .tell();
    http::finish(stream, &ALERT, limits.linger).await;
}

/// Returns the fault of a client's certificate, if that is what broke the handshake.
fn client_certificate(error: &std::io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::NoCertificatesPresented => "it shows no certificate".into(),
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".into()
            }
            // A stranger's authority of the same name has another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "none of the authorities in --tls-client-ca vouches for its certificate".into()
            }
            other if other.to_string().contains("UnsupportedCertVersion") => {
                "its certificate is not of X.509 version 3; openssl x509 -req makes those with \
                -extfile"
                    .into()
            }
            other => format!("its certificate is of no use: {other}"),
        },
        _ => return None,
    })
}

/// The subject in the form of RFC 4514, the most specific part first.
fn subject(certificate: &CertificateDer<'_>) -> Result<String, x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    Ok(certificate.tbs_certificate().subject().to_string())
}
