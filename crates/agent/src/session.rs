//! Sessions: one token's credentials and their life in the agent. Never answers with an expired credential; may answer
//! with an old one. At most one exchange is under way per token, whoever asks and whoever stops to wait.

mod answer;
mod flight;
mod metrics;
mod refused;
mod renewal;
mod store;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eks_auth::{Exchange, ExchangeError};
use futures_util::FutureExt;
use identity::{Secret, ServiceAccountToken, TokenDigest};
use runtime::{Clock, DrainWatch};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::refusal::Refusal;
use crate::upstream::Upstream;
use flight::{Flights, Landing};
pub use metrics::SessionMetrics;
use refused::RefusedTokens;
use store::{Fingerprint, Session, Store};

/// Exchanges under way at once, at most. A flood of made-up tokens must not make a flood of calls and tasks.
const MOST_EXCHANGES: usize = 1_024;

/// How sessions are kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long credentials are kept before they are renewed; zero keeps none.
    pub retention: Duration,
    /// How many sessions are kept; zero keeps none.
    pub max_sessions: usize,
    /// Renewals a second.
    pub renewals_per_second: u32,
}

impl Policy {
    fn keeps_sessions(&self) -> bool {
        !self.retention.is_zero() && self.max_sessions > 0
    }
}

/// All sessions of the agent. One for all listeners, shared by clones.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

struct Shared {
    upstream: Arc<dyn Upstream>,
    clock: Clock,
    policy: Policy,
    metrics: SessionMetrics,
    state: Mutex<State>,
    /// Exchanges under way. They outlive the clients that wait for them.
    exchanges: TaskTracker,
    /// Rings when a session is due earlier than the renewals know.
    due_sooner: Notify,
}

struct State {
    store: Store,
    flights: Flights,
    refused: RefusedTokens,
    upstream: UpstreamHealth,
    /// How often associations have changed. An exchange that began before a change may bring what was true before it.
    changes: u64,
}

/// Whether exchanges fail at the moment, so that logs tell changes and not every case.
#[derive(Default)]
struct UpstreamHealth {
    failing_with: Option<&'static str>,
    failures: u64,
}

impl UpstreamHealth {
    /// An exchange failed. True when exchanges succeeded until now, or failed otherwise.
    fn fails(&mut self, reason: &'static str) -> bool {
        self.failures += 1;
        self.failing_with.replace(reason) != Some(reason)
    }

    /// An exchange succeeded. How many failed before it.
    fn answers(&mut self) -> u64 {
        self.failing_with = None;
        std::mem::take(&mut self.failures)
    }
}

/// What is known of a token without asking anybody.
#[derive(Debug)]
pub enum Known {
    /// The answer, ready to send.
    Answer(Bytes),
    /// It was refused moments ago.
    Refused(Refusal),
    /// Nothing.
    Nothing,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(upstream: Arc<dyn Upstream>, clock: Clock, policy: Policy, metrics: SessionMetrics) -> Self {
        let state = State {
            store: Store::new(policy.max_sessions),
            flights: Flights::default(),
            refused: RefusedTokens::new(),
            upstream: UpstreamHealth::default(),
            changes: 0,
        };
        Self(Arc::new(Shared {
            upstream,
            clock,
            policy,
            metrics,
            state: Mutex::new(state),
            exchanges: TaskTracker::new(),
            due_sooner: Notify::new(),
        }))
    }

    /// What is known of this token. No parsing, no waiting: this is the path of almost every request.
    pub fn look_up(&self, token: &[u8]) -> Known {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        if let Some(answer) = state.store.answer(token, now) {
            self.0.metrics.hit();
            return Known::Answer(answer);
        }
        state.refused.find(&TokenDigest::of(token), now).map_or(Known::Nothing, Known::Refused)
    }

