//! Sessions: one pod's credentials and their life in the agent. Never answers with an expired credential; may answer with
//! an old one. At most one exchange is under way per owner, whoever asks and whoever stops to wait.
//!
//! ```text
//!   fresh ──(due)──► due ──(renewed)──► fresh
//!     │               │ refused for good ──► forgotten
//!     │               └ failed otherwise: kept until its last moments, tried again with growing pauses
//!     └── its association has changed, its pod is over, or others were used more recently ──► forgotten
//! ```

mod answer;
mod departure;
mod exchange;
mod flight;
mod handed;
mod metrics;
mod owner;
mod refused;
mod renewal;
mod report;
mod store;
mod succession;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use eks_auth::{Exchange, ExchangeError};
use futures_util::FutureExt;
use identity::{ServiceAccountToken, TokenDigest};
use runtime::{Chance, Clock, DrainWatch};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info};

use crate::refusal::Refusal;
use crate::upstream::{Pace, Upstream};
pub use answer::{Answer, Issued};
use exchange::Purpose;
use flight::{Flights, Landing};
pub use handed::Handed;
pub use metrics::SessionMetrics;
pub use owner::{Owner, PodUid};
use refused::RefusedTokens;
use report::UpstreamHealth;
pub use store::SessionId;
use store::{Found, Kept, Store};
pub use succession::RenewalsLeft;

/// Exchanges under way at once, at most. A flood of made-up tokens must not make a flood of calls and tasks.
const MOST_EXCHANGES: usize = 1_024;

/// How long a pod waits for newer credentials when those at hand are good but near their end. Less than a second, which is
/// all that some SDKs wait.
const WORTH_A_WAIT: Duration = Duration::from_millis(750);

/// How sessions are kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long credentials are kept before they are renewed; zero keeps none.
    pub retention: Duration,
    /// How many sessions are kept; zero keeps none.
    pub max_sessions: usize,
    /// Renewals a second.
    pub renewals_per_second: u32,
    /// How long a pod is kept waiting for an exchange, and how long one is kept up that fails.
    pub hold: Duration,
    /// Attempts of one exchange at most, within `hold`; those that were throttled do not count.
    pub attempts: u32,
    /// Whether answers are audited, so that sessions have to know what they issue.
    pub audited: bool,
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
    pace: Pace,
    clock: Clock,
    chance: Chance,
    policy: Policy,
    metrics: SessionMetrics,
    state: Mutex<State>,
    /// Exchanges under way. They outlive the clients that wait for them.
    exchanges: TaskTracker,
    /// Rings when a session is due earlier than the renewals know.
    due_sooner: Notify,
    /// Whether sessions are renewed in the background here.
    renews: watch::Sender<bool>,
}

struct State {
    store: Store,
    flights: Flights,
    refused: RefusedTokens,
    upstream: UpstreamHealth,
    /// Who is told of every change of a session, if somebody takes this agent's place.
    successor: Option<UnboundedSender<Handed>>,
    /// How often associations have changed. An exchange that began before a change may bring what was true before it.
    changes: u64,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From a session that lived already.
    Session,
    /// From an exchange that was waited for.
    Exchange,
}

impl Source {
    /// A stable word for metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Exchange => "exchange",
        }
    }
}

/// What is known of a token without asking anybody.
#[derive(Debug)]
pub enum Known {
    /// The answer, ready to send.
    Answer(Answer),
    /// An answer that is good, but so near its end that the pod would soon be back: see [`Sessions::newer`].
    Ageing(Answer, SessionId),
    /// It was refused moments ago.
    Refused(Refusal),
    /// Nothing.
    Nothing,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(
        upstream: Arc<dyn Upstream>,
        pace: Pace,
        clock: Clock,
        chance: Chance,
        policy: Policy,
        metrics: SessionMetrics,
    ) -> Self {
        let state = State {
            store: Store::new(policy.max_sessions),
            flights: Flights::default(),
            refused: RefusedTokens::new(),
            upstream: UpstreamHealth::default(),
            successor: None,
            changes: 0,
        };
        let shared = Arc::new(Shared {
            upstream,
            pace,
            clock,
            chance,
            policy,
            metrics,
            state: Mutex::new(state),
            exchanges: TaskTracker::new(),
            due_sooner: Notify::new(),
            renews: watch::Sender::new(true),
        });
        shared.metrics.watch(&shared);
        Self(shared)
    }

