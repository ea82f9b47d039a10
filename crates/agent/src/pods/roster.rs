//! What is known of the node's pods, and whether that is current.

use std::collections::HashMap;
use std::net::IpAddr;

use super::api::Pod;

/// How a connection and a pod belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The address is the pod's.
    ItsOwn,
    /// The pod is on the host's network, and the address is no pod's.
    TheHosts,
    /// The pod is not among those that are known.
    Unknown,
    /// Nothing is known at the moment.
    NotKnown,
}

/// The connection comes from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch;

/// The pods.
#[derive(Default)]
pub(super) struct Roster {
    living: HashMap<String, Home>,
    is_current: bool,
}

struct Home {
    addresses: Vec<IpAddr>,
    on_host_network: bool,
}

impl Roster {
    /// From now on these are all. Who lived and is not among them is over.
    pub(super) fn replace(&mut self, pods: Vec<Pod>) -> Vec<String> {
        let before = std::mem::take(&mut self.living);
        self.is_current = true;
        for pod in pods.into_iter().filter(|pod| !pod.has_ended) {
            self.living
                .insert(pod.uid, Home { addresses: pod.addresses, on_host_network: pod.on_host_network });
        }
        before.into_keys().filter(|uid| !self.living.contains_key(uid)).collect()
    }

    /// A pod is there, or has changed. True if it is over by that.
    pub(super) fn put(&mut self, pod: Pod) -> bool {
        if pod.has_ended {
            self.living.remove(&pod.uid);
            return true;
        }
        self.living.insert(pod.uid, Home { addresses: pod.addresses, on_host_network: pod.on_host_network });
        false
    }

    /// A pod is gone.
    pub(super) fn remove(&mut self, uid: &str) {
        self.living.remove(uid);
    }

    /// Whether changes are heard of.
    pub(super) fn is_current(&mut self, is_current: bool) {
        self.is_current = is_current;
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = &String> {
        self.living.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.living.len()
    }

    pub(super) fn may_come_from(&self, uid: &str, address: IpAddr) -> Result<Origin, Mismatch> {
        // An address that was a pod's may be another's by now.
        if !self.is_current {
            return Ok(Origin::NotKnown);
        }
        let address = address.to_canonical();
        match self.living.get(uid) {
            Some(home) if home.on_host_network => {
                let is_a_pods = self
                    .living
                    .values()
                    .any(|other| !other.on_host_network && other.addresses.contains(&address));
                if is_a_pods { Err(Mismatch) } else { Ok(Origin::TheHosts) }
            }
            // Its address is told a moment after it was given.
            Some(home) if home.addresses.is_empty() => Ok(Origin::NotKnown),
            Some(home) if home.addresses.contains(&address) => Ok(Origin::ItsOwn),
            Some(_) => Err(Mismatch),
            None => Ok(Origin::Unknown),
        }
    }
}
