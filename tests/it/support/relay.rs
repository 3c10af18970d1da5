//! A TCP relay that can go silent without closing anything, as a network does, and be whole again for
//! new connections.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Relay {
    port: u16,
    silent: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay to this port of this machine.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let silent = Arc::new(watch::Sender::new(false));
        let sender = Arc::clone(&silent);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let silent = sender.subscribe();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
                        return;
                    };
                    let ((from_near, to_near), (from_far, to_far)) =
                        (near.into_split(), far.into_split());
                    tokio::select! {
                        () = copy(from_near, to_far, silent.clone()) => {}
                        () = copy(from_far, to_near, silent) => {}
                    }
                });
            }
        });
        Self { port, silent, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes, or everything again that connects then.
    pub fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries bytes until the end or a silence: what comes in that is lost, and so is the connection
/// when it is over.
async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut silent: watch::Receiver<bool>,
) {
    let mut falls_silent = silent.clone();
    let mut bytes = vec![0; 64 * 1024];
    let carrying = async {
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        _ = falls_silent.wait_for(|is_silent| *is_silent) => {}
        () = carrying => return,
    }
    let _ = silent.wait_for(|is_silent| !is_silent).await;
}
