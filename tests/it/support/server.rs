//! A running `wsh-server` with a temporary folder of handlers: started, watched, signalled, killed.
//! Its output is read by plain threads, so that a server belongs to no tokio runtime.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::PATIENCE;

pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
    stdout: Output,
    stderr: Output,
}

impl Server {
    /// A server of these handlers, ready to be connected to.
    pub async fn start(files: &[(&str, &str)]) -> Server {
        Server::builder().files(files).start().await
    }

    pub fn builder() -> Builder {
        Builder {
            dir: tempfile::tempdir().expect("a temporary folder"),
            workers: 2,
            bare: false,
            args: Vec::new(),
            env: Vec::new(),
            handed_over: None,
            ulimit: None,
        }
    }

    /// The port of the ready line; 0 after `spawn`, until `ready` has been awaited.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of the ready line that speaks TLS.
    pub fn tls_port(&self) -> u16 {
        let lines = self.stdout.lines.borrow();
        let port = lines.iter().find_map(|line| port_with(line, "wss"));
        port.expect("a wss address in the ready line")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB: now, and the most there has been.
    pub fn memory(&self) -> Memory {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let field = |name| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .expect(name);
            line.trim()
                .trim_end_matches(" kB")
                .parse()
                .expect("a number")
        };
        Memory {
            now: field("VmRSS:"),
            peak: field("VmHWM:"),
        }
    }

    /// How many sockets it has open. Its files are none of a test's business: the watcher opens
    /// some after the ready line.
    pub fn sockets(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("/proc");
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// `ws://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("ws://127.0.0.1:{}{path}", self.port)
    }

