//! Waits for what has no event on the client's side: it asks until the answer is the one wanted.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Client, Raw, Server, Wire, within};

/// Between two questions, so that asking does not take the processor from what is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// A handler that answers every message with this text.
pub fn answering(text: &str) -> String {
    format!("fn transfer_data(ws, message) {{\n    ws.send(\"{text}\");\n}}\n")
}

impl Server {
    /// Opens this path on every worker, so that what they allocate once is there before memory is
    /// measured.
    pub async fn warm_up(&self, path: &str) {
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(Raw::open(self, path).await);
        }
    }

    /// The status that an upgrade of this path is answered with.
    pub async fn status(&self, path: &str) -> u16 {
        Raw::connect(self).await.handshake(path, &[]).await.status
    }

    /// Asks for upgrades of this path until the answer is this status.
    pub async fn until_status(&self, path: &str, status: u16) {
        within(&format!("status {status} of {path}"), async {
            while self.status(path).await != status {
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
    }

    /// Opens connections to this path until one of them gets this answer to a message: the workers
    /// take a new generation one after the other.
    pub async fn until_answer(&self, path: &str, answer: &str) {
        within(&format!("the answer {answer:?} of {path}"), async {
            loop {
                let mut raw = Raw::connect(self).await;
                if raw.handshake(path, &[]).await.status == 101 {
                    raw.send(Wire::text("?").bytes()).await;
                    if raw.frame().await.payload == answer.as_bytes() {
                        return;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
    }

    /// Waits for the report of a version that does not serve, with the place of the fault.
    pub async fn broken(&self, file: &str) {
        self.log("handler broken").await;
        self.log(["--> ", file]).await;
    }

    /// Waits for the report of a fault in this hook.
    pub async fn fault(&self, hook: &str) {
        self.log(["script fault hook=", hook]).await;
    }

    /// Waits for the report of a loop that was ended.
    pub async fn spent_budget(&self) {
        self.log("script fault").await;
        self.log("budget").await;
    }

    /// Waits until every one of these texts is somewhere in the log.
    pub async fn until_logged(&self, texts: &[&str]) {
        for text in texts {
            let found = async {
                while !self.logged().contains(text) {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            if tokio::time::timeout(super::PATIENCE, found).await.is_err() {
                panic!("{text:?} is not in the log:\n{}", self.logged());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends messages until the reply is this one.
    pub async fn until_answer(&mut self, answer: &str) {
        within(&format!("the answer {answer:?}"), async {
            loop {
                self.send_text("?").await;
                if self.next_text().await == answer {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
    }

    /// This many messages, one after the other, each of which must come back as it was sent.
    pub async fn echoes(&mut self, rounds: usize) {
        for round in 0..rounds {
            let message = format!("round {round}");
            self.send_text(&message).await;
            assert_eq!(self.next_text().await, message);
        }
    }
}

impl Raw {
    /// This many messages, one after the other, each of which must come back as it was sent.
    pub async fn echoes(&mut self, rounds: usize) {
        for round in 0..rounds {
            let message = format!("round {round}");
            self.send(Wire::text(&message).bytes()).await;
            self.expect_text(&message).await;
        }
    }

    /// The server's Close with this code, answered in kind.
    pub async fn answer_close(&mut self, code: u16) {
        self.expect_close(code).await;
        self.send(Wire::close(code, "").bytes()).await;
    }
}
