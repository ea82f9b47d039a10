//! What sessions count, under the names AWS's agent uses.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The counters of the session room.
#[derive(Clone)]
pub struct SessionMetrics {
    hit: IntCounter,
    miss: IntCounter,
    evicted: IntCounter,
    errors: IntCounterVec,
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
        registry.register(Box::new(state.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        let of = |name| state.with_label_values(&[name]);
        Ok(Self { hit: of("hit"), miss: of("miss"), evicted: of("evicted"), errors })
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

    /// A renewal failed, for good or not, with this code.
    pub fn renewal_failed(&self, for_good: bool, code: &str) {
        let kind = if for_good { "NonRecoverable" } else { "Recoverable" };
        self.errors.with_label_values(&[kind, code]).inc();
    }
}
