//! What the check of tokens counts.

use std::time::SystemTime;

use identity::to_epoch_seconds;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::keyring::Unknown;
use super::source::SourceKind;

/// How a fetch of keys ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refresh {
    Succeeded,
    Failed,
}

/// How the check of one token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Verified,
    Forged,
    AnotherNode,
    NotOfAPod,
    Unknown(Unknown),
}

impl Verdict {
    const ALL: [Self; 9] = [
        Self::Verified,
        Self::Forged,
        Self::AnotherNode,
        Self::NotOfAPod,
        Self::Unknown(Unknown::Issuer),
        Self::Unknown(Unknown::Key),
        Self::Unknown(Unknown::ConfirmOnly),
        Self::Unknown(Unknown::KeysTooOld),
        Self::Unknown(Unknown::NoKeys),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Forged => "forged",
            Self::AnotherNode => "another_node",
            Self::NotOfAPod => "not_of_a_pod",
            Self::Unknown(Unknown::Issuer) => "unknown_issuer",
            Self::Unknown(Unknown::Key) => "unknown_key",
            Self::Unknown(Unknown::ConfirmOnly) => "stale_publisher",
            Self::Unknown(Unknown::KeysTooOld) => "keys_too_old",
            Self::Unknown(Unknown::NoKeys) => "no_keys",
        }
    }
}

/// The counters of the check.
#[derive(Clone)]
pub struct VerificationMetrics {
    checks: IntCounterVec,
    keys: IntGaugeVec,
    fetched: GaugeVec,
    refreshes: IntCounterVec,
    max_age: Gauge,
}

impl VerificationMetrics {
    /// Counters in this registry.
    ///
    /// # Errors
    /// When the registry has the names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let checks = IntCounterVec::new(
            Opts::new("pod_identity_token_checks_total", "New tokens checked on this node, by outcome"),
            &["outcome"],
        )?;
        let keys = IntGaugeVec::new(
            Opts::new("pod_identity_signing_keys", "Signing keys at hand, by kind of their source"),
            &["source"],
        )?;
        let fetched = GaugeVec::new(
            Opts::new(
                "pod_identity_signing_keys_fetched_timestamp_seconds",
                "When signing keys last came, by kind of their source",
            ),
            &["source"],
        )?;
        let refreshes = IntCounterVec::new(
            Opts::new("pod_identity_signing_key_refreshes_total", "Fetches of signing keys, by outcome"),
            &["source", "outcome"],
        )?;
        let max_age = Gauge::new(
            "pod_identity_signing_keys_max_age_seconds",
            "The age from which signing keys are not used any more",
        )?;
        for verdict in Verdict::ALL {
            checks.with_label_values(&[verdict.as_str()]);
        }
        registry.register(Box::new(checks.clone()))?;
        registry.register(Box::new(keys.clone()))?;
        registry.register(Box::new(fetched.clone()))?;
        registry.register(Box::new(refreshes.clone()))?;
        registry.register(Box::new(max_age.clone()))?;
        Ok(Self { checks, keys, fetched, refreshes, max_age })
    }

    pub(super) fn expects(&self, kinds: impl Iterator<Item = SourceKind>, max_age: std::time::Duration) {
        self.max_age.set(max_age.as_secs_f64());
        for kind in kinds {
            self.keys.with_label_values(&[kind.as_str()]).set(0);
            for outcome in ["ok", "failed"] {
                self.refreshes.with_label_values(&[kind.as_str(), outcome]);
            }
        }
    }

    pub(super) fn holds(&self, kind: SourceKind, keys: usize, fetched: SystemTime) {
        self.keys.with_label_values(&[kind.as_str()]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.fetched.with_label_values(&[kind.as_str()]).set(to_epoch_seconds(fetched));
    }

    pub(super) fn refreshed(&self, kind: SourceKind, how: Refresh) {
        let outcome = match how {
            Refresh::Succeeded => "ok",
            Refresh::Failed => "failed",
        };
        self.refreshes.with_label_values(&[kind.as_str(), outcome]).inc();
    }

    pub(super) fn checked(&self, verdict: Verdict) {
        self.checks.with_label_values(&[verdict.as_str()]).inc();
    }
}
