//! PEM files to what a TLS handshake needs, read again while the server runs.
//!
//! The configuration of handshakes is an immutable snapshot. Whoever renews a certificate writes
//! two files, one after the other: what cannot serve yet keeps back itself, never what serves.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use x509_cert::der::Decode;

use super::development;
use crate::config::{ClientCertificates, Identity, Tls};
use crate::file::{self, Disk};
use crate::keeper::Asked;
use crate::observe::event::{Event, text};
use crate::text::without_mark;

/// Interval between two looks at the files.
const PERIOD: Duration = Duration::from_secs(2);
/// Bytes that are read of a file: a long chain has some ten thousand.
const LONGEST: usize = 1024 * 1024;
/// A certificate that ends sooner is spoken of.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// HTTP/1.1 is what an upgrade needs; whoever speaks nothing else is told so in the handshake.
const ALPN: &[u8] = b"http/1.1";

/// Error of a file that cannot serve: why, and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {}: {why}", file.display())]
pub struct Unusable {
    flag: &'static str,
    file: PathBuf,
    why: String,
}

/// The files as they were read. Compared byte for byte: a clock may be too coarse to show an edit.
#[derive(Debug, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    /// Certificates of the authorities that vouch for clients.
    authorities: Option<Vec<u8>>,
}

/// The certificates' keeper.
#[derive(Debug)]
pub struct Certificates {
    tls: Tls,
    files: Files,
    disk: Disk,
    pem: Pem,
    current: watch::Sender<Arc<ServerConfig>>,
    /// The error of the last look, and whether it has been logged.
    wrong: Option<(Unusable, bool)>,
}

/// Paths of an identity's certificate and key.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    private_key: PathBuf,
    /// For the user who made it.
    advice: Option<String>,
}

impl Certificates {
    /// Reads the files, and makes those of development.
    pub fn new(tls: Tls) -> Result<Self, Unusable> {
        let files = match &tls.identity {
            Identity::Files {
                certificate,
                private_key,
            } => Files {
                certificate: certificate.clone(),
                private_key: private_key.clone(),
                advice: None,
            },
            Identity::Development => make_for_development()?,
        };
        let mut disk = Disk::default();
        let pem = Pem::read(&files, &tls.clients, &mut disk)?;
        let (config, ends) = server_config(&pem, &files, &tls.clients)?;
        warn_of_end(&files.certificate, ends);
        Ok(Self {
            files,
            disk,
            pem,
            current: watch::Sender::new(Arc::new(config)),
            wrong: None,
            tls,
        })
    }

