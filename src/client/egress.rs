//! What scripts open and ask for outside: whether they may, and how much of it at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::ClientConfig;

use super::address::Address;
use super::dial::{Admits, Way};
use super::pool::Pool;
use crate::config::Destinations;
use crate::config::limits;

/// The way out of the process, for the scripts of all workers.
pub struct Egress {
    allowed: Destinations,
    tls: Option<Arc<ClientConfig>>,
    /// The bounds.
    pub limits: limits::Egress,
    /// Bytes of the longest message.
    pub message: usize,
    accounts: Mutex<HashMap<String, Arc<Account>>>,
    /// Connections that wait for another request.
    pub(super) pool: Arc<Pool>,
}

/// What one handler has open.
#[derive(Debug, Default)]
struct Account {
    dialed: AtomicUsize,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// Why somebody may not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// Nobody has named this host.
    #[error(
        "{0} is not among the hosts that scripts may connect to: --allow-connect {0} lets them"
    )]
    Unnamed(String),
    /// There are too many connections.
    #[error(
        "this handler has {0} connections dialed already (--max-dialed-per-handler): close some"
    )]
    Dialed(usize),
    /// There are too many requests.
    #[error(
        "this handler has {0} requests under way already (--max-requests-per-handler): try again \
         later"
    )]
    Requests(usize),
}

/// What is open: a connection or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection that stays.
    Dialed,
    /// A request, until its answer is there.
    Request,
}

/// The leave to have something open. What it holds is counted until it is dropped.
#[derive(Debug)]
pub struct Permit {
    account: Arc<Account>,
    kind: Kind,
    bytes: AtomicUsize,
}

impl Egress {
    /// The way to these hosts. `tls` is what is spoken with those that want it.
    pub fn new(
        allowed: Destinations,
        tls: Option<Arc<ClientConfig>>,
        limits: limits::Egress,
        message: usize,
    ) -> Self {
        Self {
            allowed,
            tls,
            limits,
            message,
            accounts: Mutex::default(),
            pool: Arc::default(),
        }
    }

    /// Whether the host of an address is one that scripts may connect to.
    pub fn check(&self, address: &Address) -> Result<(), Barred> {
        match self.allowed.names(&address.host, address.port) {
            true => Ok(()),
            false => Err(Barred::Unnamed(address.place())),
        }
    }

    /// Lets a handler open something.
    pub fn admit(&self, handler: &str, kind: Kind) -> Result<Permit, Barred> {
        let account = self.account(handler);
        let (count, most) = match kind {
            Kind::Dialed => (&account.dialed, self.limits.by_handler),
            Kind::Request => (&account.requests, self.limits.requests),
        };
        let before = count.fetch_add(1, Ordering::Relaxed);
        // It is given back when this is dropped, whatever is thrown.
        let permit = Permit {
            account: Arc::clone(&account),
            kind,
            bytes: AtomicUsize::new(0),
        };
        match kind {
            _ if before < most => Ok(permit),
            Kind::Dialed => Err(Barred::Dialed(most)),
            Kind::Request => Err(Barred::Requests(most)),
        }
    }

    /// Says what a permit's owner holds by now; `false` if that is too much for its handler.
    pub fn holds(&self, permit: &Permit, bytes: usize) -> bool {
        let before = permit.bytes.swap(bytes, Ordering::Relaxed);
        let all = &permit.account.bytes;
        if bytes <= before {
            all.fetch_sub(before - bytes, Ordering::Relaxed);
            return true;
        }
        let more = bytes - before;
        all.fetch_add(more, Ordering::Relaxed) + more <= self.limits.bytes
    }

    /// How a server is reached: at those of its addresses that may be.
    pub fn way<'w>(&'w self, admits: &'w Admits<'w>) -> Way<'w> {
        Way {
            tls: self.tls.as_ref(),
            admits: Some(admits),
        }
    }

    /// Whether this host may be reached at this address.
    pub fn admits(&self, host: &str, address: SocketAddr) -> bool {
        self.allowed.admits(host, address)
    }

    fn account(&self, handler: &str) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.get(handler) {
            return Arc::clone(known);
        }
        // Handlers that have nothing open are forgotten: their files may be gone.
        accounts.retain(|_, account| Arc::strong_count(account) > 1);
        let account = Arc::<Account>::default();
        accounts.insert(handler.to_owned(), Arc::clone(&account));
        account
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let allowed = &self.allowed;
        out.debug_tuple("Egress").field(allowed).finish()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.account.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let count = match self.kind {
            Kind::Dialed => &self.account.dialed,
            Kind::Request => &self.account.requests,
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_has_so_much_open_and_no_more() {
        let limits = limits::Egress {
            by_handler: 2,
            requests: 1,
            bytes: 100,
            ..limits::EGRESS
        };
        let egress = Egress::new(Destinations::default(), None, limits, 1);
        let first = egress.admit("a", Kind::Dialed).expect("the first");
        let second = egress.admit("a", Kind::Dialed).expect("the second");
        let third = egress.admit("a", Kind::Dialed);
        assert_eq!(third.err(), Some(Barred::Dialed(2)));
        assert!(egress.admit("b", Kind::Dialed).is_ok(), "another handler");
        let asked = egress.admit("a", Kind::Request).expect("a request");
        let more = egress.admit("a", Kind::Request);
        assert_eq!(more.err(), Some(Barred::Requests(1)));
        drop(asked);
        assert!(egress.admit("a", Kind::Request).is_ok());

        assert!(egress.holds(&first, 60));
        assert!(!egress.holds(&second, 60), "120 of 100");
        assert!(egress.holds(&second, 40));
        drop(first);
        assert!(egress.holds(&second, 100));
        drop(second);
        let third = egress.admit("a", Kind::Dialed).expect("room again");
        assert!(egress.holds(&third, 100), "what was held is given back");
    }
}
