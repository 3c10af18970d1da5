//! The flags of a server, in the groups of the help, and the configuration that they make.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::BoolishValueParser;

use super::bounds::Bounds;
use super::handlers::{Folder, Power};
use super::predecessor::Predecessor;
use super::value::{MetricsPort, Recorded, Seconds, Size, Time};
use crate::config::{
    Admission, Broker, ClientCertificates, Config, Credential, Deflate, Editor, Handlers,
    HostPattern, Identity, Interface, JsonPath, Limits, Link, Listen, OriginPattern, Proxy,
    Rehearse, Tls, Trusted, limits,
};

/// Everything that a server can be told.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    predecessor: Predecessor,
}

/// Flags of a server that `check` takes as well.
#[derive(Debug, Args)]
pub struct Settings {
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    power: Power,
    #[command(flatten)]
    encryption: Encryption,
    #[command(flatten)]
    entry: Entry,
    #[command(flatten)]
    behind: Behind,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    compression: Compression,
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    bounds: Bounds,
}

#[derive(Debug, Args)]
struct Listening {
    /// Port; 0 takes a free one
    #[arg(short, long, default_value_t = 9998, env = "WSH_PORT")]
    port: u16,
    /// Name or address to listen on [default: loopback]
    ///
    /// Loopback is 127.0.0.1 and ::1. 0.0.0.0 is every address of IPv4, :: every one of IPv6.
    #[arg(
        short = 'H',
        long,
        alias = "server_host",
        value_name = "HOST",
        env = "WSH_SERVER_HOST"
    )]
    server_host: Option<String>,
    /// Unix-domain socket to listen on, beside the port; may be given several times
    #[arg(long, value_name = "PATH", env = "WSH_UNIX_SOCKET")]
    unix_socket: Vec<PathBuf>,
    /// Connections that may wait to be accepted
    #[arg(
        short,
        long,
        default_value_t = limits::BACKLOG,
        value_name = "N",
        value_parser = clap::value_parser!(i32).range(1..=65_535),
        env = "WSH_QUEUE"
    )]
    queue: i32,
    /// Folder of ordinary files to serve as well
    #[arg(
        short,
        long,
        alias = "document_root",
        value_name = "DIR",
        env = "WSH_DOCUMENT_ROOT"
    )]
    document_root: Option<PathBuf>,
    /// What keeps stores and queues: memory, file:PATH, which outlives the server, or the URL of a
    /// Redis that several nodes share
    ///
    /// The URL is as that of --broker, which may be the same Redis.
    #[arg(
        long,
        value_name = "ENGINE",
        default_value = "memory",
        env = "WSH_STORE",
        hide_env_values = true
    )]
    store: String,
    /// Have connections take a worse network: latency=100ms,jitter=20ms,rate=50KiB
    ///
    /// In both directions, each with the same. More of it: stall=10s/2s lets nothing pass for 2 s
    /// every 10 s; cut_after=30s or cut_bytes=10KiB, of what a client is sent, ends a connection
    /// without a Close, reset as one of TCP; seed=1 makes the jitter the same each time. A handler
    /// says it for one connection: request.link.
    #[arg(long, value_name = "LINK", env = "WSH_LINK")]
    link: Option<Link>,
    /// Record connections to this folder, as HAR files
    ///
    /// Of one path and what lies below it: --record DIR=/chat. Cookies and Authorization are left
    /// out; messages are not.
    #[arg(long, value_name = "DIR[=PATH]", env = "WSH_RECORD")]
    record: Option<Recorded>,
    /// Play the recordings of this folder to each version of a handler that is saved
    ///
    /// HAR files, those of the handler's path, in a server that is only tried out. What it answers
    /// otherwise is shown; it serves all the same, unless --replay-strict is given.
    #[arg(long, value_name = "DIR", env = "WSH_REPLAY")]
    replay: Option<PathBuf>,
    /// With --replay, a version that answers otherwise than recorded does not serve
    #[arg(long, env = "WSH_REPLAY_STRICT", value_parser = BoolishValueParser::new())]
    replay_strict: bool,
    /// With --replay, a path in JSON messages that may differ, such as $.time; may be given several
    /// times
    #[arg(
        long,
        value_name = "PATH",
        env = "WSH_REPLAY_IGNORE",
        value_delimiter = ','
    )]
    replay_ignore: Vec<JsonPath>,
    /// Show faults to clients, and keep them
    ///
    /// The developer's seat: faults keep their connection and say where they are, and the log has a
    /// line for each open and close. On loopback, or with a password.
    #[arg(long, env = "WSH_DEV", value_parser = BoolishValueParser::new())]
    dev: bool,
    /// With --dev, leave pages of -d as they are
    ///
    /// Without it they get a script: it loads them anew when their files change, and shows what is
    /// wrong with the handlers that they are connected to.
    #[arg(long, env = "WSH_NO_INJECT", value_parser = BoolishValueParser::new())]
    no_inject: bool,
    /// With --dev, link the places of faults to your editor
    ///
    /// The address that it opens files by, such as vscode://file{file}:{line}:{column}.
    #[arg(long, value_name = "URL", env = "WSH_EDITOR")]
    editor: Option<Editor>,
    /// Log each open, close and answer [default: with --dev, and in a terminal]
    ///
    /// A line each, with who, what, how long and how much. --access-log false turns it off.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        env = "WSH_ACCESS_LOG"
    )]
    access_log: Option<bool>,
    /// Worker threads [default: one a core]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        env = "WSH_WORKERS"
    )]
    workers: Option<u16>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