    /// Returns the configuration for handshakes that begin now, as a receiver.
    pub fn current(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Returns the instructions for trusting a certificate of development, in lines.
    pub fn advice(&self) -> Option<&str> {
        self.files.advice.as_deref()
    }

    /// Looks at the files for as long as somebody may ask it to, now and then and at once when
    /// asked.
    pub fn run(mut self, asked: &Asked) {
        while asked.wait(PERIOD).is_some() {
            let askers: Vec<_> = asked.askers().collect();
            self.look(!askers.is_empty());
        }
    }

    fn look(&mut self, is_asked: bool) {
        let before = self.wrong.take();
        match self.read() {
            Ok(is_new) => {
                if let Some((wrong, true)) = before.filter(|_| !is_new) {
                    Event::CertificateUsable {
                        flag: wrong.flag,
                        file: &wrong.file.display(),
                    }
                    .tell();
                }
            }
            Err(error) => {
                // A pair that is being written is wrong at one look, and right at the next.
                let was_said = before
                    .filter(|(wrong, _)| *wrong == error)
                    .map(|(_, said)| said);
                let is_to_be_said = was_said == Some(false) || was_said.is_none() && is_asked;
                if is_to_be_said {
                    Event::CertificateUnusable { error: &error }.tell();
                }
                self.wrong = Some((error, is_to_be_said || was_said == Some(true)));
            }
        }
    }

    /// Reads the files, and puts them to use if they are new: whether they are.
    fn read(&mut self) -> Result<bool, Unusable> {
        let is_ours = self.tls.identity == Identity::Development;
        if is_ours && !development::holds(&self.files.certificate) {
            make_for_development()?;
        }
        let pem = Pem::read(&self.files, &self.tls.clients, &mut self.disk)?;
        if pem == self.pem {
            return Ok(false);
        }
        let (config, ends) = server_config(&pem, &self.files, &self.tls.clients)?;
        self.pem = pem;
        self.current.send_replace(Arc::new(config));
        Event::CertificateRead {
            file: text(&self.files.certificate.display()),
            until: ends.as_ref().map(|ends| text(ends)),
        }
        .tell();
        warn_of_end(&self.files.certificate, ends);
        Ok(true)
    }
}

fn make_for_development() -> Result<Files, Unusable> {
    match development::make() {
        Ok(made) => Ok(Files {
            advice: Some(made.how_to_trust()),
            certificate: made.certificate,
            private_key: made.private_key,
        }),
        Err(error) => Err(Unusable {
            flag: "--tls-dev",
            file: development::folder().unwrap_or_default(),
            why: format!(
                "the development certificate cannot be made: {error}; set XDG_DATA_HOME to a \
                folder that can be written"
            ),
        }),
    }
}

impl Pem {
    fn read(
        files: &Files,
        clients: &ClientCertificates,
        disk: &mut Disk,
    ) -> Result<Self, Unusable> {
        let authorities = match clients {
            ClientCertificates::Ignored => None,
            ClientCertificates::Optional(file) | ClientCertificates::Required(file) => {
                Some(read_file(CLIENT_CA, file, disk)?)
            }
        };
        Ok(Self {
            certificate: read_file(CERTIFICATE, &files.certificate, disk)?,
            private_key: read_file(PRIVATE_KEY, &files.private_key, disk)?,
            authorities,
        })
    }
}

const CERTIFICATE: &str = "--certificate";
const PRIVATE_KEY: &str = "--private-key";
const CLIENT_CA: &str = "--tls-client-ca";

fn read_file(flag: &'static str, file: &Path, disk: &mut Disk) -> Result<Vec<u8>, Unusable> {
    let read = disk.ask(file, |file| {
        let bytes = file::read(file, LONGEST)?;
        if bytes.len() > LONGEST {
            let message = format!("it has more than {LONGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(without_mark(&bytes).to_vec())
    });
    read.map_err(|error| Unusable {
        flag,
        file: file.to_owned(),
        why: format!("it cannot be read: {error}; give a PEM file that can"),
    })
}

/// The configuration of handshakes, and when its certificate ends.
fn server_config(
    pem: &Pem,
    files: &Files,
    clients: &ClientCertificates,
) -> Result<(ServerConfig, Option<x509_cert::time::Time>), Unusable> {
    let chain = certificates(CERTIFICATE, &files.certificate, &pem.certificate)?;
    let ends = chain.first().and_then(end_of);
    let key = private_key(&files.private_key, &pem.private_key)?;
    let provider = Arc::new(ring::default_provider());
    let unusable = |flag, file: &Path, why: String| Unusable {
        flag,
        file: file.to_owned(),
        why,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(CERTIFICATE, &files.certificate, error.to_string()))?;
    let builder = match (clients, &pem.authorities) {
        (
            ClientCertificates::Optional(file) | ClientCertificates::Required(file),
            Some(authorities),
        ) => {
            let is_optional = matches!(clients, ClientCertificates::Optional(_));
            let verifier = verifier(file, authorities, is_optional, provider)?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => unusable(
            PRIVATE_KEY,
            &files.private_key,
            format!(
                "it does not belong to the certificate {}; give the key that the certificate was \
                made for",
                files.certificate.display()
            ),
        ),
        rustls::Error::InvalidCertificate(_) => unusable(
            CERTIFICATE,
            &files.certificate,
            format!("it is no certificate that can be served ({error}); give an X.509 certificate \
                in PEM"),
        ),
        _ => unusable(
            PRIVATE_KEY,
            &files.private_key,
            format!("it is no key that can be used ({error}); give an ECDSA, Ed25519 or RSA key of \
                2048 bits or more"),
        ),
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The records after the handshake are ours.
    config.enable_secret_extraction = true;
    // Resumed sessions spare a signature when many clients come back at once. A ticket holds its
    // session, so that the server keeps none; but it would vouch for a client whose certificate has
    // ended since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match clients {
        ClientCertificates::Ignored => {
            config.ticketer = ring::Ticketer::new()
                .map_err(|error| unusable(CERTIFICATE, &files.certificate, error.to_string()))?;
            config.send_tls13_tickets = 1;
        }
        _ => config.send_tls13_tickets = 0,
    }
    Ok((config, ends))
}

fn verifier(
    file: &Path,
    authorities: &[u8],
    is_optional: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Unusable> {
    let unusable = |why: String| Unusable {
        flag: CLIENT_CA,
        file: file.to_owned(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, file, authorities)? {
        roots.add(certificate).map_err(|error| {
            unusable(format!(
                "it has a certificate that cannot vouch for clients ({error}); give \
                those of authorities"
            ))
        })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if is_optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    builder
        .build()
        .map_err(|error| unusable(format!("it vouches for nobody ({error})")))
}

fn certificates(
    flag: &'static str,
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let unusable = |why: String| Unusable {
        flag,
        file: file.to_owned(),
        why,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(
            "there is no certificate in it; give a PEM file with one, the server's own before \
            those that vouch for it"
                .into(),
        )),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(format!(
            "it is not whole: {error}; give a PEM file"
        ))),
    }
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| Unusable {
        flag: PRIVATE_KEY,
        file: file.to_owned(),
        why: match error {
            PemError::NoItemsFound if memchr::memmem::find(pem, b"ENCRYPTED").is_some() => {
                "the key in it is locked with a password; unlock it with `openssl pkey -in FILE \
                -out FILE`"
                    .into()
            }
            PemError::NoItemsFound => "there is no private key in it; give a PEM file with \
                one"
            .into(),
            error => format!("it is not whole: {error}; give a PEM file"),
        },
    })
}

/// Returns the end of a certificate's validity, if it can be read.
fn end_of(certificate: &CertificateDer<'_>) -> Option<x509_cert::time::Time> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after)
}

fn warn_of_end(file: &Path, ends: Option<x509_cert::time::Time>) {
    let Some(ends) = ends else { return };
    let (now, file) = (SystemTime::now(), file.display());
    match ends.to_system_time().duration_since(now) {
        Ok(left) if left > SOON => {}
        Ok(_) => Event::CertificateEnds {
            file: text(&file),
            until: text(&ends),
        }
        .tell(),
        Err(_) => Event::CertificateEnded {
            file: text(&file),
            until: text(&ends),
        }
        .tell(),
    }
}
