//! Sessions that are forgotten on purpose: their association has changed, or their pod is over.

use std::time::{Duration, SystemTime};

use tracing::{debug, info};

use super::Sessions;
use crate::pods::News;

/// A session this young is not measured by a list of pods: its pod may be younger than the list.
const LATE_NEWS: Duration = Duration::from_secs(120);

impl Sessions {
    /// Associations have changed: forgets the sessions that came from this one, and all remembered refusals, so that each
    /// pod's next request gets what is true now. Exchanges under way are not kept. Needs somebody who knows of changes,
    /// such as a control plane in the same process; AWS tells nobody.
    pub fn association_changed(&self, association_id: &str) {
        let forgotten = {
            let mut state = self.0.state();
            state.changes += 1;
            state.refused.forget_all();
            state.store.remove_of(association_id)
        };
        (0..forgotten).for_each(|_| self.0.metrics.evicted());
        info!(association_id, forgotten, "an association has changed");
    }

    /// What has become known of the node's pods: sessions of those that are over are forgotten, and not renewed.
    pub fn hear(&self, news: News) {
        let over = match news {
            News::Over(uid) => vec![uid],
            News::All { living, as_of } => {
                // The list may be older than what was obtained just before: the clocks are not the same.
                let before = as_of.checked_sub(LATE_NEWS).unwrap_or(SystemTime::UNIX_EPOCH);
                let mut of_sessions = self.0.state().store.pods_before(before);
                of_sessions.retain(|uid| !living.contains(uid));
                of_sessions
            }
        };
        for uid in over {
            let forgotten = self.0.state().store.pod_is_over(&uid);
            if forgotten > 0 {
                self.0.metrics.evicted();
                debug!(pod_uid = uid, "forgot a session: its pod is over");
            }
        }
    }
}