struct Encryption {
    /// Speak TLS on the port: wss and https
    #[arg(short, long, env = "WSH_TLS", value_parser = BoolishValueParser::new())]
    tls: bool,
    /// Another port, which speaks TLS
    #[arg(long, value_name = "PORT", env = "WSH_TLS_PORT")]
    tls_port: Option<u16>,
    /// PEM file of the private key
    #[arg(
        short = 'k',
        long,
        alias = "private_key",
        value_name = "FILE",
        env = "WSH_PRIVATE_KEY"
    )]
    private_key: Option<PathBuf>,
    /// PEM file of the certificate and those that vouch for it
    #[arg(short, long, value_name = "FILE", env = "WSH_CERTIFICATE")]
    certificate: Option<PathBuf>,
    /// Make a certificate for localhost: wss
    ///
    /// For development, with --tls or --tls-port PORT. It is made once, and how to trust it is
    /// printed.
    #[arg(long, env = "WSH_TLS_DEV", value_parser = BoolishValueParser::new())]
    tls_dev: bool,
    /// Ask clients for a certificate, and let in only those that show one
    #[arg(long, env = "WSH_TLS_CLIENT_AUTH", value_parser = BoolishValueParser::new())]
    tls_client_auth: bool,
    /// With --tls-client-auth: let clients in that show none
    #[arg(long, env = "WSH_TLS_CLIENT_CERT_OPTIONAL", value_parser = BoolishValueParser::new())]
    tls_client_cert_optional: bool,
    /// PEM file of the authorities that vouch for clients
    #[arg(long, value_name = "FILE", env = "WSH_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// Time for a TLS handshake
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::TLS_HANDSHAKE),
        env = "WSH_TLS_HANDSHAKE_TIMEOUT"
    )]
    tls_handshake_timeout: Time,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Who may connect")]
struct Entry {
    /// Let everybody in: a test server for all
    ///
    /// Listens on every address, answers to every host name, and lets in pages of every origin,
    /// where --server-host, --allow-host and --allow-origin say nothing else.
    #[arg(long, env = "WSH_PUBLIC", value_parser = BoolishValueParser::new())]
    public: bool,
    /// Origin of pages that may connect
    ///
    /// Such as https://example.com, https://*.example.com, https://example.com:8443, or
    /// https://example.com:* for any port; or same, loopback, null, *. May be given several times.
    /// [default: loopback and null]
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "WSH_ALLOW_ORIGIN",
        value_delimiter = ','
    )]
    allow_origin: Vec<OriginPattern>,
    /// Host that requests may name
    ///
    /// Such as example.com, *.example.com, example.com:8443, [2001:db8::1]; without a port, or with
    /// :*, on any port; or loopback, *. May be given several times. [default: loopback names]
    #[arg(
        long,
        value_name = "HOST",
        env = "WSH_ALLOW_HOST",
        value_delimiter = ','
    )]
    allow_host: Vec<HostPattern>,
    /// Ask everybody for a user and a password
    #[arg(
        long,
        alias = "basic_auth",
        env = "WSH_BASIC_AUTH",
        value_parser = BoolishValueParser::new()
    )]
    basic_auth: bool,
    /// File of users and passwords, a line USER:PASSWORD each
    #[arg(long, value_name = "FILE", env = "WSH_BASIC_AUTH_FILE")]
    basic_auth_file: Option<PathBuf>,
    /// A user and a password; better in the environment than on the command line, which every
    /// process can read
    #[arg(
        long,
        alias = "basic_auth_credential",
        value_name = "USER:PASSWORD",
        env = "WSH_BASIC_AUTH_CREDENTIAL",
        hide_env_values = true
    )]
    basic_auth_credential: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Behind a proxy")]
