//! Requests that were done, by the name their caller gave them: one that comes again gets its first answer again.
//!
//! AWS does not say how long it remembers; here it is a day, which is longer than any client tries. The memory is written
//! in the transaction of the change itself, so neither can be there without the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::record::{Record, damaged};
use super::schema::{REQUESTS, REQUESTS_BY_TIME};
use super::{StoreError, Stored};

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

#[derive(Serialize, Deserialize)]
struct Done {
    parameters: String,
    at: u64,
    result: Record,
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

    /// What it got the first time, if that is remembered.
    pub(super) fn first_answer(
        &self,
        transaction: &WriteTransaction,
        now: SystemTime,
    ) -> Result<Option<Result<Stored, TokenReused>>, StoreError> {
        let requests = transaction.open_table(REQUESTS)?;
        let Some(json) = requests.get(self.token.as_str())? else { return Ok(None) };
        let done: Done =
            serde_json::from_slice(json.value()).map_err(|error| damaged("a remembered request", &error))?;
        if done.at < oldest_remembered(now) {
            return Ok(None);
        }
        if done.parameters != self.parameters {
            return Ok(Some(Err(TokenReused)));
        }
        done.result.stored().map(|stored| Some(Ok(stored)))
    }

    /// Remembers it with what it got.
    pub(super) fn remember(
        self,
        transaction: &WriteTransaction,
        result: &Stored,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        forget_old(transaction, now)?;
        let done = Done { parameters: self.parameters, at: milliseconds(now), result: Record::from(result) };
        let json = serde_json::to_vec(&done).expect("a record has only members that JSON can hold");
        let (mut requests, mut by_time) =
            (transaction.open_table(REQUESTS)?, transaction.open_table(REQUESTS_BY_TIME)?);
        let token = self.token.as_str();
        // An earlier request of that name, whose result is gone: its time must not clear this one away.
        let earlier =
            requests.insert(token, json.as_slice())?.map(|json| serde_json::from_slice(json.value()));
        if let Some(Ok(Done { at, .. })) = earlier {
            by_time.remove((at, token))?;
        }
        by_time.insert((done.at, token), ())?;
        Ok(())
    }
}

fn forget_old(transaction: &WriteTransaction, now: SystemTime) -> Result<(), StoreError> {
    let mut by_time = transaction.open_table(REQUESTS_BY_TIME)?;
    let mut requests = transaction.open_table(REQUESTS)?;
    let mut old = Vec::new();
    for entry in by_time.range(..(oldest_remembered(now), ""))?.take(CLEARED_AT_ONCE) {
        let key = entry?.0;
        let (at, token) = key.value();
        old.push((at, token.to_owned()));
    }
    for (at, token) in old {
        by_time.remove((at, token.as_str()))?;
        requests.remove(token.as_str())?;
    }
    Ok(())
}

fn oldest_remembered(now: SystemTime) -> u64 {
    milliseconds(now.checked_sub(MEMORY).unwrap_or(UNIX_EPOCH))
}

fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
