//! Services: what scripts reach of the process, added in one file and one line.

mod tally;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::oneshot;
use wsh_server::app::{self, App, Signal};
use wsh_server::config::{
    Admission, Config, Deflate, Handlers, Interface, Limits, Listen, Proxy, Script,
};

use crate::support::{connect, within};

const HANDLER: &str = r#"
fn transfer_data(ws, message) {
    if message == "wait" {
        ws.send(`reached ${tally_wait(3)}`);
    } else {
        try { ws.send(`${tally_add(parse_int(message))}`); } catch (e) { ws.send(e.kind); }
    }
}
"#;

/// A server with two workers and the counter, on a thread of its own.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<ExitCode>,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("tally_wsh.rhai"), HANDLER).expect("written");
        let config = config(folder.path());
        // The line of wiring.
        let host = app::host(config.script.clone()).with(tally::Tally::default());
        let app = App::new(config, host).expect("everything is bound");
        let address = app.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let mut stopped = Some(stopped);
            let signals = async || match stopped.take() {
                Some(stopped) => {
                    let _ = stopped.await;
                    Signal::Stop(ExitCode::SUCCESS)
                }
                None => std::future::pending().await,
            };
            runtime.block_on(app.run(signals)).expect("it runs")
        });
        Self {
            address,
            stop,
            thread,
            _folder: folder,
        }
    }

    async fn end(self) {
        self.stop.send(()).expect("it runs");
        let ended = tokio::task::spawn_blocking(|| self.thread.join());
        let code = within("the end", ended)
            .await
            .expect("joined")
            .expect("no panic");
        assert_eq!(code, ExitCode::SUCCESS);
    }
}

fn config(root: &Path) -> Config {
    Config {
        listen: Listen {
            host: Interface::Named("127.0.0.1".into()),
            port: 0,
            tls: false,
            tls_port: None,
            unix: Vec::new(),
            backlog: 16,
        },
        handlers: Handlers {
            root: root.to_owned(),
            scan_dir: None,
            map_file: None,
            outside_root: false,
            alone: None,
        },
        store: Default::default(),
        record: None,
        rehearse: None,
        document_root: None,
        dev: false,
        inject: false,
        editor: None,
        script: Script::default(),
        workers: 2,
        tls: None,
        admission: Admission::default(),
        proxy: Proxy::default(),
        deflate: Deflate::default(),
        link: None,
        limits: Limits::default(),
        drain: Duration::from_secs(5),
        broker: Default::default(),
        drain_delay: Duration::ZERO,
        metrics: None,
        probes: Vec::new(),
        at_terminal: false,
        access_log: None,
        warnings: Vec::new(),
    }
}

/// Two connections, which two workers have: one waits for what the other does, and holds up nobody.
#[tokio::test]
async fn a_service_is_one_for_all_workers() {
    let served = Served::start();
    let url = format!("ws://{}/tally", served.address);
    let mut waiting = connect(&*url).await;
    waiting.send_text("wait").await;
    let mut adding = connect(&*url).await;
    for (said, answer) in [("1", "1"), ("0", "tally"), ("1", "2"), ("1", "3")] {
        adding.send_text(said).await;
        assert_eq!(adding.next_text().await, answer);
    }
    assert_eq!(waiting.next_text().await, "reached 3");
    // What is there already is not waited for.
    adding.send_text("wait").await;
    assert_eq!(adding.next_text().await, "reached 3");
    served.end().await;
}

/// A hook that waits for a service ends when its connection does, or the server.
#[tokio::test]
async fn who_waits_for_a_service_in_vain_is_ended() {
    let served = Served::start();
    let url = format!("ws://{}/tally", served.address);
    let mut gone = connect(&*url).await;
    gone.send_text("wait").await;
    drop(gone);
    let mut stays = connect(&*url).await;
    stays.send_text("wait").await;
    served.end().await;
}

/// `docs/architecture.md` shows the counter as it is here, and names files that there are.
#[test]
fn the_documented_service_is_this_one() {
    let document = include_str!("../../../docs/architecture.md");
    let shown = document.split("```rust\n").nth(2).expect("a second block");
    let shown = shown.split("```").next().expect("its end");
    assert_eq!(shown, include_str!("tally.rs"));

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = document.split('`').skip(1).step_by(2);
    let files: Vec<_> = words
        .filter(|word| word.ends_with(".rs") && !word.contains([' ', '\n']))
        .collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let is_there = root.join("src").join(file).is_file() || root.join(file).is_file();
        assert!(is_there, "docs/architecture.md names {file}");
    }
}