struct Behind {
    /// Addresses of proxies whose word about clients is taken, such as 10.0.0.0/8; or loopback,
    /// unix; may be given several times
    #[arg(
        long,
        value_name = "CIDR",
        env = "WSH_TRUSTED_PROXY",
        value_delimiter = ','
    )]
    trusted_proxy: Vec<Trusted>,
    /// Connections from trusted proxies begin with a PROXY protocol header, version 1 or 2
    #[arg(long, env = "WSH_PROXY_PROTOCOL", value_parser = BoolishValueParser::new())]
    proxy_protocol: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Watching it")]
struct Watching {
    /// Port for metrics and probes, on loopback; or HOST:PORT
    ///
    /// /metrics is for Prometheus; /livez says whether the server lives, /readyz whether it is to
    /// be sent clients. Nobody is asked for a password there: 0.0.0.0:9464 shows them to whoever
    /// reaches it.
    #[arg(long, value_name = "PORT", env = "WSH_METRICS_PORT")]
    metrics_port: Option<MetricsPort>,
    /// Addresses whose /livez and /readyz are answered on the ports of clients, too [default:
    /// loopback, unix and trusted proxies]
    ///
    /// Such as 10.0.0.0/8, an address, loopback, or unix. May be given several times. To others
    /// these are paths like any.
    #[arg(
        long,
        value_name = "CIDR",
        env = "WSH_PROBE_FROM",
        value_delimiter = ','
    )]
    probe_from: Vec<Trusted>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Compression")]
struct Compression {
    /// Whether permessage-deflate is agreed to
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = Deflate::default().enabled,
        action = clap::ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        env = "WSH_COMPRESSION"
    )]
    compression: bool,
    /// Size from which a message is compressed
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(Deflate::default().threshold),
        env = "WSH_COMPRESSION_THRESHOLD"
    )]
    compression_threshold: Size,
    /// From 1, quick, to 9, small
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t = Deflate::default().level,
        value_parser = clap::value_parser!(u32).range(1..=9),
        env = "WSH_COMPRESSION_LEVEL"
    )]
    compression_level: u32,
    /// Keep the server's window between messages: smaller messages, 300 KiB more a connection
    #[arg(long, env = "WSH_COMPRESSION_SERVER_CONTEXT", value_parser = BoolishValueParser::new())]
    compression_server_context: bool,
    /// Let clients keep their window between messages: 32 KiB more a connection
    #[arg(long, env = "WSH_COMPRESSION_CLIENT_CONTEXT", value_parser = BoolishValueParser::new())]
    compression_client_context: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Between nodes")]
struct Between {
    /// What topics go through: memory, or the URL of an engine that several nodes share [default:
    /// memory]
    ///
    /// redis://HOST, rediss://HOST (TLS) or redis+unix:/PATH for Redis and Valkey, nats://HOST or
    /// tls://HOST (TLS) for NATS; with user, password, port and database as in
    /// redis://USER:PASSWORD@HOST:6379/0, and ?prefix=NAME for what all keys begin with. A password
    /// is better in the environment or in the configuration file than on the command line, which
    /// every process can read.
    #[arg(long, value_name = "URL", env = "WSH_BROKER", hide_env_values = true)]
    broker: Option<String>,
}

impl Serve {
    /// The configuration, checked as far as it can be without binding anything.
    pub fn config(self) -> Result<Config> {
        let mut warnings = self.predecessor.warnings();
        let mut config = self.settings.config()?;
        warnings.append(&mut config.warnings);
        Ok(Config { warnings, ..config })
    }
}

