//! Exchanges under way: one per owner, with any number of waiters.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eks_auth::ExchangeError;
use identity::TokenDigest;
use tokio::sync::watch;

use super::answer::Answer;
use super::owner::Owner;
use crate::refusal::Refusal;

type Outcome = Result<Answer, Refusal>;

/// The exchanges under way.
#[derive(Default)]
pub(super) struct Flights(HashMap<Owner, Landing>);

/// How far an exchange has come.
#[derive(Clone, Default)]
struct Progress {
    /// Why its last attempt failed, while it goes on trying.
    trouble: Option<ExchangeError>,
    outcome: Option<Outcome>,
}

/// Held by the task that makes the exchange. Dropped without landing, it tells all waiters that the task is gone.
pub(super) struct Pilot {
    progress: watch::Sender<Progress>,
    is_wanted: Arc<AtomicBool>,
}

/// Where one waits for an exchange to end.
#[derive(Clone)]
pub(super) struct Landing {
    progress: watch::Receiver<Progress>,
    is_wanted: Arc<AtomicBool>,
    /// The token that is exchanged. Another of the same pod may be good where this one is not.
    token: TokenDigest,
}

impl Flights {
    /// Where to wait for the exchange of this owner, if one is under way.
    pub(super) fn landing(&self, owner: &Owner) -> Option<Landing> {
        self.0.get(owner).cloned()
    }

    pub(super) fn start(&mut self, owner: Owner, token: TokenDigest) -> (Pilot, Landing) {
        let (sender, receiver) = watch::channel(Progress::default());
        let is_wanted = Arc::new(AtomicBool::new(false));
        let landing = Landing { progress: receiver, is_wanted: Arc::clone(&is_wanted), token };
        self.0.insert(owner, landing.clone());
        (Pilot { progress: sender, is_wanted }, landing)
    }

    pub(super) fn end(&mut self, owner: &Owner) {
        self.0.remove(owner);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Pilot {
    /// Whether a pod waits, or waited, for this exchange.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// An attempt has failed and another will follow.
    pub(super) fn in_trouble(&self, error: &ExchangeError) {
        self.progress.send_modify(|progress| progress.trouble = Some(error.clone()));
    }

    /// Tells all waiters.
    pub(super) fn land(self, outcome: Outcome) {
        self.progress.send_replace(Progress { trouble: None, outcome: Some(outcome) });
    }
}

impl Landing {
    /// The token that is exchanged.
    pub(super) fn token(&self) -> TokenDigest {
        self.token
    }

    /// Waits on a pod's behalf, for at most `hold`; waiting can be given up at any time, the exchange goes on. What went
    /// wrong so far is the answer when the time is over.
    pub(super) async fn held(self, hold: Duration) -> Outcome {
        self.is_wanted.store(true, Ordering::Relaxed);
        let progress = self.progress.clone();
        match tokio::time::timeout(hold, self.outcome()).await {
            Ok(outcome) => outcome,
            Err(_) => match &progress.borrow().trouble {
                Some(error) => Err(Refusal::Exchange(error.clone())),
                None => Err(Refusal::StillExchanging),
            },
        }
    }

    /// What the exchange brings, if that comes within `patience` and without trouble. For those who can do without.
    pub(super) async fn soon(mut self, patience: Duration) -> Option<Answer> {
        let over = |progress: &Progress| progress.outcome.is_some() || progress.trouble.is_some();
        let progress = tokio::time::timeout(patience, self.progress.wait_for(over)).await.ok()?.ok()?;
        progress.outcome.clone()?.ok()
    }

    /// Waits for the exchange to end.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.progress.wait_for(|progress| progress.outcome.is_some()).await {
            Ok(progress) => progress.outcome.clone().unwrap_or(Err(Refusal::Broken)),
            Err(_) => Err(Refusal::Broken),
        }
    }
}
