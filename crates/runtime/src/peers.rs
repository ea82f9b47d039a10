//! How many connections each peer has open, and the bound on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts open connections, in all and per peer address.
#[derive(Debug)]
pub(crate) struct Peers {
    open: Mutex<Open>,
    most: usize,
    most_per_peer: usize,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// One open connection; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Peers {
    pub(crate) fn new(most: usize, most_per_peer: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most, most_per_peer })
    }

    /// A place for one more connection of `address`, if it may have one.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.lock();
        let of_peer = open.by_peer.get(&address).copied().unwrap_or_default();
        if open.total >= self.most || of_peer >= self.most_per_peer {
            return None;
        }
        open.total += 1;
        open.by_peer.insert(address, of_peer + 1);
        Some(Place { peers: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Counts stay right whatever panicked elsewhere.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        open.total -= 1;
        if let Entry::Occupied(mut entry) = open.by_peer.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_at_its_bound_does_not_cost_another_its_place() {
        let peers = Peers::new(10, 2);
        let (greedy, modest) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let held: Vec<_> = (0..2).map(|_| peers.admit(greedy).unwrap()).collect();
        assert!(peers.admit(greedy).is_none());
        assert!(peers.admit(modest).is_some());
        drop(held);
        assert!(peers.admit(greedy).is_some());
        assert!(peers.lock().by_peer.is_empty(), "peers that left are forgotten");
    }
}
