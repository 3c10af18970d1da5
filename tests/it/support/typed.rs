//! A program in a pseudo-terminal, as somebody sits at it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::sync::watch;

use super::{PATIENCE, within};

pub struct Typed {
    child: Child,
    keyboard: File,
    terminal: OwnedFd,
    shown: watch::Receiver<String>,
    /// How far it was waited for.
    seen: usize,
}

impl Typed {
    /// Starts the program with these arguments in a terminal of 80 columns.
    pub fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let keyboard = openpt(flags).expect("a pseudo-terminal");
        grantpt(&keyboard).expect("granted");
        unlockpt(&keyboard).expect("unlocked");
        let name = ptsname(&keyboard, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name, flags, Mode::empty()).expect("its other side");
        tcsetwinsize(&terminal, size).expect("a size");
        let end = || terminal.try_clone().expect("another descriptor");
        let child = Command::new(env!("CARGO_BIN_EXE_wsh-server"))
            .args(args)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("start wsh-server");
        let keyboard = File::from(keyboard);
        let mut screen = keyboard.try_clone().expect("another descriptor");
        let (sender, shown) = watch::channel(String::new());
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..count]).into_owned();
                sender.send_modify(|shown| shown.push_str(&text));
            }
        });
        Self {
            child,
            keyboard,
            terminal,
            shown,
            seen: 0,
        }
    }

    /// Presses these keys.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits until the screen has shown this, behind what was waited for before; gives what stands
    /// between.
    pub async fn shows(&mut self, text: &str) -> String {
        let waiting = async {
            loop {
                {
                    let shown = self.shown.borrow_and_update();
                    if let Some(at) = shown[self.seen..].find(text) {
                        let found = shown[self.seen..self.seen + at].to_owned();
                        self.seen += at + text.len();
                        return found;
                    }
                }
                self.shown.changed().await.expect("more to be shown");
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{text:?} was not shown; what was: {:?}", self.text()),
        }
    }

    /// Everything that was shown, with what steers the terminal.
    pub fn text(&self) -> String {
        self.shown.borrow().clone()
    }

    /// Whether lines are edited by the terminal itself, as before it was started.
    pub fn is_as_before(&self) -> bool {
        let mode = tcgetattr(&self.terminal).expect("its mode");
        mode.local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    pub async fn exited(&mut self) -> ExitStatus {
        within("the end of the program", async {
            loop {
                if let Some(status) = self.child.try_wait().expect("its status") {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
