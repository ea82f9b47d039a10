//! What sessions count, under the names AWS's agent uses and ours beside them.

use std::sync::{Arc, Weak};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use runtime::scraped::{Scraped, count};

use super::Shared;
use super::store::Census;

/// The counters of the session room.
#[derive(Clone)]
pub struct SessionMetrics {
    hit: IntCounter,
    miss: IntCounter,
    evicted: IntCounter,
    errors: IntCounterVec,
    renewed: IntCounter,
    not_renewed: IntCounter,
    sessions: Scraped,
    earliest_end: Scraped,
    exchanges: Scraped,
}

impl SessionMetrics {
    /// Counters in this registry.
    ///
    /// # Errors
    /// When the registry has one of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let state = IntCounterVec::new(
            Opts::new(
                "pod_identity_cache_state",
                "Sessions by what happened to them: hit (answered), miss (exchanged), evicted (forgotten or pushed out)",
            ),
            &["state"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "pod_identity_cache_errors",
                "Renewals that failed: NonRecoverable ones end the session",
            ),
            &["type", "code"],
        )?;
        let renewals = IntCounterVec::new(
            Opts::new("pod_identity_renewals_total", "Renewals of sessions, ok or failed"),
            &["outcome"],
        )?;
        registry.register(Box::new(state.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(renewals.clone()))?;
        let of = |name| state.with_label_values(&[name]);
        let sessions = Opts::new("pod_identity_sessions", "Sessions by what they are at");
        let earliest = Opts::new(
            "pod_identity_earliest_expiry_seconds",
            "How long the credentials of the session that ends first have still to live",
        );
        let exchanges = Opts::new("pod_identity_exchanges_in_flight", "Exchanges that are under way");
        Ok(Self {
            hit: of("hit"),
            miss: of("miss"),
            evicted: of("evicted"),
            errors,
            renewed: renewals.with_label_values(&["ok"]),
            not_renewed: renewals.with_label_values(&["failed"]),
            sessions: Scraped::register_by(registry, sessions, "state")?,
            earliest_end: Scraped::register(registry, earliest)?,
            exchanges: Scraped::register(registry, exchanges)?,
        })
    }

    /// What is computed at a scrape is computed from these sessions.
    pub(super) fn watch(&self, sessions: &Arc<Shared>) {
        // Not held: sessions that are gone have no metrics.
        let census = |sessions: &Weak<Shared>| {
            let sessions = sessions.upgrade()?;
            let now = sessions.clock.now();
            let census = sessions.state().store.census(now);
            Some((census, now))
        };
        let watched = Arc::downgrade(sessions);
        self.sessions.are(move || census(&watched).map(|(census, _)| by_state(&census)).unwrap_or_default());
        let watched = Arc::downgrade(sessions);
        self.earliest_end.is(move || {
            let (census, now) = census(&watched)?;
            let left = census.earliest_end?.duration_since(now).unwrap_or_default();
            Some(left.as_secs_f64())
        });
        let watched = Arc::downgrade(sessions);
        self.exchanges.is(move || Some(count(watched.upgrade()?.state().flights.len())));
    }

    pub(super) fn hit(&self) {
        self.hit.inc();
    }

    pub(super) fn miss(&self) {
        self.miss.inc();
    }

    pub(super) fn evicted(&self) {
        self.evicted.inc();
    }

    pub(super) fn renewed(&self) {
        self.renewed.inc();
    }

    /// A renewal failed, for good or not, with this code.
    pub fn renewal_failed(&self, for_good: bool, code: &str) {
        let kind = if for_good { "NonRecoverable" } else { "Recoverable" };
        self.errors.with_label_values(&[kind, code]).inc();
        self.not_renewed.inc();
    }
}

fn by_state(census: &Census) -> Vec<(&'static str, f64)> {
    vec![
        ("fresh", count(census.fresh)),
        ("due", count(census.due)),
        ("failing", count(census.failing)),
        ("abandoned", count(census.abandoned)),
    ]
}