    /// What is known of this token. No parsing, no waiting: this is the path of almost every request.
    pub fn look_up(&self, token: &[u8]) -> Known {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        match state.store.find(token, now) {
            Found::Nothing => {
                state.refused.find(&TokenDigest::of(token), now).map_or(Known::Nothing, Known::Refused)
            }
            found => {
                self.0.metrics.hit();
                state.known(found, now)
            }
        }
    }

    /// The answer for a token that [`Self::look_up`] knows nothing of. For a pod whose session lives the token is added to
    /// those of the session; else joins the exchange that is under way for the owner, or starts one, and waits for at most
    /// as long as the policy holds a pod.
    ///
    /// # Errors
    /// The exchange's refusal, or that it takes longer; then it goes on without this caller.
    pub async fn obtain(
        &self,
        token: ServiceAccountToken,
        owner: Owner,
    ) -> Result<(Answer, Source), Refusal> {
        let digest = token.digest();
        loop {
            let landing = match self.board(&token, digest, &owner)? {
                Boarded::Answer(answer) => return Ok((answer, Source::Session)),
                Boarded::Ageing(answer, id) => {
                    return Ok((self.newer(answer, id).await, Source::Session));
                }
                Boarded::Waiting(landing) => landing,
            };
            let of_this_token = landing.token() == digest;
            let outcome = landing.held(self.0.policy.hold).await;
            match &outcome {
                // Another token of this pod was refused: that says nothing of this one.
                Err(Refusal::Exchange(error)) if !of_this_token && error.is_irrecoverable() => continue,
                Ok(_) if !of_this_token => self.attach(&token, &owner),
                _ => {}
            }
            return outcome.map(|answer| (answer, Source::Exchange));
        }
    }

    /// Newer credentials than these, if they can be had at once; else these, which are good.
    pub async fn newer(&self, answer: Answer, id: SessionId) -> Answer {
        match renewal::renew(self, id, None) {
            Some(landing) => landing.soon(WORTH_A_WAIT).await.unwrap_or(answer),
            None => answer,
        }
    }

    fn attach(&self, token: &ServiceAccountToken, owner: &Owner) {
        if let Owner::Pod(pod) = owner {
            self.0.state().store.attach(pod, token, self.0.clock.now());
        }
    }

    /// What there is for this owner by now, or the exchange to wait for.
    fn board(
        &self,
        token: &ServiceAccountToken,
        digest: TokenDigest,
        owner: &Owner,
    ) -> Result<Boarded, Refusal> {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        // Between the look-up and here, an exchange may have ended; its outcome must not be asked for again.
        let found = match owner {
            Owner::Pod(pod) => state.store.attach(pod, token, now),
            Owner::Token(_) => state.store.find(token.secret().expose(), now),
        };
        match state.known(found, now) {
            Known::Answer(answer) => {
                self.0.metrics.hit();
                state.tell_successor(owner, token);
                return Ok(Boarded::Answer(answer));
            }
            Known::Ageing(answer, id) => {
                self.0.metrics.hit();
                return Ok(Boarded::Ageing(answer, id));
            }
            Known::Refused(_) | Known::Nothing => {}
        }
        if let Some(landing) = state.flights.landing(owner) {
            return Ok(Boarded::Waiting(landing));
        }
        if let Some(refusal) = state.refused.find(&digest, now) {
            return Err(refusal);
        }
        if state.flights.len() >= MOST_EXCHANGES {
            return Err(Refusal::TooBusy);
        }
        self.0.metrics.miss();
        let landing = self.start_exchange(&mut state, token.clone(), owner.clone(), Purpose::Demand, None);
        Ok(Boarded::Waiting(landing))
    }

