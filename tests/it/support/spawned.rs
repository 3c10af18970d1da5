//! A server whose standard error is the test's own affair: closed, full, or read by nobody.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use tempfile::TempDir;

pub struct Spawned {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Spawned {
    /// A server of these handlers with two workers, whose log goes there.
    pub fn start(files: &[(&str, &str)], stderr: impl Into<Stdio>) -> Spawned {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).expect("write a handler");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsh-server"));
        command
            .args(["-p", "0", "--workers", "2", "-w"])
            .arg(dir.path());
        Spawned::run(command, dir, stderr)
    }

    /// The same by a command that becomes the server.
    pub fn run(mut command: Command, dir: TempDir, stderr: impl Into<Stdio>) -> Spawned {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .env("NO_COLOR", "1")
            .spawn()
            .expect("start wsh-server");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the ready line");
        let port = line
            .split(':')
            .nth(3)
            .and_then(|rest| rest.split([' ', '\n']).next());
        let port = port.and_then(|port| port.parse().ok());
        // What else it prints is read, lest it waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Spawned {
            port: port.unwrap_or_else(|| panic!("no port in {line:?}")),
            child,
            _dir: dir,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its log, from the first byte on.
    pub fn log(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().expect("piped, and taken once"))
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
