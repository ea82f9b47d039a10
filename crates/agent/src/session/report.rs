//! What operators are told of exchanges that fail: changes, not every case.

use eks_auth::ExchangeError;
use identity::{ServiceAccountToken, TokenDigest};
use tracing::{debug, info, warn};

use super::Sessions;

/// Whether exchanges fail at the moment, so that logs tell changes and not every case.
#[derive(Default)]
pub(super) struct UpstreamHealth {
    failing_with: Option<&'static str>,
    failures: u64,
}

impl UpstreamHealth {
    /// An exchange failed. True when exchanges succeeded until now, or failed otherwise.
    pub(super) fn fails(&mut self, reason: &'static str) -> bool {
        self.failures += 1;
        self.failing_with.replace(reason) != Some(reason)
    }

    /// An exchange succeeded. How many failed before it.
    pub(super) fn answers(&mut self) -> u64 {
        self.failing_with = None;
        std::mem::take(&mut self.failures)
    }
}

impl Sessions {
    /// Tells operators of a failed exchange, once: not again while the same goes on. A refusal of a pod is that pod's
    /// news; everything else is the upstream's.
    pub(super) fn report(&self, error: &ExchangeError, token: &ServiceAccountToken, digest: TokenDigest) {
        let reason = error.reason();
        let (namespace, service_account) = token.claims().service_account().unwrap_or_default();
        let mut state = self.0.state();
        if error.is_irrecoverable() {
            let is_news = !state.refused.was_refused_with(&digest, reason);
            drop(state);
            if is_news {
                info!(?digest, namespace, service_account, reason, error = %error, "no credentials for a pod");
            } else {
                debug!(?digest, namespace, service_account, reason, "still no credentials for a pod");
            }
            return;
        }
        let is_news = state.upstream.fails(reason);
        drop(state);
        if is_news {
            warn!(?digest, namespace, service_account, reason, error = %error, "an exchange failed");
        } else {
            debug!(?digest, namespace, service_account, reason, error = %error, "another exchange failed");
        }
    }
}