    /// The answer for a token that [`Self::look_up`] knows nothing of: joins the exchange that is under way for it, or
    /// starts one, and waits for at most `hold`.
    ///
    /// # Errors
    /// The exchange's refusal, or that it takes longer than `hold`; then it goes on without this caller.
    pub async fn obtain(&self, token: ServiceAccountToken, hold: Duration) -> Result<Bytes, Refusal> {
        let landing = self.landing(token)?;
        match tokio::time::timeout(hold, landing.outcome()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::StillExchanging),
        }
    }

    fn landing(&self, token: ServiceAccountToken) -> Result<Landing, Refusal> {
        let digest = token.digest();
        let mut state = self.0.state();
        if let Some(landing) = state.flights.landing(&digest) {
            return Ok(landing);
        }
        // Between the look-up and here, an exchange may have ended; its outcome must not be asked for again.
        let now = self.0.clock.now();
        if let Some(answer) = state.store.answer(token.secret().expose(), now) {
            return Ok(Landing::landed(Ok(answer)));
        }
        if let Some(refusal) = state.refused.find(&digest, now) {
            return Ok(Landing::landed(Err(refusal)));
        }
        if state.flights.len() >= MOST_EXCHANGES {
            return Err(Refusal::TooBusy);
        }
        self.0.metrics.miss();
        Ok(self.start_exchange(&mut state, token, digest))
    }

    /// Starts the one exchange of a token, in a task of its own: a client that hangs up cancels nothing.
    fn start_exchange(&self, state: &mut State, token: ServiceAccountToken, digest: TokenDigest) -> Landing {
        let (pilot, landing) = state.flights.start(digest);
        let changes = state.changes;
        let sessions = self.clone();
        self.0.exchanges.spawn(async move {
            let exchange = AssertUnwindSafe(sessions.0.upstream.exchange(&token)).catch_unwind();
            let outcome = match exchange.await {
                Ok(exchanged) => sessions.settle(&token, digest, exchanged, changes),
                Err(_) => {
                    error!(?digest, "an exchange broke off by a bug of this program, please report it");
                    Err(Refusal::Broken)
                }
            };
            // The outcome is stored before the flight is gone: whoever comes in between finds one or the other.
            sessions.0.state().flights.end(&digest);
            pilot.land(outcome);
        });
        landing
    }

    /// Turns the outcome of an exchange into a session or a remembered refusal.
    fn settle(
        &self,
        token: &ServiceAccountToken,
        digest: TokenDigest,
        exchanged: Result<Exchange, ExchangeError>,
        changes: u64,
    ) -> Result<Bytes, Refusal> {
        let shared = &self.0;
        let now = shared.clock.now();
        let (namespace, service_account) = token.claims().service_account().unwrap_or_default();
        match exchanged {
            Ok(exchange) => {
                debug!(
                    ?digest, namespace, service_account,
                    association_id = exchange.association_id,
                    fetched_role_arn = %exchange.assumed_role_user.arn,
                    access_key_id = exchange.credentials.access_key_id,
                    expiration = identity::to_rfc3339(exchange.credentials.expiration),
                    "exchanged a token for credentials"
                );
                let failures = shared.state().upstream.answers();
                if failures > 0 {
                    info!(failures, "exchanges succeed again");
                }
                let answer = answer::of(&exchange);
                if shared.policy.keeps_sessions() {
                    let expires = exchange.credentials.expiration;
                    let session = Session {
                        token: Secret::from(token.secret().expose()),
                        answer: answer.clone(),
                        association: exchange.association_id.as_str().into(),
                        expires,
                        due: renewal::due(now, expires, shared.policy.retention, rand::random()),
                    };
                    let mut state = shared.state();
                    if state.changes != changes {
                        // Whoever waits for it gets it, as if the change had come a moment later; nobody after.
                        return Ok(answer);
                    }
                    state.refused.forget(&digest);
                    let stored = state.store.put(session);
                    drop(state);
                    if stored.evicted {
                        shared.metrics.evicted();
                    }
                    if stored.is_next_due {
                        shared.due_sooner.notify_one();
                    }
                }
                Ok(answer)
            }
            Err(error) => {
                self.report(&error, token, digest);
                let refusal = Refusal::Exchange(error);
                shared.state().refused.remember(digest, &refusal, now, rand::random());
                Err(refusal)
            }
        }
    }

    /// Tells operators of a failed exchange, once: not again while the same goes on. A refusal of a pod is that pod's
    /// news; everything else is the upstream's.
    fn report(&self, error: &ExchangeError, token: &ServiceAccountToken, digest: TokenDigest) {
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

    /// Forgets a session on purpose.
    fn forget(&self, session: &Fingerprint) {
        if self.0.state().store.remove(session) {
            self.0.metrics.evicted();
        }
    }

    /// How many sessions live.
    pub fn len(&self) -> usize {
        self.0.state().store.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Renews sessions in the background until the drain starts.
    pub async fn keep_fresh(&self, drain: DrainWatch) {
        tokio::select! {
            () = drain.started() => {}
            () = renewal::run(self) => {}
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