impl Settings {
    /// The same, for whoever knows nothing of the predecessor.
    pub fn config(self) -> Result<Config> {
        let mut warnings = self.power.warnings();
        warnings.extend(self.entry.warnings());
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let Listening {
            port,
            server_host,
            unix_socket,
            queue,
            document_root,
            store,
            link,
            record,
            replay,
            replay_strict,
            replay_ignore,
            dev,
            no_inject,
            editor,
            access_log,
            workers,
        } = self.listening;
        let drain = self.bounds.drain_timeout.0;
        let delay = self.bounds.drain_delay.0;
        let mut probes = self.watching.probe_from;
        if probes.is_empty() {
            probes = vec![Trusted::LOOPBACK, Trusted::UNIX];
            probes.extend_from_slice(&self.behind.trusted_proxy);
        }
        let rehearsal = self.bounds.rehearsal();
        let frames = self.bounds.max_waiting_size.0;
        let limits = Limits::from(self.bounds);
        let handlers = Handlers::from(self.folder);
        let mut script = self.power.script(&handlers);
        // A script holds what it is given.
        script.dev = dev;
        script.limits.frames = frames;
        script.max_message = limits.websocket.message;
        script.limits.string = script.limits.string.max(script.max_message);
        let (speaks_tls, tls_port) = (self.encryption.tls, self.encryption.tls_port);
        let host = match (server_host, self.entry.public) {
            (Some(host), _) => Interface::Named(host_alone(&host)?),
            (None, false) => Interface::Loopback,
            (None, true) => Interface::Every,
        };
        if self.behind.proxy_protocol && self.behind.trusted_proxy.is_empty() {
            bail!(
                "--proxy-protocol is spoken by proxies that are trusted: give --trusted-proxy \
                CIDR, or loopback"
            );
        }
        Ok(Config {
            listen: Listen {
                host,
                port,
                tls: speaks_tls,
                tls_port,
                unix: unix_socket,
                backlog: queue,
            },
            handlers,
            document_root,
            // Not when the flags are read: that would print what is wrong, with its password.
            store: store.parse().context("--store")?,
            record: record.map(|Recorded(record)| record),
            rehearse: replay.map(|folder| Rehearse {
                folder,
                strict: replay_strict,
                ignored: replay_ignore,
                limits: rehearsal,
            }),
            dev,
            inject: !no_inject,
            editor,
            script,
            workers: workers.map_or_else(cores, usize::from),
            tls: self.encryption.tls()?,
            admission: self.entry.admission()?,
            proxy: Proxy {
                trusted: self.behind.trusted_proxy,
                protocol: self.behind.proxy_protocol,
            },
            deflate: Deflate {
                enabled: self.compression.compression,
                threshold: self.compression.compression_threshold.0,
                level: self.compression.compression_level,
                server_context: self.compression.compression_server_context,
                client_context: self.compression.compression_client_context,
            },
            link,
            broker: self.between.broker()?,
            drain,
            drain_delay: delay.map_or(Duration::ZERO, |Seconds(seconds)| {
                Duration::from_secs(seconds.into())
            }),
            metrics: self
                .watching
                .metrics_port
                .map(|MetricsPort(metrics)| metrics),
            probes,
            limits,
            at_terminal: false,
            access_log,
            warnings,
        })
    }
}

/// A host to listen on, from what people write for one.
fn host_alone(text: &str) -> Result<String> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = unbracketed.filter(|address| address.parse::<Ipv6Addr>().is_ok()) {
        return Ok(address.to_owned());
    }
    if text.contains("://") || text.contains('/') {
        bail!("--server-host {text} is a URL: give the host alone, as in localhost");
    }
    if text == "*" {
        bail!("--server-host takes no *: give 0.0.0.0 for every address");
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && text.parse::<Ipv6Addr>().is_err()
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        bail!("--server-host {text} has a port: write --server-host {host} --port {port}");
    }
    if text.trim().is_empty() {
        bail!("--server-host is empty: give a name or an address of this machine");
    }
    Ok(text.to_owned())
}

