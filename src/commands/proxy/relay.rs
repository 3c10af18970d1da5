//! A handler between a client and its server: served by a server of its own behind the proxy, at
//! every path, with a connection to the real one in `this.server`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;

use crate::app::{self, App};
use crate::client::{Address, Egress, Trust};
use crate::config::{
    Admission, Config, Deflate, Destination, Destinations, Handlers, HostPattern, Interface,
    Limits, Listen, OriginPattern, Proxy, Script, StandardHook, limits,
};
use crate::handlers::SUFFIX;

/// A handler's server that is bound and does not run yet.
#[derive(Debug)]
pub struct Relay {
    app: App,
    /// Where it listens, on loopback,
    pub address: SocketAddr,
    /// and the only `Host` that it answers: nobody but the proxy knows it, so that no page that
    /// guesses the port comes in past what the proxy looks at.
    pub host: String,
}

/// Hooks that pass everything on, for what a handler does not define. `{server}` is where to.
const HOOKS: [(&str, &str); 5] = [
    (
        "do_extra_handshake",
        r#"fn do_extra_handshake(request) {
    let headers = request.headers;
    for name in ["host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version",
        "sec-websocket-extensions", "sec-websocket-protocol"] {
        headers.remove(name);
    }
    let subprotocols = request.requested_protocols;
    let server = ();
    try {
        let options = #{headers: headers, subprotocols: subprotocols, compress: true};
        server = dial("{server}" + request.target, options);
    } catch (e) {
        request.reject(502, "", e.message);
        return;
    }
    if server.protocol != "" { request.protocol = server.protocol; }
    this.server = server;
}
"#,
    ),
    (
        "transfer_data",
        "fn transfer_data(ws, message) { this.server.send(message); }\n",
    ),
    (
        "on_dialed",
        "fn on_dialed(ws, dialed, message) { ws.send(message); }\n",
    ),
    (
        "on_dialed_close",
        r#"fn on_dialed_close(ws, dialed, code, reason) {
    if code == 1005 { ws.close(()); } else if code == 1006 { ws.abort(); } else { ws.close(code, reason); }
}
"#,
    ),
    (
        "on_close",
        r#"fn on_close(ws, code, reason, was_clean) {
    if code == 1005 { this.server.close(); }
    else if code != 1006 && code != 1015 { this.server.close(code, reason); }
}
"#,
    ),
];

impl Relay {
    /// One of this handler, to this server.
    pub fn new(file: &Path, server: &Address, trust: &Trust, time: Duration) -> Result<Self> {
        let shown = file.display();
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| name.ends_with(SUFFIX)) else {
            bail!("--handler {shown}: a handler's name ends in {SUFFIX}");
        };
        if !file.is_file() {
            bail!("--handler {shown}: there is no such file");
        }
        let root = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let scheme = if server.secure { "wss" } else { "ws" };
        let leads_to = format!("{scheme}://{}", server.authority());
        let standard = HOOKS.map(|(name, text)| StandardHook {
            name,
            text: text.replace("{server}", &leads_to),
        });
        let place = Destination::trusted(&server.host, server.port);
        let script = Script {
            dev: true,
            connect: Destinations::from(vec![place]),
            standard: Arc::new(standard),
            ..Script::default()
        };
        let tls = server.secure.then(|| trust.config()).transpose()?;
        let egress = Egress::new(
            script.connect.clone(),
            tls,
            limits::Egress {
                time,
                ..limits::EGRESS
            },
            script.max_message,
        );
        let host = app::host(script.clone()).providing(Arc::new(egress));
        let handlers = Handlers {
            root: root.to_owned(),
            scan_dir: None,
            map_file: None,
            outside_root: true,
            alone: Some(name.to_owned()),
        };
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).context("there are no random numbers")?;
        let known_as = format!("{}.internal", HEXLOWER.encode(&secret));
        let app = App::new(config(handlers, script, &known_as)?, host)?.unsaid();
        let address = app.addresses().first().copied();
        let address = address.context("the handler's server listens nowhere")?;
        Ok(Self {
            app,
            address,
            host: known_as,
        })
    }

    /// Serves, and never ends by itself.
    pub async fn run(self) -> Result<ExitCode> {
        self.app.run(async || std::future::pending().await).await
    }
}

/// A server on loopback, whose clients are the proxy's: those it has let in.
fn config(handlers: Handlers, script: Script, host: &str) -> Result<Config> {
    Ok(Config {
        listen: Listen {
            host: Interface::Named("127.0.0.1".to_owned()),
            port: 0,
            tls: false,
            tls_port: None,
            unix: Vec::new(),
            backlog: limits::BACKLOG,
        },
        handlers,
        document_root: None,
        store: Default::default(),
        record: None,
        rehearse: None,
        dev: false,
        inject: false,
        script,
        workers: 1,
        tls: None,
        admission: Admission {
            origins: vec!["*".parse::<OriginPattern>()?],
            hosts: vec![host.parse::<HostPattern>()?],
            credentials: None,
        },
        proxy: Proxy::default(),
        deflate: Deflate::default(),
        link: None,
        broker: Default::default(),
        limits: Limits::default(),
        drain: limits::DRAIN,
        drain_delay: Duration::ZERO,
        metrics: None,
        probes: Vec::new(),
        // What the proxy itself shows is enough.
        at_terminal: true,
        access_log: Some(false),
        warnings: Vec::new(),
    })
}
