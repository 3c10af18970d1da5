//! A real Redis in a temporary folder, on a Unix-domain socket and a free port: started, stopped,
//! started again with what it has kept.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::PATIENCE;

pub struct Redis {
    child: Child,
    dir: TempDir,
    port: u16,
    args: Vec<String>,
}

impl Redis {
    /// An empty one.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same with arguments of its own.
    pub fn with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = spawn(&dir, port, &args);
        let redis = Self {
            child,
            dir,
            port,
            args,
        };
        redis.wait();
        redis
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, by way of its port.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// What `redis-cli` answers.
    pub fn ask(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(args)
            .output()
            .expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Channels of topics that somebody subscribes to.
    pub fn channels(&self) -> usize {
        let channels = self.ask(&["PUBSUB", "CHANNELS", "*:t:*"]);
        channels.lines().filter(|line| !line.is_empty()).count()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after `kill`, with what is on its disk.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir, self.port, &self.args);
        self.wait();
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "signal {name}");
    }

    fn wait(&self) {
        let begun = Instant::now();
        // With a password it asks for that, and lives.
        while !["PONG", "NOAUTH Authentication required."].contains(&&*self.ask(&["PING"])) {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(dir: &TempDir, port: u16, args: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--unixsocket", "redis.sock", "--save", "", "--dir"])
        .arg(dir.path())
        .args(args)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server: tests/run installs it")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
