//! Where the server listens, how many it lets in, what service managers and signals tell it, and
//! how it ends.

use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram, UnixStream};

use super::support::{
    Authority, Builder, ECHO, Raw, Request, Server, connect, connect_over, within,
};

/// Says how each connection ended, and echoes.
const ENDS: &str = "fn on_close(ws, code, reason, was_clean) {\n    print(`ended ${code} \
    ${was_clean}`);\n}\n\
                    fn transfer_data(ws, message) {\n    ws.send(message);\n}\n";

fn echo() -> Builder {
    Server::builder().file("echo_wsh.rhai", ECHO)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test]
async fn l01_over_the_limit_is_503_and_the_others_are_left_alone() {
    let server = echo().args(["--max-connections", "3"]).start().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Raw::open(&server, "/echo").await);
    }
    for _ in 0..20 {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::upgrade("/echo").bytes()).await;
        let head = raw.expect_refusal(503).await;
        assert!(head.header("Retry-After").is_some(), "{head:?}");
    }
    for raw in &mut open {
        raw.echoes(1).await;
    }
    // A flood is a line, not a log.
    let line = server.log("refusal=\"max-connections\"").await;
    assert!(line.contains("--max-connections"), "{line}");
    assert_eq!(server.count("max-connections"), 1, "{}", server.logged());

    // There is room again as soon as somebody leaves.
    drop(open.pop());
    within("room", async {
        loop {
            let mut raw = Raw::connect(&server).await;
            if raw.handshake("/echo", &[]).await.status == 101 {
                break;
            }
        }
    })
    .await;
}

/// No handshake for a client that there is no room for, but an alert that says so.
#[tokio::test]
async fn l01_over_the_limit_tls_gets_an_alert() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let builder = echo().args(["--tls-port", "0", "--max-connections", "1"]);
    let server = builder.args(identity).start().await;
    let stream = authority.client().connect(server.tls_port()).await;
    let mut open = connect_over(stream, "wss://localhost/echo").await;
    let mut raw = Raw::connect_to(server.tls_port()).await;
    let alert = raw.until_eof().await;
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 80]);
    let refused = authority.client().try_connect(server.tls_port()).await;
    let error = refused.expect_err("no room").to_string();
    assert!(error.contains("InternalError"), "{error}");
    // Both ports have one limit.
    let mut raw = Raw::connect(&server).await;
    raw.expect_refusal(503).await;
    open.echoes(1).await;
}

/// `accept` finds no descriptor: one line, no spinning, and service as soon as there are some.
#[tokio::test]
async fn l03_without_descriptors_it_waits_and_recovers() {
    let builder = echo().open_files(64).workers(1);
    let server = builder.args(["--max-connections", "1000"]).start().await;
    let mut first = Raw::open(&server, "/echo").await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Raw::connect(&server).await);
    }
    let line = server.log("refusal=\"open-files\"").await;
    assert!(line.contains("ulimit -n"), "{line}");
    first.echoes(1).await;
    // Those who could not be served have been told, by an end.
    let last = crowd.pop().expect("a hundred");
    within("the end of one that found no room", ended(last)).await;
    drop(crowd);
    within("service", async {
        loop {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port()))
                .await
                .expect("connect");
            if answers(&mut stream).await {
                break;
            }
        }
    })
    .await;
    first.echoes(1).await;
    assert_eq!(server.count("open-files"), 1, "{}", server.logged());
}

async fn ended(mut raw: Raw) {
    raw.at_end().await;
}

/// Whether an upgrade is accepted, rather than the connection ended.
async fn answers(stream: &mut TcpStream) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut answer = [0; 12];
    stream
        .write_all(&Request::upgrade("/echo").bytes())
        .await
        .is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && answer == *b"HTTP/1.1 101"
}

#[tokio::test]
async fn a_unix_domain_socket_is_served_and_removed() {
    let folder = folder();
    let path = folder.path().join("wsh.sock");
    let builder = echo().file(
        "who_wsh.rhai",
        "fn transfer_data(ws, message) {\n    \
        ws.send(`[${ws.remote_addr}] ${ws.remote_port} ${ws.secure}`);\n}\n",
    );
    let mut server = builder.arg("--unix-socket").arg(&path).start().await;
    server
        .printed(format!("unix:{}", path.display()).as_str())
        .await;
    let mut client = connect_over(unix(&path).await, "ws://localhost/who").await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "[] 0 false");
    connect(server.url("/echo")).await.echoes(1).await;
    assert!(server.stop().await.success());
    assert!(!path.exists());
}

