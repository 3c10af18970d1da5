//! Keepers: threads that keep something up to date, and look again when they are asked to.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

/// Somebody who waits for a look, and is answered by the drop of it.
pub type Asker = oneshot::Sender<()>;

/// Asks a keeper to look now.
#[derive(Debug, Clone)]
pub struct Ask {
    wake: SyncSender<()>,
    askers: Sender<Asker>,
}

/// The keeper's side.
#[derive(Debug)]
pub struct Asked {
    woken: Receiver<()>,
    askers: Receiver<Asker>,
}

/// Both sides.
pub fn asking() -> (Ask, Asked) {
    // One wake-up stands for all before the next look.
    let (wake, woken) = sync_channel(1);
    let (ask, askers) = channel();
    (Ask { wake, askers: ask }, Asked { woken, askers })
}

impl Ask {
    /// Has the keeper look soon.
    pub fn wake(&self) {
        // A full channel has a wake-up in it already.
        let _ = self.wake.try_send(());
    }

    /// Ready when the keeper has looked, and what had changed before is in use.
    pub async fn done(&self) {
        let (answer, answered) = oneshot::channel();
        // A keeper that is gone drops it at once.
        let _ = self.askers.send(answer);
        self.wake();
        let _ = answered.await;
    }
}

impl Asked {
    /// Waits to be woken or for the end of `time`: whether it was woken, `None` if nobody can do
    /// so any more.
    pub fn wait(&self, time: Duration) -> Option<bool> {
        match self.woken.recv_timeout(time) {
            Ok(()) => Some(true),
            Err(RecvTimeoutError::Timeout) => Some(false),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Those who have asked for a look since the last call.
    pub fn askers(&self) -> impl Iterator<Item = Asker> {
        self.askers.try_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn wake_ups_are_one_until_the_next_look() {
        let (ask, asked) = asking();
        ask.wake();
        ask.clone().wake();
        assert_eq!(asked.wait(SOON), Some(true));
        assert_eq!(asked.wait(SOON), Some(false));
        drop(ask);
        assert_eq!(asked.wait(SOON), None);
    }

    #[tokio::test]
    async fn who_asks_is_answered_after_a_look() {
        let (ask, asked) = asking();
        let keeper = std::thread::spawn(move || {
            assert_eq!(asked.wait(Duration::from_secs(60)), Some(true));
            asked.askers().count()
        });
        ask.done().await;
        assert_eq!(keeper.join().ok(), Some(1));
    }

    /// A keeper that has ended answers, too: nobody waits for ever.
    #[tokio::test]
    async fn a_keeper_that_is_gone_holds_up_nobody() {
        let (ask, asked) = asking();
        drop(asked);
        ask.done().await;
    }
}
