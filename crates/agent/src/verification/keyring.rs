//! The keys that are known, by source, and what they say of a token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use eks_auth::SignatureError;
use identity::ServiceAccountToken;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::source::{KeySet, KeySource, Reliance};

/// The least time between two fetches that tokens ask for: who makes up key ids must not make calls.
pub(super) const LEAST_PAUSE: Duration = Duration::from_secs(10);

/// What the keys say of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// One of them signed it.
    Signed,
    /// It says it was signed by one of them, and it was not.
    Forged,
    /// Nothing.
    Unknown(Unknown),
}

/// Why nothing can be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unknown {
    /// No source has its issuer's keys.
    Issuer,
    /// It was signed with a key that is not known.
    Key,
    /// The keys may be out of date at their source, and do not fit.
    ConfirmOnly,
    /// The keys are older than they may be.
    KeysTooOld,
    /// No keys have come yet.
    NoKeys,
}

/// One source and what came from it last.
pub(super) struct Slot {
    pub(super) source: Arc<dyn KeySource>,
    state: Mutex<SlotState>,
    /// Rings when a token asks for a fetch.
    pub(super) asked: Notify,
    /// Counts the fetches that have ended.
    pub(super) fetches: watch::Sender<u64>,
}

#[derive(Default)]
struct SlotState {
    held: Option<Arc<Held>>,
    /// When the last fetch that tokens asked for was granted.
    granted: Option<Instant>,
}

/// Keys and when they came.
pub(super) struct Held {
    pub(super) set: KeySet,
    pub(super) fetched: SystemTime,
}

impl Slot {
    pub(super) fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, state: Mutex::default(), asked: Notify::new(), fetches: watch::Sender::new(0) }
    }

    /// From now on these are its keys.
    pub(super) fn hold(&self, set: KeySet, fetched: SystemTime) {
        self.state().held = Some(Arc::new(Held { set, fetched }));
    }

    /// What it holds.
    pub(super) fn held(&self) -> Option<Arc<Held>> {
        self.state().held.clone()
    }

    /// A fetch for a token that nothing is known of, if the pace allows one.
    fn ask(&self) -> Option<watch::Receiver<u64>> {
        let mut state = self.state();
        let ended = self.fetches.subscribe();
        if *ended.borrow() == 0 {
            // The first one is under way.
            return Some(ended);
        }
        let now = Instant::now();
        if state.granted.is_some_and(|granted| now < granted + LEAST_PAUSE) {
            return None;
        }
        state.granted = Some(now);
        self.asked.notify_one();
        Some(ended)
    }

    fn judge(&self, token: &ServiceAccountToken, now: SystemTime, max_age: Duration) -> Judgement {
        let Some(held) = self.held() else { return Judgement::Unknown(Unknown::NoKeys) };
        if held.set.issuer.as_ref().is_some_and(|issuer| token.claims().issuer.as_ref() != Some(issuer)) {
            return Judgement::Unknown(Unknown::Issuer);
        }
        if now.duration_since(held.fetched).is_ok_and(|age| age > max_age) {
            return Judgement::Unknown(Unknown::KeysTooOld);
        }
        match (held.set.keys.verify(token), held.set.reliance) {
            (Ok(()), _) => Judgement::Signed,
            (Err(SignatureError::Wrong), Reliance::Whole) => Judgement::Forged,
            (Err(SignatureError::UnknownKey), Reliance::Whole) => Judgement::Unknown(Unknown::Key),
            (Err(_), Reliance::ConfirmOnly) => Judgement::Unknown(Unknown::ConfirmOnly),
        }
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sources.
pub(super) struct Keyring {
    pub(super) slots: Vec<Slot>,
    max_age: Duration,
}

impl Keyring {
    pub(super) fn new(sources: Vec<Arc<dyn KeySource>>, max_age: Duration) -> Self {
        Self { slots: sources.into_iter().map(Slot::new).collect(), max_age }
    }

    /// What the keys at hand say. One that signed it decides; then one that it wrongly names; else the most that is known of
    /// why nothing can be said.
    pub(super) fn judge(&self, token: &ServiceAccountToken, now: SystemTime) -> Judgement {
        let mut unknown = Unknown::Issuer;
        let mut forged = false;
        for slot in &self.slots {
            match slot.judge(token, now, self.max_age) {
                Judgement::Signed => return Judgement::Signed,
                Judgement::Forged => forged = true,
                Judgement::Unknown(why) => unknown = unknown.max(why),
            }
        }
        if forged { Judgement::Forged } else { Judgement::Unknown(unknown) }
    }

    /// Asks the sources that may know more of this token than they did, and waits until they have answered, for at most
    /// `patience`. False if none was asked.
    pub(super) async fn learn(&self, token: &ServiceAccountToken, patience: Duration) -> bool {
        let issuer = token.claims().issuer.as_ref();
        let concerned = self.slots.iter().filter(|slot| {
            slot.held().is_none_or(|held| held.set.issuer.is_none() || held.set.issuer.as_ref() == issuer)
        });
        let asked: Vec<_> = concerned.filter_map(Slot::ask).collect();
        let any = !asked.is_empty();
        let answered = futures_util::future::join_all(asked.into_iter().map(async |mut ended| {
            let before = *ended.borrow();
            // An error says that nobody fetches any more: the process ends.
            let _ = ended.wait_for(|count| *count > before).await;
        }));
        let _ = tokio::time::timeout(patience, answered).await;
        any
    }
}