    /// Starts the one exchange of an owner, in a task of its own: a client that hangs up cancels nothing. What a renewal
    /// brings is kept only if its session is still there, unless a pod has come to wait for it.
    fn start_exchange(
        &self,
        state: &mut State,
        token: ServiceAccountToken,
        owner: Owner,
        purpose: Purpose,
        renews: Option<SessionId>,
    ) -> Landing {
        let digest = token.digest();
        let (pilot, landing) = state.flights.start(owner.clone(), digest);
        let changes = state.changes;
        let sessions = self.clone();
        self.0.exchanges.spawn(async move {
            let exchange = exchange::make(&sessions.0, &token, purpose, &pilot);
            let outcome = match AssertUnwindSafe(exchange).catch_unwind().await {
                Ok(exchanged) => {
                    let renews = renews.filter(|_| !pilot.is_wanted());
                    sessions.settle(&token, &owner, exchanged, changes, renews)
                }
                Err(_) => {
                    error!(?digest, "an exchange broke off by a bug of this program, please report it");
                    Err(Refusal::Broken)
                }
            };
            // The outcome is stored before the flight is gone: whoever comes in between finds one or the other.
            sessions.0.state().flights.end(&owner);
            pilot.land(outcome);
        });
        landing
    }

    /// Turns the outcome of an exchange into a session or a remembered refusal.
    fn settle(
        &self,
        token: &ServiceAccountToken,
        owner: &Owner,
        exchanged: Result<Exchange, ExchangeError>,
        changes: u64,
        renews: Option<SessionId>,
    ) -> Result<Answer, Refusal> {
        let shared = &self.0;
        let now = shared.clock.now();
        let digest = token.digest();
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
                let expires = exchange.credentials.expiration;
                let issued = shared.policy.audited.then(|| Arc::new(Issued::of(&exchange, token)));
                let answer = Answer { body: answer::body(&exchange), expires, issued };
                if shared.policy.keeps_sessions() {
                    let due = renewal::due(now, expires, shared.policy.retention, shared.chance.draw());
                    let association = exchange.association_id.as_str().into();
                    let kept = Kept { answer: answer.clone(), association, obtained: now };
                    let mut state = shared.state();
                    if state.changes != changes || renews.is_some_and(|id| state.store.peek(id).is_none()) {
                        // Whoever waits for it gets it, as if the change had come a moment later; nobody after.
                        return Ok(answer);
                    }
                    state.refused.forget(&digest);
                    let stored = state.store.keep(owner, token, kept, due);
                    state.tell_successor(owner, token);
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
                shared.state().refused.remember(digest, &refusal, now, shared.chance.draw());
                Err(refusal)
            }
        }
    }

    /// Forgets a session on purpose.
    fn forget(&self, session: SessionId) {
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
        let mut renews = self.0.renews.subscribe();
        let renewals = async {
            // The sender lives as long as the sessions: neither wait fails.
            while renews.wait_for(|renews| *renews).await.is_ok() {
                tokio::select! {
                    _ = renews.wait_for(|renews| !*renews) => {}
                    () = renewal::run(self) => {}
                }
            }
        };
        tokio::select! {
            () = drain.started() => {}
            () = renewals => {}
        }
    }
}

/// What a request for credentials comes to.
enum Boarded {
    /// They are here.
    Answer(Answer),
    /// They are here, and near their end.
    Ageing(Answer, SessionId),
    /// They may be here when this exchange ends.
    Waiting(Landing),
}

impl State {
    /// What was found in the store, for the endpoint. What is near its end is an answer like any other while nothing newer
    /// can be had: a renewal has just failed, and the next is not due yet.
    fn known(&self, found: Found, now: SystemTime) -> Known {
        match found {
            Found::Fresh(answer) => Known::Answer(answer),
            Found::Ageing(answer, id) => {
                let is_under_way =
                    || self.store.owner(id).is_some_and(|owner| self.flights.landing(&owner).is_some());
                if self.store.is_due(id, now) || is_under_way() {
                    Known::Ageing(answer, id)
                } else {
                    Known::Answer(answer)
                }
            }
            Found::Nothing => Known::Nothing,
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
