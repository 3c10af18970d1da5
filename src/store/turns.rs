//! Turns at a key: updates that get in each other's way go one after the other.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::engine::Place;
use super::present::{Guest, Present};

/// The keys at which somebody has a turn, or waits for one.
#[derive(Debug, Default)]
pub struct Turns(Arc<Present<Place, Mutex<()>>>);

/// A turn at a key.
#[derive(Debug)]
pub struct Turn {
    _held: OwnedMutexGuard<()>,
    _guest: Guest<Place, Mutex<()>>,
}

impl Turns {
    /// Whether updates of a key have to take turns.
    pub fn are_taken(&self, at: &Place) -> bool {
        self.0.find(at).is_some()
    }

    /// Waits for a turn. Whoever comes first has it first.
    pub fn take(&self, at: &Place) -> impl Future<Output = Turn> + Send + use<> {
        let guest = self.0.enter(at, Mutex::default);
        async move {
            Turn {
                _held: Arc::clone(&guest.value).lock_owned().await,
                _guest: guest,
            }
        }
    }
}
