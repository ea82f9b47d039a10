//! Requests that were done, by the name their caller gave them: one that comes again gets its first answer again.
//!
//! AWS does not say how long it remembers; here it is a day, which is longer than any client tries. A request is remembered
//! in the write of the change itself, so neither can be there without the other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Stored;

/// How long a request is remembered.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many forgotten requests a change clears away at most, so that none pays for a whole day.
const CLEARED_AT_ONCE: usize = 100;

/// The caller's name for a request came with two different requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "clientRequestToken was sent before with other parameters: repeat that request exactly, or send a new token"
)]
pub struct TokenReused;

/// A request that has a name.
pub(super) struct Request {
    token: String,
    parameters: String,
}

/// A request that was done.
#[derive(Clone)]
pub(super) struct Done {
    /// A digest of what was asked.
    pub(super) parameters: String,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    /// What it got.
    pub(super) result: Arc<Stored>,
}

/// What a change adds to the memory, and what it clears away there: names with the times of their requests.
pub(super) struct Remembered {
    pub(super) token: String,
    pub(super) done: Done,
    pub(super) forgotten: Vec<(u64, String)>,
}

/// The requests of the last day.
#[derive(Default)]
pub(super) struct Requests {
    by_token: HashMap<String, Done>,
    by_time: BTreeSet<(u64, String)>,
}

impl Request {
    /// The request of that operation with those parameters, if its caller named it.
    pub(super) fn named(token: Option<String>, operation: &str, parameters: &impl Serialize) -> Option<Self> {
        let parameters = serde_json::to_vec(&(operation, parameters))
            .expect("parameters are texts, flags and maps of them");
        let digest = Sha256::digest(parameters);
        token.map(|token| Self {
            token,
            parameters: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

impl Requests {
    /// What the request got the first time, if that is remembered.
    pub(super) fn first_answer(
        &self,
        request: &Request,
        now: SystemTime,
    ) -> Result<Option<&Arc<Stored>>, TokenReused> {
        let Some(done) = self.by_token.get(&request.token) else { return Ok(None) };
        if done.at < oldest_remembered(now) {
            return Ok(None);
        }
        if done.parameters == request.parameters { Ok(Some(&done.result)) } else { Err(TokenReused) }
    }

    /// How the request and what it got will be remembered.
    pub(super) fn remembered(&self, request: Request, result: &Arc<Stored>, now: SystemTime) -> Remembered {
        let Request { token, parameters } = request;
        let old = self.by_time.range(..(oldest_remembered(now), String::new())).take(CLEARED_AT_ONCE);
        let mut forgotten: Vec<_> = old.cloned().collect();
        // An earlier request of that name, whose result is gone: its time must not clear this one away.
        if let Some(earlier) = self.by_token.get(&token) {
            forgotten.push((earlier.at, token.clone()));
        }
        let done = Done { parameters, at: milliseconds(now), result: Arc::clone(result) };
        Remembered { token, done, forgotten }
    }

    /// Remembers and forgets.
    pub(super) fn apply(&mut self, Remembered { token, done, forgotten }: Remembered) {
        for (at, token) in forgotten {
            self.by_token.remove(&token);
            self.by_time.remove(&(at, token));
        }
        self.insert(token, done);
    }

    pub(super) fn insert(&mut self, token: String, done: Done) {
        self.by_time.insert((done.at, token.clone()));
        self.by_token.insert(token, done);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_time.len(), self.by_token.len());
        self.by_token.len()
    }
}

fn oldest_remembered(now: SystemTime) -> u64 {
    milliseconds(now.checked_sub(MEMORY).unwrap_or(UNIX_EPOCH))
}

fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
