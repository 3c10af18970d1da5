//! Limits on connections: in total, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use super::refusal::Refusal;
use crate::config::Trusted;

/// Counts connections in, and refuses those that are too many.
#[derive(Debug)]
pub struct Gate {
    /// Connections in total.
    total: usize,
    /// Connections from one address; 0 is no bound.
    by_address: usize,
    /// Proxies, whose connections are those of many.
    trusted: Vec<Trusted>,
    held: Arc<Held>,
}

/// Connections that are open, by address: locked when one begins and when it ends, never in
/// between.
type Held = Mutex<HashMap<IpAddr, usize>>;

/// The place that a connection takes up among those of its address, for as long as it lives.
#[derive(Debug)]
pub struct GatePermit {
    address: IpAddr,
    held: Arc<Held>,
}

impl Gate {
    /// A gate with these bounds.
    pub fn new(total: usize, by_address: usize, trusted: Vec<Trusted>) -> Self {
        Self {
            total,
            by_address,
            trusted,
            held: Arc::default(),
        }
    }

    /// Lets in one more beside those that are open, if it may come.
    pub fn admit(
        &self,
        address: Option<SocketAddr>,
        open: usize,
    ) -> Result<Option<GatePermit>, Refusal> {
        if open >= self.total {
            return Err(Refusal::Connections(self.total));
        }
        self.place(address)
    }

    /// A place among the connections of an address. Whoever has none, loopback, and proxies are
    /// counted in total only.
    pub fn place(&self, address: Option<SocketAddr>) -> Result<Option<GatePermit>, Refusal> {
        let Some(address) = address.map(|address| address.ip()) else {
            return Ok(None);
        };
        let is_proxy = || self.trusted.iter().any(|proxy| proxy.has(Some(address)));
        if self.by_address == 0 || address.is_loopback() || is_proxy() {
            return Ok(None);
        }
        let address = party(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= self.by_address {
            return Err(Refusal::ByAddress(self.by_address));
        }
        *count += 1;
        Ok(Some(GatePermit {
            address,
            held: Arc::clone(&self.held),
        }))
    }
}

impl Drop for GatePermit {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

/// Returns the address that a connection is counted by: of IPv6 the /64, of which a subscriber has
/// a whole one, RFC 6177.
fn party(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn l02_an_address_has_its_share_and_gets_it_back() {
        let gate = Gate::new(100, 2, Vec::new());
        let first = gate.admit(from("192.0.2.1"), 0).unwrap();
        let _second = gate.admit(from("192.0.2.1"), 1).unwrap();
        assert!(gate.admit(from("192.0.2.1"), 2).is_err());
        let _other = gate.admit(from("192.0.2.2"), 2).unwrap();
        drop(first);
        assert!(gate.admit(from("192.0.2.1"), 2).is_ok());
    }

    #[test]
    fn l02_ipv6_is_counted_by_64_bits() {
        let gate = Gate::new(100, 1, Vec::new());
        let _first = gate.admit(from("2001:db8:0:1::1"), 0).unwrap();
        assert!(gate.admit(from("2001:db8:0:1:ffff::2"), 1).is_err());
        assert!(gate.admit(from("2001:db8:0:2::1"), 1).is_ok());
    }

    #[test]
    fn l02_loopback_and_unix_sockets_are_counted_in_total_only() {
        let gate = Gate::new(100, 1, Vec::new());
        for address in [from("127.0.0.1"), from("::1"), None] {
            assert!(gate.admit(address, 5).unwrap().is_none());
            assert!(gate.admit(address, 6).unwrap().is_none());
        }
        assert!(gate.admit(None, 100).is_err());
    }

    #[test]
    fn proxies_are_counted_in_total_only() {
        let gate = Gate::new(100, 1, vec!["192.0.2.0/24".parse().unwrap()]);
        for _ in 0..5 {
            assert!(gate.admit(from("192.0.2.7"), 5).unwrap().is_none());
        }
        let _place = gate.admit(from("198.51.100.1"), 5).unwrap();
        assert!(gate.admit(from("198.51.100.1"), 6).is_err());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_are_gone() {
        let gate = Gate::new(100, 2, Vec::new());
        drop(gate.admit(from("192.0.2.1"), 0).unwrap());
        assert!(gate.held.lock().unwrap().is_empty());
    }
}