impl Between {
    /// Not when the flags are read: that would print what is wrong, with its password.
    fn broker(self) -> Result<Broker> {
        let broker = self.broker.map(|url| url.parse()).transpose();
        Ok(broker.context("--broker")?.unwrap_or_default())
    }
}

impl Encryption {
    fn tls(self) -> Result<Option<Tls>> {
        let is_wanted = self.tls || self.tls_port.is_some() || self.tls_dev;
        if !is_wanted {
            let clients = self.tls_client_auth || self.tls_client_cert_optional;
            // Whoever gives one of them does not mean a server in the clear.
            let given = [
                ("--certificate", self.certificate.is_some()),
                ("--private-key", self.private_key.is_some()),
                ("--tls-client-ca", self.tls_client_ca.is_some()),
                ("--tls-client-auth", clients),
            ];
            if let Some((flag, _)) = given.iter().find(|(_, is_given)| *is_given) {
                bail!("{flag} is for TLS, and no port speaks it: add --tls, or --tls-port PORT");
            }
            return Ok(None);
        }
        if !self.tls && self.tls_port.is_none() {
            bail!("--tls-dev needs a port that speaks TLS: add --tls, or --tls-port PORT");
        }
        let identity = match (self.tls_dev, self.certificate, self.private_key) {
            (false, Some(certificate), Some(private_key)) => Identity::Files {
                certificate,
                private_key,
            },
            (true, None, None) => Identity::Development,
            (true, ..) => bail!(
                "--tls-dev makes its own certificate: leave out either it or --certificate and \
                --private-key"
            ),
            (false, ..) => bail!(
                "TLS needs a certificate and its key: give --certificate FILE and --private-key \
                FILE, or --tls-dev for development"
            ),
        };
        let clients = match (
            self.tls_client_auth,
            self.tls_client_cert_optional,
            self.tls_client_ca,
        ) {
            (true, false, Some(authorities)) => ClientCertificates::Required(authorities),
            (true, true, Some(authorities)) => ClientCertificates::Optional(authorities),
            (true, _, None) => bail!(
                "--tls-client-auth needs to know who vouches for clients: give --tls-client-ca FILE"
            ),
            (false, true, _) => {
                bail!("--tls-client-cert-optional is a form of --tls-client-auth: give both")
            }
            (false, false, Some(_)) => bail!(
                "--tls-client-ca vouches for clients that nobody asks for a certificate: add \
                --tls-client-auth"
            ),
            (false, false, None) => ClientCertificates::Ignored,
        };
        Ok(Some(Tls {
            identity,
            clients,
            handshake: self.tls_handshake_timeout.0,
        }))
    }
}

impl Entry {
    fn warnings(&self) -> impl Iterator<Item = String> {
        let slips = self.allow_host.iter().filter_map(HostPattern::slip);
        slips.map(|(name, word)| {
            format!("--allow-host {name} is taken for the name of a host; did you mean {word}?")
        })
    }

    fn admission(self) -> Result<Admission> {
        let mut credentials: Vec<Credential> = Vec::new();
        // Not when the flags are read: that would print what is wrong, and it is a secret.
        if let Some(pair) = self.basic_auth_credential {
            credentials.push(pair.parse().context("--basic-auth-credential")?);
        }
        if let Some(file) = &self.basic_auth_file {
            let text = crate::text::read(file).with_context(|| {
                format!(
                    "the file of passwords {} cannot be read: give --basic-auth-file another",
                    file.display()
                )
            })?;
            let lines = (1..).zip(text.lines().map(str::trim_end));
            for (number, line) in
                lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            {
                let pair = line
                    .parse()
                    .with_context(|| format!("{}, line {number}", file.display()))?;
                credentials.push(pair);
            }
        }
        let is_asked = self.basic_auth || self.basic_auth_file.is_some() || !credentials.is_empty();
        if is_asked && credentials.is_empty() {
            bail!("--basic-auth needs somebody who may connect: give --basic-auth-file FILE");
        }
        let (mut origins, mut hosts) = (self.allow_origin, self.allow_host);
        if self.public && origins.is_empty() {
            origins.push(OriginPattern::ANY);
        }
        if self.public && hosts.is_empty() {
            hosts.push(HostPattern::ANY);
        }
        Ok(Admission {
            origins,
            hosts,
            credentials: is_asked.then_some(credentials),
        })
    }
}
