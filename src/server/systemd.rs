//! Integration with a service manager: sockets that it has bound, and notifications of the server's
//! state.

use std::io;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::stream::Socket;
use crate::observe::event::Event;

/// Sockets of these names (`FileDescriptorName=`) speak TLS.
const ENCRYPTED: [&str; 3] = ["tls", "wss", "https"];

/// Takes the sockets that were handed over with `LISTEN_FDS`, each with whether it is to speak TLS,
/// and removes the variables. Once, before there are other threads.
pub fn inherited() -> io::Result<Vec<(Socket, bool)>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed_over = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed_over.len() {
        let is_encrypted = names.next().is_some_and(|name| ENCRYPTED.contains(&name));
        let socket = match handed_over.take_unix_listener(index) {
            Ok(socket) => socket.map(Socket::Unix),
            Err(_) => handed_over.take_tcp_listener(index)?.map(Socket::Tcp),
        };
        sockets.extend(socket.map(|socket| (socket, is_encrypted)));
    }
    Ok(sockets)
}

/// The state that the service manager is notified of.
#[derive(Debug, Clone, Copy)]
pub enum State {
    /// Connections are answered.
    Ready,
    /// Handlers and certificates are being read again; `Ready` follows.
    Reloading,
    /// Connections are being closed.
    Stopping,
}

/// Tells it, if there is one that wants to know (`NOTIFY_SOCKET`).
pub fn notify(state: State) {
    let told = match state {
        State::Ready => sd_notify::notify(&[NotifyState::Ready]),
        State::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        State::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        Event::NotifyFailed {
            state: &format_args!("{state:?}"),
            error: &error,
        }
        .tell();
    }
}
