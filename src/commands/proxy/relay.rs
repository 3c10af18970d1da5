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
        // "refused with 401 Unauthorized" is the server's own answer, which goes on.
        let said = if e.kind == "refused" { e.message.split(" ") } else { [] };
        let status = if said.len > 2 { parse_int(said[2]) } else { 0 };
        if status < 300 { request.reject(502, "", e.message); }
        else { request.reject(status, e.message.sub_string(17), e.message); }
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
        editor: None,
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// The first line of the answer to a handshake for this host.
    async fn answer(address: SocketAddr, host: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "GET /a HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut bytes = vec![0; 1024];
        let count = stream.read(&mut bytes).await.expect("an answer");
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Whoever guesses the port of the handler's server has to guess its name as well.
    #[tokio::test]
    async fn a_wrong_host_is_not_let_in() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a_wsh.rhai");
        std::fs::write(&file, "fn on_close(ws, code, reason, was_clean) {}").expect("written");
        // Nobody listens there.
        let server = Address::parse("ws://127.0.0.1:1").expect("an address");
        let trust = Trust::default();
        let relay = Relay::new(&file, &server, &trust, Duration::from_secs(5)).expect("a relay");
        let (address, host) = (relay.address, relay.host.clone());
        let asking = async {
            for wrong in [
                "localhost",
                "127.0.0.1",
                "internal",
                "evil.example",
                &address.to_string(),
            ] {
                let line = answer(address, wrong).await;
                assert!(line.starts_with("HTTP/1.1 4"), "{wrong}: {line}");
            }
            answer(address, &host).await
        };
        tokio::select! {
            ended = relay.run() => panic!("it has ended: {ended:?}"),
            // The handler was asked, and has not reached its server.
            line = asking => assert!(line.starts_with("HTTP/1.1 502"), "{line}"),
        }
    }
}
