//! Whether a request comes from the pod that its token names. Off unless it is switched on: some networks change the
//! addresses of pods on their way.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use identity::Claims;
use lru::LruCache;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;

use crate::pods::{Mismatch, Origin, Pods};
use crate::refusal::Refusal;

/// One line for each pod and address in this time, however often it tries.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// Pods and addresses that are remembered for that.
const MOST_REMEMBERED: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1_024).expect("not zero");

/// How strictly the source of a request is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceCheck {
    /// Not at all.
    #[default]
    Off,
    /// A pod's token serves from an address of that pod. One on the host's network may come from any address that is no
    /// pod's, and one that is not known yet from anywhere.
    On,
    /// The same, and a token of a pod on the host's network, or of an unknown pod, serves nobody while the pods are known.
    Strict,
}

/// It is none of the words.
#[derive(Debug, Error)]
#[error("off, on or strict")]
pub struct NoSourceCheck;

impl FromStr for SourceCheck {
    type Err = NoSourceCheck;

    fn from_str(word: &str) -> Result<Self, NoSourceCheck> {
        match word {
            "off" | "false" => Ok(Self::Off),
            "on" | "true" => Ok(Self::On),
            "strict" => Ok(Self::Strict),
            _ => Err(NoSourceCheck),
        }
    }
}

/// Looks at sources, and tells operators of those that it refuses.
pub(super) struct Sources {
    check: SourceCheck,
    pods: Pods,
    told: Mutex<LruCache<(String, IpAddr), Instant, RandomState>>,
}

impl Sources {
    pub(super) fn new(check: SourceCheck, pods: Pods) -> Self {
        let told = LruCache::with_hasher(MOST_REMEMBERED, RandomState::default());
        Self { check, pods, told: Mutex::new(told) }
    }

    /// Whether requests have to be looked at.
    pub(super) fn is_on(&self) -> bool {
        self.check != SourceCheck::Off
    }

    /// Whether a token with these claims may come from this address.
    pub(super) fn check(&self, claims: &Claims, peer: IpAddr) -> Result<(), Refusal> {
        let uid = claims.pod_uid().unwrap_or_default();
        match (self.pods.may_come_from(uid, peer), self.check) {
            (_, SourceCheck::Off) | (Ok(Origin::ItsOwn | Origin::NotKnown), _) => Ok(()),
            (Ok(Origin::TheHosts | Origin::Unknown), SourceCheck::On) => Ok(()),
            (Ok(Origin::TheHosts | Origin::Unknown), SourceCheck::Strict) | (Err(Mismatch), _) => {
                self.tell(claims, uid, peer);
                Err(Refusal::NotFromThePod)
            }
        }
    }

    fn tell(&self, claims: &Claims, uid: &str, peer: IpAddr) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.put((uid.to_owned(), peer), now);
        if before.is_none_or(|at| now - at >= BETWEEN_LINES) {
            let (namespace, service_account) = claims.service_account().unwrap_or_default();
            let pod = claims.pod().map(|pod| pod.pod.name).unwrap_or_default();
            warn!(
                target: "audit", client_addr = %peer, namespace, service_account, pod, pod_uid = uid,
                "refused a token: the connection does not come from the pod that it names"
            );
        }
    }
}