async fn unix(path: &Path) -> UnixStream {
    let connecting = UnixStream::connect(path);
    within("a connection", connecting).await.expect("connect")
}

#[tokio::test]
async fn s03_what_a_killed_server_left_behind_is_replaced() {
    let folder = folder();
    let path = folder.path().join("wsh.sock");
    let start = |port: u16| {
        let builder = echo().bare().args(["-p", &port.to_string(), "-w", "."]);
        builder.arg("--unix-socket").arg(&path).start()
    };
    let mut server = start(0).await;
    let port = server.port();
    let mut client = connect(server.url("/echo")).await;
    client.echoes(1).await;
    server.signal("KILL");
    server.exited().await;
    assert!(is_socket(&path));
    // The same port at once, with a connection that was open on it.
    let server = start(port).await;
    connect(server.url("/echo")).await.echoes(1).await;
    connect_over(unix(&path).await, "ws://localhost/echo")
        .await
        .echoes(1)
        .await;
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[tokio::test]
async fn s04_a_path_that_is_taken_ends_the_start() {
    let folder = folder();
    let (socket, file) = (folder.path().join("wsh.sock"), folder.path().join("a file"));
    let _listening = UnixListener::bind(&socket).expect("bind");
    std::fs::write(&file, "precious").expect("write");
    let missing = folder.path().join("missing/wsh.sock");
    for (path, why) in [
        (&socket, "a running server answers there"),
        (&file, "there is a file that is no socket"),
        (&missing, "No such file or directory"),
    ] {
        let finished = echo().arg("--unix-socket").arg(path).run().await;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        let error = &finished.stderr;
        for part in [why, "--unix-socket", path.to_str().expect("UTF-8")] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(is_socket(&socket));
    assert_eq!(std::fs::read_to_string(file).expect("read"), "precious");
}

#[tokio::test]
async fn s04_a_tls_port_in_use_ends_the_start() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("an address").port().to_string();
    let builder = echo().args(["--tls-port", &port]).args(identity);
    let finished = builder.run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(finished.stderr.contains("--tls-port"), "{finished:?}");
    assert!(!finished.stdout.contains("ready"), "{finished:?}");
}

/// A socket that systemd has bound takes the place of the port.
#[tokio::test]
async fn a_handed_over_port_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let mut waiting = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("connect");
    let server = echo().handing_over(listener, "ws").start().await;
    assert_eq!(server.port(), port);
    let line = server.printed("ready: ").await;
    assert!(
        line.starts_with(&format!("ready: ws://127.0.0.1:{port} (")),
        "{line}"
    );
    // Whoever came before there was a server is served.
    assert!(within("an answer", answers(&mut waiting)).await);
    connect(server.url("/echo")).await.echoes(1).await;
}

#[tokio::test]
async fn a_handed_over_socket_of_the_name_tls_speaks_it() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let builder = echo().arg("-t").args(identity);
    let server = builder.handing_over(listener, "tls").start().await;
    let stream = authority.client().connect(server.tls_port()).await;
    connect_over(stream, "wss://localhost/echo")
        .await
        .echoes(1)
        .await;

    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let finished = echo().handing_over(listener, "tls").run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(finished.stderr.contains("--certificate"), "{finished:?}");
}