    /// The folder of handlers.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the folder in place, as the simplest editor does.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        write(&self.dir().join(name), content.as_ref());
    }

    /// Writes a temporary file beside it and renames it over the old one, as careful editors do.
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let target = self.dir().join(name);
        let temporary = target.with_extension("rhai.tmp");
        write(&temporary, content.as_ref());
        std::fs::rename(&temporary, &target).expect("rename over the old file");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir().join(name)).expect("remove a handler");
    }

    /// The next log line that contains the text, or all texts of an array. A line is returned once,
    /// and lines in between stay for later calls: hooks of two connections may log in either order.
    pub async fn log(&self, pattern: impl Pattern) -> String {
        self.stderr.take("a log line", &pattern).await
    }

    /// The next line of standard output that contains the text: the ready line is there too.
    pub async fn printed(&self, pattern: impl Pattern) -> String {
        self.stdout.take("a line of output", &pattern).await
    }

    /// Standard output so far.
    pub fn output(&self) -> String {
        self.stdout.lines.borrow().join("\n")
    }

    /// How many log lines so far contain the text; all there will ever be after `stop`.
    pub fn count(&self, pattern: impl Pattern) -> usize {
        let lines = self.stderr.lines.borrow();
        lines.iter().filter(|line| pattern.is_in(line)).count()
    }

    /// The log so far.
    pub fn logged(&self) -> String {
        self.stderr.lines.borrow().join("\n")
    }

    /// Sends a signal by name, `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill` spares the tests an `unsafe` block.
        let script = format!("kill -s {name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(
            status.expect("a shell").success(),
            "signal {name} was not sent"
        );
    }

    /// SIGTERM, and the status the server ends with. Its whole log has arrived then.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.exited().await
    }

    /// Waits for the end of the program.
    pub async fn exited(&mut self) -> ExitStatus {
        let log = self.stderr.lines.clone();
        let wait = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("the child's status") {
                    break status;
                }
                // A child's end has no event that std offers without a thread of its own.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let Ok(status) = tokio::time::timeout(PATIENCE, wait).await else {
            panic!(
                "the server did not end; its log:\n{}",
                log.borrow().join("\n")
            );
        };
        self.stdout.join();
        self.stderr.join();
        status
    }

    /// After `Builder::spawn`: waits for the ready line.
    pub async fn ready(&mut self) {
        let mut lines = self.stdout.lines.clone();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let is_ready = |line: &String| line.starts_with("ready: ");
                if let Some(line) = lines.borrow_and_update().iter().find(|line| is_ready(line)) {
                    break Some(port_of(line).unwrap_or_default());
                }
                if lines.changed().await.is_err() {
                    break None;
                }
            }
        });
        match found.await {
            Ok(Some(port)) => self.port = port,
            _ => panic!("no ready line; the log:\n{}", self.logged()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of the server in KiB.
pub struct Memory {
    pub now: usize,
    pub peak: usize,
}

/// What a server is started with. The defaults: two workers, a free port, its own folder.
pub struct Builder {
    dir: TempDir,
    workers: usize,
    bare: bool,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    /// A listening socket that is handed over as systemd does, and its name.
    handed_over: Option<(OwnedFd, &'static str)>,
    /// What the shell's `ulimit` bounds, and by how much.
    ulimit: Option<String>,
}

impl Builder {
    pub fn files(self, files: &[(&str, &str)]) -> Self {
        for (name, content) in files {
            write(&self.dir.path().join(name), content.as_bytes());
        }
        self
    }

    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        write(&self.dir.path().join(name), content.as_ref());
        self
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// One more variable of its environment.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Hands over a listening socket as descriptor 3, under this name.
    pub fn handing_over(mut self, socket: impl Into<OwnedFd>, name: &'static str) -> Self {
        self.handed_over = Some((socket.into(), name));
        self
    }

    /// How many files it may have open, and not one more.
    pub fn open_files(mut self, limit: u32) -> Self {
        self.ulimit = Some(format!("-n {limit}"));
        self
    }

    /// How long its files may be, until `prlimit` says otherwise.
    pub fn file_size(mut self, mib: u32) -> Self {
        self.ulimit = Some(format!("-S -f {}", mib * 2048));
        self
    }

    /// How much address space it may have.
    pub fn address_space(mut self, mib: u32) -> Self {
        self.ulimit = Some(format!("-v {}", mib * 1024));
        self
    }

    /// Only the given arguments: no `-p 0`, no `-w`, no `--workers`.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// The folder of handlers, for tests that prepare more than files in it.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Starts it and waits until it serves.
    pub async fn start(self) -> Server {
        let mut server = self.spawn();
        server.ready().await;
        server
    }

    /// Starts it and does not wait.
    pub fn spawn(self) -> Server {
        let mut child = self.command().spawn().expect("start wsh-server");
        let stdout = Output::of(child.stdout.take().expect("piped"));
        let stderr = Output::of(child.stderr.take().expect("piped"));
        Server {
            child,
            port: 0,
            dir: self.dir,
            stdout,
            stderr,
        }
    }

    /// Runs it to its end: for subcommands, and for starts that must fail.
    pub async fn run(self) -> Finished {
        let mut server = self.spawn();
        let status = server.exited().await;
        Finished {
            status,
            stdout: server.stdout.lines.borrow().join("\n"),
            stderr: server.logged(),
        }
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_wsh-server");
        let mut command = Command::new("sh");
        let mut stdin = Stdio::null();
        if let Some((socket, name)) = &self.handed_over {
            // Standard input is how a descriptor gets through `Command` without `unsafe`; the
            // process keeps its number over `exec`.
            let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
            command.args(["-c", script, program]);
            command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
            stdin = socket.try_clone().expect("a descriptor").into();
        } else if let Some(limit) = &self.ulimit {
            let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
            command.args(["-c", &script, program]);
        } else {
            command = Command::new(program);
        }
        if !self.bare {
            command.args(["-p", "0", "--workers", &self.workers.to_string(), "-w"]);
            command.arg(self.dir.path());
        }
        command
            .args(&self.args)
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .envs(self.env.iter().cloned())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// What a program that ended by itself left behind.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// What to look for in a line: a text, or several that must all be in it.
pub trait Pattern {
    fn is_in(&self, line: &str) -> bool;
    fn shown(&self) -> String;
}

impl Pattern for &str {
    fn is_in(&self, line: &str) -> bool {
        line.contains(self)
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Pattern for &String {
    fn is_in(&self, line: &str) -> bool {
        line.contains(self.as_str())
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl<const N: usize> Pattern for [&str; N] {
    fn is_in(&self, line: &str) -> bool {
        self.iter().all(|part| line.contains(part))
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

/// The lines of one stream of the child, as they arrive.
struct Output {
    lines: watch::Receiver<Vec<String>>,
    /// Per line, whether `take` has returned it.
    taken: Arc<Mutex<Vec<bool>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Output {
        let (sender, lines) = watch::channel(Vec::new());
        let reader = std::thread::spawn(move || {
            // Bytes, not strings: a stream that is not UTF-8 must not end the reading.
            let mut chunks = BufReader::new(stream).split(b'\n');
            while let Some(Ok(line)) = chunks.next() {
                let line = without_colours(String::from_utf8_lossy(&line).trim_end_matches('\r'));
                sender.send_modify(|lines| lines.push(line));
            }
        });
        Output {
            lines,
            taken: Arc::default(),
            reader: Some(reader),
        }
    }

    async fn take(&self, kind: &str, pattern: &impl Pattern) -> String {
        let mut lines = self.lines.clone();
        let search = async {
            loop {
                if let Some(line) = self.untaken(&lines.borrow_and_update(), pattern) {
                    return Some(line);
                }
                if lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(Some(line)) => line,
            ended => panic!(
                "{} {kind} with {}; all there was:\n{}",
                if ended.is_ok() {
                    "the server ended without"
                } else {
                    "waited in vain for"
                },
                pattern.shown(),
                self.lines.borrow().join("\n")
            ),
        }
    }

    fn untaken(&self, lines: &[String], pattern: &impl Pattern) -> Option<String> {
        let mut taken = self.taken.lock().expect("no panic while it is held");
        taken.resize(lines.len(), false);
        let found = (0..lines.len()).find(|&i| !taken[i] && pattern.is_in(&lines[i]))?;
        taken[found] = true;
        Some(lines[found].clone())
    }

    /// After the child's end: waits until its last line has been read.
    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reading thread does not panic");
        }
    }
}

fn write(path: &Path, content: &[u8]) {
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder).expect("create the folder");
    std::fs::write(path, content).expect("write the file");
}

/// The port of an address with this scheme in the ready line.
fn port_with(line: &str, scheme: &str) -> Option<u16> {
    let addresses = line.strip_prefix("ready: ")?.split(" (").next()?;
    let mut addresses = addresses.split(' ');
    let first = addresses.find(|address| address.starts_with(&format!("{scheme}://")))?;
    first.rsplit(':').next()?.parse().ok()
}

/// The port of the first address in `ready: ws://127.0.0.1:PORT ws://[::1]:PORT (…)`.
fn port_of(line: &str) -> Option<u16> {
    let first = line.strip_prefix("ready: ")?.split(' ').next()?;
    first.rsplit(':').next()?.parse().ok()
}

/// The text without `ESC [ … letter`, should a colour come through in spite of `NO_COLOR`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        plain.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    plain
}
