//! Certificates of a test's own, and a client that speaks TLS.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::within;

/// An authority with a folder for what it issues.
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            dir: tempfile::tempdir().expect("a temporary folder"),
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for localhost, with this common name.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2999)
    }

    /// The same, with an end.
    pub fn issue_until(&self, name: &str, year: i32) -> Issued {
        let names = ["localhost", "127.0.0.1"].map(String::from);
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Tests, Inc.");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Issued {
            certificate,
            key: key.serialize_pem(),
        }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes a file of the folder in place; where it is.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).expect("write a PEM file");
        file
    }

    /// Writes a certificate and its key; flags that name them.
    pub fn identity(&self, issued: &Issued) -> [String; 4] {
        let certificate = self.write("cert.pem", &issued.certificate);
        let key = self.write("key.pem", &issued.key);
        let shown = |file: &Path| file.to_str().expect("UTF-8").to_owned();
        ["-c".into(), shown(&certificate), "-k".into(), shown(&key)]
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.pem)
    }
}

/// What a client trusts and shows.
#[derive(Clone)]
pub struct TlsClient {
    roots: Arc<RootCertStore>,
    identity: Option<Issued>,
    is_old: bool,
    window: Option<u32>,
}

impl TlsClient {
    pub fn trusting(authorities: &str) -> TlsClient {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a root");
        }
        TlsClient {
            roots: Arc::new(roots),
            identity: None,
            is_old: false,
            window: None,
        }
    }

    pub fn showing(mut self, identity: &Issued) -> TlsClient {
        self.identity = Some(identity.clone());
        self
    }

    /// TLS 1.2 alone.
    pub fn old(mut self) -> TlsClient {
        self.is_old = true;
        self
    }

    /// A receive buffer of so many bytes: the server's writes are blocked early and often.
    pub fn with_window(mut self, bytes: u32) -> TlsClient {
        self.window = Some(bytes);
        self
    }

    /// A handshake with localhost on this port.
    pub async fn try_connect(&self, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let versions = if self.is_old { [&TLS12] } else { [&TLS13] };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions)
            .expect("versions")
            .with_root_certificates(Arc::clone(&self.roots));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Issued { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("an identity")
            }
        };
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.window {
            socket.set_recv_buffer_size(bytes)?;
        }
        let connecting = socket.connect((Ipv4Addr::LOCALHOST, port).into());
        let stream = within("a connection", connecting).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, stream);
        within("a TLS handshake", shaking).await
    }

    pub async fn connect(&self, port: u16) -> TlsStream<TcpStream> {
        let connected = self.try_connect(port).await;
        connected.expect("a TLS handshake")
    }
}