#[tokio::test]
async fn a_handed_over_unix_domain_socket_is_served_and_left_in_place() {
    let folder = folder();
    let path = folder.path().join("wsh.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let mut server = echo().handing_over(listener, "ws").start().await;
    connect_over(unix(&path).await, "ws://localhost/echo")
        .await
        .echoes(1)
        .await;
    assert!(server.stop().await.success());
    // It is systemd's.
    assert!(is_socket(&path));
}

#[tokio::test]
async fn s04_what_was_handed_over_and_is_no_listening_socket_ends_the_start() {
    let file = std::fs::File::open("/dev/null").expect("open");
    let finished = echo().handing_over(file, "ws").run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(finished.stderr.contains("LISTEN_FDS"), "{finished:?}");
}

/// A service manager of the test's own.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let folder = folder();
        let path = folder.path().join("notify");
        Manager {
            socket: UnixDatagram::bind(&path).expect("bind"),
            path,
            _folder: folder,
        }
    }

    async fn told(&self) -> String {
        let mut message = [0; 512];
        let receiving = self.socket.recv(&mut message);
        let length = within("a notification", receiving).await.expect("receive");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

#[tokio::test]
async fn a_service_manager_is_told_how_far_it_is() {
    let manager = Manager::new();
    let mut server = echo().env("NOTIFY_SOCKET", &manager.path).start().await;
    assert_eq!(manager.told().await, "READY=1\n");
    // A reload is over when what it has found serves.
    server.write("new_wsh.rhai", ECHO);
    server.signal("HUP");
    let reloading = manager.told().await;
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let since = since.and_then(|since| since.trim_end().parse::<u64>().ok());
    assert!(since.is_some_and(|since| since > 0), "{reloading}");
    assert_eq!(manager.told().await, "READY=1\n");
    connect(server.url("/new")).await.echoes(1).await;
    server.log("SIGHUP").await;
    assert!(server.stop().await.success());
    assert_eq!(manager.told().await, "STOPPING=1\n");
}

#[tokio::test]
async fn s01_hundreds_are_closed_with_1001_and_each_has_its_last_hook() {
    const CLIENTS: usize = 600;
    let server = Server::builder().file("ends_wsh.rhai", ENDS);
    let mut server = server.start().await;
    let (mut polite, mut mute) = (Vec::new(), Vec::new());
    for number in 0..CLIENTS {
        let mut raw = Raw::open(&server, "/ends").await;
        raw.echoes(1).await;
        if number % 60 == 0 {
            mute.push(raw);
        } else {
            polite.push(raw);
        }
    }
    server.signal("TERM");
    for raw in &mut polite {
        raw.answer_close(1001).await;
        raw.expect_eof().await;
    }
    for raw in &mut mute {
        raw.expect_close(1001).await;
    }
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.logged());
    assert_eq!(server.count("ended 1001 true"), polite.len());
    assert_eq!(server.count("ended 1001 false"), mute.len());
}

/// However short the time is, whoever does not answer has its last hook before it is up.
#[tokio::test]
async fn s01_a_short_drain_runs_every_last_hook() {
    let builder = Server::builder().file("ends_wsh.rhai", ENDS);
    let mut server = builder.args(["--drain-timeout", "1s"]).start().await;
    let mut mute = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::open(&server, "/ends").await;
        raw.echoes(1).await;
        mute.push(raw);
    }
    server.signal("TERM");
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.logged());
    assert_eq!(server.count("ended 1001 false"), 50, "{}", server.logged());
    assert_eq!(server.count("are dropped"), 0, "{}", server.logged());
}

