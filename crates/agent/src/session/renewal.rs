//! Renewal: sessions get new credentials long before theirs expire, at the rate the operator set, most urgent first.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use eks_auth::ExchangeError;
use identity::ServiceAccountToken;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::Sessions;
use super::store::{Fingerprint, LAST_MOMENTS};
use crate::refusal::Refusal;

/// SDKs ask on every call when less life is left than a quarter of an hour; so renewal begins before that.
const LEAST_MARGIN: Duration = Duration::from_secs(20 * 60);

/// After a failed renewal: a minute, and up to another.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The clock may be stepped while we sleep; so we never sleep longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// When credentials obtained `now` are due: after `retention`, or earlier where they do not live that long. `chance`
/// moves it up to a tenth earlier, so that sessions which began together do not stay together.
pub(super) fn due(now: SystemTime, expires: SystemTime, retention: Duration, chance: u32) -> SystemTime {
    let lifetime = expires.duration_since(now).unwrap_or_default();
    let margin = if lifetime < LEAST_MARGIN * 2 { lifetime / 2 } else { LEAST_MARGIN.max(lifetime / 3) };
    let wait = retention.min(lifetime.saturating_sub(margin));
    now + wait - share(wait / 10, chance)
}

fn share(of: Duration, chance: u32) -> Duration {
    of.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// Renews what is due, forever.
pub(super) async fn run(sessions: &Sessions) {
    let shared = &sessions.0;
    if !shared.policy.keeps_sessions() {
        return std::future::pending().await;
    }
    let mut pace = tokio::time::interval(Duration::from_secs(1) / shared.policy.renewals_per_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = shared.clock.now();
        let first_due = shared.state().store.first_due(now);
        match first_due {
            Some(session) => {
                if let Some(token) = renewable(sessions, session, now) {
                    pace.tick().await;
                    renew(sessions, session, token);
                }
            }
            None => {
                let next = shared.state().store.next_due();
                let wait = next.and_then(|due| due.duration_since(now).ok()).unwrap_or(LONGEST_SLEEP);
                tokio::select! {
                    () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
                    () = shared.due_sooner.notified() => {}
                }
            }
        }
    }
}

/// The token to renew a session with; `None` when the session had to be forgotten instead.
fn renewable(sessions: &Sessions, session: Fingerprint, now: SystemTime) -> Option<ServiceAccountToken> {
    let token = {
        let state = sessions.0.state();
        let session = state.store.peek(&session)?;
        session.is_alive(now).then(|| session.token.clone())
    };
    let token = token.and_then(|token| ServiceAccountToken::parse(token.expose_str()).ok());
    let Some(token) = token else {
        debug!("forgot a session: its credentials are over");
        sessions.forget(&session);
        return None;
    };
    // EKS Auth would refuse it, as it refuses AWS's agent at the end of each token's life: no need to ask.
    if now >= token.claims().expires {
        let digest = token.digest();
        debug!(?digest, "forgot a session: its token has expired, the pod has a newer one by now");
        sessions.0.metrics.renewal_failed(true, "ExpiredTokenException");
        sessions.forget(&session);
        return None;
    }
    Some(token)
}

/// Starts the renewal of one session, unless an exchange of its token is under way anyway.
fn renew(sessions: &Sessions, session: Fingerprint, token: ServiceAccountToken) {
    let shared = Arc::clone(&sessions.0);
    let mut state = shared.state();
    // Whatever comes of it, the session is not due again before this exchange has surely ended.
    let again = retry_at(&state.store, &session, shared.clock.now());
    state.store.postpone(&session, again);
    let digest = token.digest();
    if state.flights.landing(&digest).is_some() {
        return;
    }
    let landing = sessions.start_exchange(&mut state, token, digest);
    drop(state);
    let sessions = sessions.clone();
    shared.exchanges.spawn(async move {
        let Err(Refusal::Exchange(error)) = landing.outcome().await else { return };
        failed(&sessions, session, &error);
    });
}

/// A refusal for good ends the session. After anything else it is kept, and tried again, until its last moments.
fn failed(sessions: &Sessions, session: Fingerprint, error: &ExchangeError) {
    let for_good = error.is_irrecoverable();
    sessions.0.metrics.renewal_failed(for_good, error.reason());
    if for_good {
        sessions.forget(&session);
    }
}

fn retry_at(store: &super::Store, session: &Fingerprint, now: SystemTime) -> SystemTime {
    let retry = now + RETRY_AFTER + share(RETRY_AFTER, rand::random());
    // At its last moments a session is looked at in any case, to be forgotten.
    let end = store.peek(session).map_or(retry, |session| session.expires - LAST_MOMENTS);
    if end > now { retry.min(end) } else { retry }
}
