//! Who lives on this node: its pods, as the API server tells them. Optional, and never in the way: without it, or while it is cut
//! off, everything goes on as if every pod lived.
//!
//! ```text
//!   list (whole, consistent) ──► watch ──(ends, or breaks)──► watch from the last version, after a pause that grows
//!     ▲                            │                          while it fails
//!     └──(410 Gone, an hour old)───┘
//! ```

mod api;
mod metrics;
mod roster;
mod watch;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use runtime::{Chance, Clock, DrainWatch};
use tracing::warn;

use crate::api_server::ApiServer;
use crate::settings::{PodSettings, PodWatch};

pub use api::{ApiServerPods, Event, Listed, Pod, PodSource, PodsError};
pub use metrics::PodMetrics;
use roster::Roster;
pub use roster::{Mismatch, Origin};

/// Who tells of this node's pods, by the settings. Nobody, said aloud, if that cannot be: the agent serves without.
pub fn source(settings: &PodSettings) -> Option<Arc<dyn PodSource>> {
    let PodWatch { api_server, node } = settings.watch.as_ref()?;
    match ApiServer::new(api_server) {
        Ok(api_server) => Some(Arc::new(ApiServerPods::new(api_server, node))),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "the pods of this node are not known, the agent goes on as if all lived"
            );
            None
        }
    }
}

/// What becomes known of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The pod of this uid has ended, or is gone.
    Over(String),
    /// These, by uid, are all pods that live here, and were so at this time.
    All {
        /// Their uids.
        living: HashSet<String>,
        /// When the API server was asked.
        as_of: SystemTime,
    },
}

/// The pods of this node. Clones share what is known.
#[derive(Clone)]
pub struct Pods(Arc<Shared>);

struct Shared {
    source: Option<Arc<dyn PodSource>>,
    roster: Mutex<Roster>,
    clock: Clock,
    chance: Chance,
    metrics: PodMetrics,
}

impl Pods {
    /// The pods that `source` tells of; with none, nothing is ever known. Asks nobody yet.
    pub fn new(
        source: Option<Arc<dyn PodSource>>,
        clock: Clock,
        chance: Chance,
        metrics: PodMetrics,
    ) -> Self {
        metrics.is_watched(source.is_some());
        Self(Arc::new(Shared { source, roster: Mutex::default(), clock, chance, metrics }))
    }

    /// Watches until the drain starts, and tells `on_news` what it learns.
    pub async fn watch(&self, drain: DrainWatch, on_news: impl Fn(News)) {
        let Some(source) = &self.0.source else { return drain.started().await };
        tokio::select! {
            () = drain.started() => {}
            () = watch::run(&self.0, source.as_ref(), &on_news) => {}
        }
    }

    /// Whether a connection from `address` may be the pod's of this uid, as far as is known.
    ///
    /// # Errors
    /// When it is another's.
    pub fn may_come_from(&self, uid: &str, address: IpAddr) -> Result<Origin, Mismatch> {
        self.0.roster().may_come_from(uid, address)
    }
}

impl Shared {
    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
