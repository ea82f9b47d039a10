//! Keeps the keys current: each source is asked again and again, at once when a token needs it, and after a failure with
//! growing pauses.

use std::time::Duration;

use eks_auth::SigningKeysError;
use runtime::chance::part;
use runtime::log::with_causes;
use tracing::{info, warn};

use super::Shared;
use super::keyring::Slot;
use super::metrics::Refresh;
use super::source::{FetchError, SourceKind};

/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a first failed fetch; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A file costs nothing to look at.
const OF_FILES: Duration = Duration::from_secs(60);

/// Keeps one source's keys current, forever.
pub(super) async fn run(shared: &Shared, slot: &Slot) {
    let name = slot.source.name();
    let mut failures = 0_u32;
    let mut failing: Option<String> = None;
    loop {
        match fetch(shared, slot).await {
            Ok(changed) => {
                shared.metrics.refreshed(slot.source.kind(), Refresh::Succeeded);
                if failing.take().is_some() || failures > 0 {
                    info!(source = name, failures, "signing keys can be had again");
                } else if changed {
                    info!(source = name, "signing keys have come, tokens are checked on this node");
                }
                failures = 0;
            }
            Err(error) => {
                shared.metrics.refreshed(slot.source.kind(), Refresh::Failed);
                failures = failures.saturating_add(1);
                let text = with_causes(&error);
                if failing.as_ref() != Some(&text) {
                    warn!(
                        source = name,
                        error = text,
                        known = slot.held().is_some(),
                        "signing keys cannot be had: {}",
                        remedy(&error)
                    );
                    failing = Some(text);
                }
            }
        }
        slot.fetches.send_modify(|count| *count += 1);
        let usual =
            if slot.source.kind() == SourceKind::File { OF_FILES.min(shared.pace) } else { shared.pace };
        let pause = if failures == 0 { usual } else { after(failures).min(usual) };
        let pause = pause - part(pause / 5, shared.chance.draw());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = slot.asked.notified() => {}
        }
    }
}

/// Fetches once. True if the keys are others than before.
async fn fetch(shared: &Shared, slot: &Slot) -> Result<bool, FetchError> {
    let fetched = tokio::time::timeout(PATIENCE, slot.source.fetch()).await;
    let set = fetched.map_err(|_| FetchError::TimedOut(PATIENCE))??;
    let changed = slot.held().is_none_or(|held| held.set.document != set.document);
    let now = shared.clock.now();
    shared.metrics.holds(slot.source.kind(), set.keys.len(), now);
    slot.hold(set, now);
    if let Some(copy) = &shared.copy {
        copy.write(&shared.keyring).await;
    }
    Ok(changed)
}

fn after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16))
}

/// What to do about it, and what goes on meanwhile.
fn remedy(error: &FetchError) -> &'static str {
    match error {
        FetchError::ApiServer(_) => {
            "the agent goes on with the keys it has, or without this check; see whether its service account may read \
             /openid/v1/jwks and /.well-known/openid-configuration (ClusterRole system:service-account-issuer-discovery)"
        }
        FetchError::File(_)
        | FetchError::Keys(SigningKeysError::NoKeySet(_) | SigningKeysError::NoUsableKey) => {
            "the agent goes on with the keys it has, or without this check; the source must be a JSON Web Key Set, as \
             `kubectl get --raw /openid/v1/jwks` prints it"
        }
        FetchError::Issuer(_)
        | FetchError::NoDiscovery(_)
        | FetchError::AnotherIssuer { .. }
        | FetchError::NotProtected(_)
        | FetchError::TimedOut(_) => {
            "the agent goes on with the keys it has, or without this check; see whether the issuer's URL is right and can \
             be reached from this node"
        }
    }
}
