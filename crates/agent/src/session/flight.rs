//! Exchanges under way: one per token, with any number of waiters.

use std::collections::HashMap;

use bytes::Bytes;
use identity::TokenDigest;
use tokio::sync::watch;

use crate::refusal::Refusal;

type Outcome = Result<Bytes, Refusal>;

/// The exchanges under way.
#[derive(Default)]
pub(super) struct Flights(HashMap<TokenDigest, Landing>);

/// Held by the task that makes the exchange. Dropped without landing, it tells all waiters that the task is gone.
pub(super) struct Pilot(watch::Sender<Option<Outcome>>);

/// Where one waits for an exchange to end.
#[derive(Clone)]
pub(super) struct Landing(watch::Receiver<Option<Outcome>>);

impl Flights {
    /// Where to wait for the exchange of this token, if one is under way.
    pub(super) fn landing(&self, digest: &TokenDigest) -> Option<Landing> {
        self.0.get(digest).cloned()
    }

    pub(super) fn start(&mut self, digest: TokenDigest) -> (Pilot, Landing) {
        let (sender, receiver) = watch::channel(None);
        let landing = Landing(receiver);
        self.0.insert(digest, landing.clone());
        (Pilot(sender), landing)
    }

    pub(super) fn end(&mut self, digest: &TokenDigest) {
        self.0.remove(digest);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Pilot {
    /// Tells all waiters.
    pub(super) fn land(self, outcome: Outcome) {
        self.0.send_replace(Some(outcome));
    }
}

impl Landing {
    /// A landing that is over.
    pub(super) fn landed(outcome: Outcome) -> Self {
        Self(watch::channel(Some(outcome)).1)
    }

    /// Waits for the exchange to end; waiting can be given up at any time.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(Refusal::Broken)),
            Err(_) => Err(Refusal::Broken),
        }
    }
}
