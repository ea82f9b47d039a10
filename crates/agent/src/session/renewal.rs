//! Renewal: sessions get new credentials long before theirs expire, at the rate the operator set, most urgent first.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use eks_auth::ExchangeError;
use identity::ServiceAccountToken;
use runtime::chance::part;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::Sessions;
use super::exchange::Purpose;
use super::flight::Landing;
use super::store::{LAST_MOMENTS, SessionId};
use crate::refusal::Refusal;
use crate::upstream::{Turn, Urgency};

/// SDKs ask on every call when less life is left than a quarter of an hour; so renewal begins before that.
const LEAST_MARGIN: Duration = Duration::from_secs(20 * 60);

/// The pause after a first failed renewal; it doubles with each, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(15);

/// An outage ends for all sessions within two minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// While an exchange is under way its session is not due again; longer than one can take.
const UNDER_WAY: Duration = Duration::from_secs(90);

/// The clock may be stepped while we sleep; so we never sleep longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// When credentials obtained `now` are due: after `retention`, or earlier where they do not live that long. `chance`
/// moves it up to a tenth earlier, so that sessions which began together do not stay together.
pub(super) fn due(now: SystemTime, expires: SystemTime, retention: Duration, chance: u32) -> SystemTime {
    let lifetime = expires.duration_since(now).unwrap_or_default();
    let margin = if lifetime < LEAST_MARGIN * 2 { lifetime / 2 } else { LEAST_MARGIN.max(lifetime / 3) };
    let wait = retention.min(lifetime.saturating_sub(margin));
    now + wait - part(wait / 10, chance)
}

/// Renews what is due, forever.
pub(super) async fn run(sessions: &Sessions) {
    let shared = &sessions.0;
    if !shared.policy.keeps_sessions() {
        return std::future::pending().await;
    }
    let mut rate = tokio::time::interval(Duration::from_secs(1) / shared.policy.renewals_per_second);
    rate.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = shared.clock.now();
        let most_urgent = shared.state().store.most_urgent(now);
        match most_urgent {
            Some(session) if is_renewable(sessions, session, now) => {
                rate.tick().await;
                let turn = shared.pace.turn(Urgency::Background).await;
                // While we waited, another may have become more urgent, or this one been renewed on demand.
                let now = shared.clock.now();
                let most_urgent = shared.state().store.most_urgent(now);
                if let Some(session) = most_urgent
                    && is_renewable(sessions, session, now)
                {
                    renew(sessions, session, Some(turn));
                }
            }
            Some(_) => {}
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

/// Whether there is a token to renew a session with. Where there is none, it is forgotten, or put off.
fn is_renewable(sessions: &Sessions, id: SessionId, now: SystemTime) -> bool {
    let mut state = sessions.0.state();
    let Some(session) = state.store.peek(id) else { return false };
    if !session.is_alive(now) {
        drop(state);
        debug!("forgot a session: its credentials are over");
        sessions.forget(id);
        return false;
    }
    if session.is_abandoned() {
        // Whoever shows its token still gets what it has; a new exchange is EKS Auth's to refuse.
        let end = session.expires() - LAST_MOMENTS;
        state.store.schedule(id, end);
        return false;
    }
    if session.has_a_good_token(now) {
        return true;
    }
    // EKS Auth would refuse the token, as it refuses AWS's agent at the end of each token's life: no need to ask.
    sessions.0.metrics.renewal_failed(true, "ExpiredTokenException");
    if session.pod().is_some() {
        // The pod has a newer one by now. As soon as it shows that, the session goes on.
        let end = session.expires() - LAST_MOMENTS;
        state.store.schedule(id, end);
        return false;
    }
    drop(state);
    debug!("forgot a session: its token has expired, the pod has a newer one by now");
    sessions.forget(id);
    false
}

/// Starts the renewal of one session, unless an exchange for its owner is under way anyway. Without a turn that was waited
/// for, it takes one among those that pods wait for.
pub(super) fn renew(sessions: &Sessions, id: SessionId, turn: Option<Turn>) -> Option<Landing> {
    let shared = Arc::clone(&sessions.0);
    let mut state = shared.state();
    let owner = state.store.owner(id)?;
    // Whatever comes of it, the session is not due again before this exchange has surely ended.
    state.store.schedule(id, shared.clock.now() + UNDER_WAY);
    if let Some(landing) = state.flights.landing(&owner) {
        return Some(landing);
    }
    // What was parsed when the token came can be parsed again.
    let token = ServiceAccountToken::parse(state.store.peek(id)?.newest_token().expose_str()).ok()?;
    let landing = sessions.start_exchange(&mut state, token, owner, Purpose::Renewal(turn), Some(id));
    drop(state);
    let (sessions, renewed) = (sessions.clone(), landing.clone());
    shared.exchanges.spawn(async move {
        match renewed.outcome().await {
            Err(Refusal::Exchange(error)) => failed(&sessions, id, Some(&error)),
            Err(_) => failed(&sessions, id, None),
            Ok(_) => sessions.0.metrics.renewed(),
        }
    });
    Some(landing)
}

/// A refusal for good ends the session. After anything else it is kept, and tried again, until its last moments.
fn failed(sessions: &Sessions, id: SessionId, error: Option<&ExchangeError>) {
    let for_good = error.is_some_and(ExchangeError::is_irrecoverable);
    if let Some(error) = error {
        sessions.0.metrics.renewal_failed(for_good, error.reason());
    }
    if for_good {
        sessions.forget(id);
        return;
    }
    let mut state = sessions.0.state();
    let Some(session) = state.store.peek(id) else { return };
    let again =
        retry_at(sessions.0.clock.now(), session.failures(), session.expires(), sessions.0.chance.draw());
    state.store.failed(id, again);
    drop(state);
    sessions.0.due_sooner.notify_one();
}

/// When to try again after so many failures before this one. Pauses grow, but not beyond a quarter of what is left, so
/// that a short outage near the end does not cost the credentials; `chance` takes up to half off.
pub(super) fn retry_at(now: SystemTime, failures: u32, expires: SystemTime, chance: u32) -> SystemTime {
    let end = expires - LAST_MOMENTS;
    let left = end.duration_since(now).unwrap_or_default();
    let grown = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let pause = grown.min((left / 4).max(Duration::from_secs(5)));
    // At its last moments a session is looked at in any case, to be forgotten.
    let again = now + pause - part(pause / 2, chance);
    if end > now { again.min(end) } else { again }
}
