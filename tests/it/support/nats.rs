//! A real NATS in a temporary folder, on a free port: started, stopped, started again with what it
//! has kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;

pub struct Nats {
    child: Child,
    dir: TempDir,
    port: u16,
    monitor: u16,
    args: Vec<String>,
}

impl Nats {
    /// An empty one, with JetStream.
    pub fn start() -> Self {
        Self::with(&["-js"])
    }

    /// The same with arguments of its own, and with JetStream only if they have `-js`.
    pub fn with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (port, monitor) = (free(), free());
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = spawn(&dir, (port, monitor), &args);
        let nats = Self {
            child,
            dir,
            port,
            monitor,
            args,
        };
        nats.wait();
        nats
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Subjects that somebody subscribes to, below this one.
    pub fn subscriptions(&self, below: &str) -> usize {
        let page = self.monitor("/subsz?subs=1&limit=100000");
        let front = format!("\"subject\": \"{below}.");
        page.matches(&front).count()
    }

    /// Publishes something, as anybody could.
    pub fn publish(&self, subject: &str, bytes: &[u8]) {
        let answer = self.talk(&[
            format!("PUB {subject} {}\r\n", bytes.len()).as_bytes(),
            bytes,
            b"\r\nPING\r\n",
        ]);
        assert!(answer.contains("PONG"), "{answer}");
    }

    /// Asks JetStream for something: its answer, which is JSON.
    pub fn ask(&self, what: &str, payload: &str) -> String {
        let length = payload.len();
        let talk =
            format!("SUB answer 1\r\nPUB $JS.API.{what} answer {length}\r\n{payload}\r\nPING\r\n");
        let mut stream = self.connect();
        stream.write_all(talk.as_bytes()).expect("it is read");
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.find(|line| line.starts_with('{')).expect("an answer")
    }

    /// Removes the streams of a topic: how many there were.
    pub fn forget_stream(&self, topic: &str) -> usize {
        let answer = self.ask("STREAM.LIST", "{}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let streams = answer["streams"].as_array().into_iter().flatten();
        let settings = streams.map(|stream| &stream["config"]);
        let about = format!("topic {topic:?}");
        let ours = settings.filter(|settings| settings["description"] == about.as_str());
        let names = ours.filter_map(|settings| settings["name"].as_str());
        let removed = names.map(|name| self.ask(&format!("STREAM.DELETE.{name}"), ""));
        removed.count()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after `kill`, with what is on its disk.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir, (self.port, self.monitor), &self.args);
        self.wait();
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "signal {name}");
    }

    /// A connection that has been greeted, and says nothing more than what is asked.
    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let patience = stream.set_read_timeout(Some(PATIENCE));
        patience.expect("a time-out");
        let mut greeting = [0; 1];
        while greeting != *b"\n" {
            stream.read_exact(&mut greeting).expect("a greeting");
        }
        let hello = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
        stream.write_all(hello.as_bytes()).expect("it is read");
        stream
    }

    /// What it answers until the first PONG.
    fn talk(&self, parts: &[&[u8]]) -> String {
        let mut stream = self.connect();
        stream.write_all(&parts.concat()).expect("it is read");
        let mut answer = String::new();
        for line in BufReader::new(stream).lines() {
            let line = line.expect("a line");
            answer += &line;
            if line.starts_with("PONG") || line.starts_with("-ERR") {
                break;
            }
        }
        answer
    }

    fn monitor(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor)).expect("a connection");
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is read");
        let mut page = String::new();
        let _ = stream.read_to_string(&mut page);
        page
    }

    fn wait(&self) {
        let begun = Instant::now();
        while !self.monitor_is_up() || TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "nats-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn monitor_is_up(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.monitor)).is_ok()
    }
}

fn free() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("an address").port()
}

fn spawn(dir: &TempDir, (port, monitor): (u16, u16), args: &[String]) -> Child {
    Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .args(["--http_port", &monitor.to_string(), "--store_dir"])
        .arg(dir.path())
        .args(args)
        .env("PATH", path())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server: tests/run installs it")
}

/// Debian has it among the programs of administrators.
fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin")
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
