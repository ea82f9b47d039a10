//! Tokens that were refused moments ago. SDKs retry refusals for ever, some without a pause; each retry would be a call.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use eks_auth::{ErrorCode, ExchangeError};
use identity::TokenDigest;
use lru::LruCache;
use runtime::chance::part;

use crate::refusal::Refusal;

/// How many are remembered. Beyond that the oldest is forgotten, which costs a call, not an error.
const MOST: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Refused tokens, each until a moment soon.
pub(super) struct RefusedTokens(LruCache<TokenDigest, (Refusal, SystemTime)>);

impl RefusedTokens {
    pub(super) fn new() -> Self {
        let mut tokens = LruCache::unbounded();
        tokens.resize(MOST);
        Self(tokens)
    }

    /// The refusal of this token, while it is remembered.
    pub(super) fn find(&self, digest: &TokenDigest, now: SystemTime) -> Option<Refusal> {
        let (refusal, until) = self.0.peek(digest)?;
        let left = until.duration_since(now).unwrap_or_default();
        // Seen from a clock that was set back, `until` may be hours away; then it does not count.
        (!left.is_zero() && left <= LONGEST).then(|| refusal.clone())
    }

    /// Remembers a refusal for as long as its kind deserves; `chance` spreads those that came together.
    pub(super) fn remember(&mut self, digest: TokenDigest, refusal: &Refusal, now: SystemTime, chance: u32) {
        let Refusal::Exchange(error) = refusal else { return };
        self.0.push(digest, (refusal.clone(), now + memory_of(error, chance)));
    }

    /// Whether this token was refused with this code before, however long ago, as far as is remembered.
    pub(super) fn was_refused_with(&self, digest: &TokenDigest, code: &str) -> bool {
        self.0.peek(digest).is_some_and(|(refusal, _)| refusal.code() == code)
    }

    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    pub(super) fn forget(&mut self, digest: &TokenDigest) {
        self.0.pop(digest);
    }
}

const LONGEST: Duration = Duration::from_secs(5);

/// Seconds for what only a person can change, moments for what passes by itself.
fn memory_of(error: &ExchangeError, chance: u32) -> Duration {
    let (least, spread) = match error {
        ExchangeError::Refused { code, .. } => match code {
            ErrorCode::AccessDenied
            | ErrorCode::ExpiredToken
            | ErrorCode::InvalidToken
            | ErrorCode::ResourceNotFound
            | ErrorCode::InvalidParameter
            | ErrorCode::InvalidRequest => (3_000, 2_000),
            ErrorCode::Throttling => (1_000, 1_000),
            ErrorCode::InternalServer | ErrorCode::ServiceUnavailable => (100, 100),
        },
        ExchangeError::RefusedCaller { .. } => (3_000, 2_000),
        ExchangeError::NoOwnCredentials(_)
        | ExchangeError::Misconfigured(_)
        | ExchangeError::Unintelligible(_) => (1_000, 1_000),
        ExchangeError::Unreachable(_) | ExchangeError::TimedOut(_) => (100, 100),
    };
    Duration::from_millis(least) + part(Duration::from_millis(spread), chance)
}