/// The window of a terminal is closed: the server ends as if it had been told to, and does not take
/// it for a reload.
#[tokio::test]
async fn a_terminal_that_goes_away_takes_the_server_with_it() {
    let folder = folder();
    let (log, path) = (folder.path().join("log"), folder.path().join("wsh.sock"));
    std::fs::write(folder.path().join("echo_wsh.rhai"), ECHO).expect("write");
    let command = format!(
        "exec {} -p 0 -w . --unix-socket wsh.sock 2>{}",
        env!("CARGO_BIN_EXE_wsh-server"),
        log.display()
    );
    let mut terminal = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("script, of Debian's package bsdutils");
    let until = async |what: &str, done: &dyn Fn() -> bool| {
        let wait = async {
            while !done() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        within(what, wait).await;
    };
    until("the socket", &|| is_socket(&path)).await;
    connect_over(unix(&path).await, "ws://localhost/echo")
        .await
        .echoes(1)
        .await;
    terminal.kill().expect("kill");
    terminal.wait().expect("wait");
    let logged = || std::fs::read_to_string(&log).expect("a log");
    until("its end", &|| {
        !path.exists() && logged().contains("draining")
    })
    .await;
    let log = logged();
    assert!(!log.contains("SIGHUP"), "{log}");
}

/// A second signal leaves no file behind, either.
#[tokio::test]
async fn s02_a_second_signal_removes_the_socket_as_well() {
    let folder = folder();
    let path = folder.path().join("wsh.sock");
    let nap = format!(
        "fn on_close(ws, code, reason, was_clean) {{\n    print(\"last words\");\n    \
        sleep(60.0);\n}}\n{ECHO}"
    );
    let builder = Server::builder().file("nap_wsh.rhai", nap);
    let mut server = builder.arg("--unix-socket").arg(&path).start().await;
    let mut raw = Raw::open(&server, "/nap").await;
    raw.echoes(1).await;
    server.signal("TERM");
    raw.answer_close(1001).await;
    server.log("last words").await;
    server.signal("HUP");
    server.signal("TERM");
    assert_eq!(server.exited().await.code(), Some(143));
    assert!(!path.exists());
}

/// wss is drained like ws.
#[tokio::test]
async fn s01_encrypted_connections_are_closed_with_1001() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let builder = Server::builder().file("ends_wsh.rhai", ENDS);
    let mut server = builder.arg("-t").args(identity).start().await;
    let stream = authority.client().connect(server.port()).await;
    let mut client = connect_over(stream, "wss://localhost/ends").await;
    client.echoes(1).await;
    // One that is in the middle of its handshake is not waited for.
    let _unfinished = Raw::connect_to(server.port()).await;
    server.signal("TERM");
    assert_eq!(client.next_close().await.0, 1001);
    client.expect_end().await;
    assert_eq!(server.exited().await.code(), Some(0));
    assert_eq!(server.count("ended 1001 true"), 1, "{}", server.logged());
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the package brings for systemd, by name: as `docs/deployment.md` shows it.
fn packaged() -> Vec<(&'static str, String)> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/deployment.md")).expect("the page");
    let files = [
        ("wsh-server.socket", "/usr/lib/systemd/system"),
        ("wsh-server.service", "/usr/lib/systemd/system"),
        ("wsh-server.toml", "/etc/wsh-server"),
    ];
    let read = |(name, folder): (&'static str, &str)| {
        let text = std::fs::read_to_string(format!("{ROOT}/packaging/{name}")).expect(name);
        let shown = format!("\n# {folder}/{name}\n{text}```\n");
        assert!(
            page.contains(&shown),
            "docs/deployment.md shows another {name}"
        );
        (name, text)
    };
    files.map(read).into()
}

/// systemd knows every line of them.
#[test]
fn the_unit_files_of_the_package_are_valid() {
    let folder = folder();
    for (name, unit) in packaged() {
        let unit = unit.replace("/usr/bin/wsh-server", env!("CARGO_BIN_EXE_wsh-server"));
        std::fs::write(folder.path().join(name), unit).expect("write");
    }
    let output = std::process::Command::new("systemd-analyze")
        .args([
            "verify",
            "--man=no",
            "--recursive-errors=no",
            "wsh-server.service",
            "wsh-server.socket",
        ])
        .current_dir(folder.path())
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
        .output()
        .expect("systemd-analyze, of Debian's package systemd");
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("wsh-server"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

/// What the service starts does start, with a socket of the name in the socket's file.
#[tokio::test]
async fn the_command_line_of_the_package_serves() {
    let files = packaged();
    let text = |wanted: &str| {
        let found = files.iter().find(|(name, _)| *name == wanted);
        found.expect("it is there").1.as_str()
    };
    assert!(text("wsh-server.socket").contains("\nFileDescriptorName=tls\n"));
    let command = "\nExecStart=/usr/bin/wsh-server --config /etc/wsh-server/wsh-server.toml\n";
    assert!(text("wsh-server.service").contains(command));
    let authority = Authority::new();
    let [_, certificate, _, key] = authority.identity(&authority.issue("server"));
    let settings = text("wsh-server.toml")
        .replace("/srv/wsh/handlers", ".")
        .replace("/srv/wsh/fullchain.pem", &certificate)
        .replace("/srv/wsh/privkey.pem", &key);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let builder = echo().bare().file("wsh-server.toml", settings);
    let builder = builder.args(["--config", "wsh-server.toml"]);
    let mut server = builder.handing_over(listener, "tls").start().await;
    let stream = authority.client().connect(server.tls_port()).await;
    connect_over(stream, "wss://example.com/echo")
        .await
        .echoes(1)
        .await;
    assert!(server.stop().await.success());
}

/// A server that is to speak TLS, and whose socket lacks the name for it, does not speak in the
/// clear instead.
#[tokio::test]
async fn a_handed_over_socket_without_its_name_ends_the_start_of_tls() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let builder = echo().bare().arg("-t").args(identity);
    let finished = builder.handing_over(listener, "web").run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(
        finished.stderr.contains("FileDescriptorName=tls"),
        "{finished:?}"
    );
}
