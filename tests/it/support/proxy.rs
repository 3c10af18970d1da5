//! Real proxies as ordinary processes in a temporary folder: Apache httpd, nginx and HAProxy as
//! Debian packages them. The system's own services, if there are any, are not touched.
//!
//! A missing program fails the test: a skipped test looks like a passed one.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::PATIENCE;

const LOG: &str = "log";

/// How often a port that was free is tried, which somebody else may have taken since.
const ATTEMPTS: usize = 5;

pub struct Proxy {
    child: Child,
    port: u16,
    dir: TempDir,
}

/// Which program, and so which configuration stands around the site's own.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Apache,
    Nginx,
    Haproxy,
}

impl Proxy {
    /// Starts it with a site of the documentation, in which the port to listen on is still to be
    /// put in.
    pub async fn start(kind: Kind, site: impl Fn(u16) -> String) -> Proxy {
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            let port = port.expect("a free port").port();
            let dir = tempfile::tempdir().expect("a folder");
            let child = kind.start(dir.path(), &site(port), port);
            let mut proxy = Proxy { child, port, dir };
            let started = Instant::now();
            while started.elapsed() < PATIENCE {
                if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                    return proxy;
                }
                if proxy
                    .child
                    .try_wait()
                    .expect("the child's status")
                    .is_some()
                {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let log = fs::read_to_string(proxy.dir.path().join(LOG)).unwrap_or_default();
            assert!(log.contains("in use"), "{kind:?} does not serve:\n{log}");
        }
        panic!("{kind:?}: no port stayed free");
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Kind {
    fn start(self, dir: &Path, site: &str, port: u16) -> Child {
        // Its workers run as somebody else if the tests run as root.
        fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("a folder of ours");
        let config = dir.join("config");
        let (program, text) = match self {
            Self::Apache => ("/usr/sbin/apache2", apache(dir, site, port)),
            Self::Nginx => ("/usr/sbin/nginx", nginx(dir, site)),
            Self::Haproxy => ("/usr/sbin/haproxy", site.to_owned()),
        };
        fs::write(&config, text).expect("write the configuration");
        let mut command = Command::new(program);
        match self {
            Self::Apache => command.arg("-DFOREGROUND").arg("-f").arg(&config),
            Self::Nginx => command.arg("-e").arg(dir.join(LOG)).arg("-c").arg(&config),
            Self::Haproxy => command.arg("-db").arg("-f").arg(&config),
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join(LOG));
        let child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        child.unwrap_or_else(|error| {
            panic!(
                "{program}: {error}. The proxy tests need it: \
                 apt-get install --no-install-recommends apache2-bin nginx-light haproxy."
            )
        })
    }
}

/// What Debian's own files have around a site.
fn apache(dir: &Path, site: &str, port: u16) -> String {
    let modules = [
        "mpm_event",
        "authz_core",
        "headers",
        "proxy",
        "proxy_http",
        "ssl",
        "socache_shmcb",
    ];
    let modules: String = modules
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let dir = dir.display();
    format!(
        "ServerRoot {dir}\nPidFile {dir}/pid\nDefaultRuntimeDir {dir}\nMutex file:{dir} \
        default\nErrorLog {dir}/{LOG}\n\
         ServerName localhost\nListen 127.0.0.1:{port}\n{modules}User www-data\nGroup www-data\n\
         StartServers 1\nThreadsPerChild 25\nMaxRequestWorkers 25\nMinSpareThreads \
         1\nMaxSpareThreads 25\n{site}"
    )
}

fn nginx(dir: &Path, site: &str) -> String {
    let dir = dir.display();
    // The workers' user is root if the tests' is, so that they may write into the folder.
    let user = if is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {dir}/{name};\n"))
        .concat();
    format!(
        "daemon off;\nworker_processes 1;\npid {dir}/pid;\n{user}\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{site}\n}}\n"
    )
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked, not killed: what is left otherwise are its workers.
        let script = format!("kill {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &script]).status();
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for a site, and files for proxies to read.
pub struct Identity {
    dir: TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    pub fn of(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name, text: &str| fs::write(dir.path().join(name), text).expect("write");
        write("site.pem", &certificate);
        write("site.key", &key);
        write("both.pem", &format!("{certificate}{key}"));
        Identity {
            dir,
            certificate: made.cert.der().clone(),
        }
    }

    /// `site.pem`, `site.key`, or `both.pem`.
    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A port in the clear that leads through TLS to this one, for clients that have come from
    /// there.
    pub async fn tunnel(&self, name: &'static str, client: &'static str, port: u16) -> u16 {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(name).expect("a name");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let own = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut visitor, _)) = listener.accept().await {
                let (connector, name) = (connector.clone(), name.clone());
                tokio::spawn(async move {
                    let socket = TcpSocket::new_v4().expect("a socket");
                    let from = (client.parse::<std::net::Ipv4Addr>().expect("an address"), 0);
                    socket
                        .bind(from.into())
                        .expect("an address of this machine");
                    let stream = socket.connect(([127, 0, 0, 1], port).into()).await;
                    let stream = stream.expect("the proxy is there");
                    let stream = connector.connect(name, stream).await;
                    let mut stream = stream.expect("a TLS handshake");
                    // Whichever side ends, the test sees it.
                    let _ = copy_bidirectional(&mut visitor, &mut stream).await;
                });
            }
        });
        own
    }
}
