//! Sessions by the digest of their token, bounded, with the order in which they are due for renewal.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use identity::{Secret, TokenDigest};
use lru::LruCache;

/// Credentials are not handed out in their last seconds: they would expire on the way to AWS.
pub(super) const LAST_MOMENTS: Duration = Duration::from_secs(15);

/// One session. The token is kept as bytes and parsed again for each renewal: that is rare, and claims are large.
pub(super) struct Session {
    pub(super) token: Secret,
    pub(super) answer: Bytes,
    pub(super) expires: SystemTime,
    /// When to look at it next: to renew it, or to forget it.
    pub(super) due: SystemTime,
}

impl Session {
    /// Whether its credentials are worth handing out.
    pub(super) fn is_alive(&self, now: SystemTime) -> bool {
        now + LAST_MOMENTS < self.expires
    }
}

/// What [`Store::put`] did beside storing.
pub(super) struct Stored {
    /// Another session had to leave.
    pub(super) evicted: bool,
    /// No other session is due earlier.
    pub(super) is_next_due: bool,
}

pub(super) struct Store {
    sessions: LruCache<TokenDigest, Session>,
    due: BTreeSet<(SystemTime, TokenDigest)>,
}

impl Store {
    /// Room for `most` sessions; zero is treated as one (nobody stores into a store that keeps nothing).
    pub(super) fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Not `LruCache::new`: that takes memory for all sessions at the start, and most nodes have few pods.
        let mut sessions = LruCache::unbounded();
        sessions.resize(most);
        Self { sessions, due: BTreeSet::new() }
    }

    pub(super) fn answer(&mut self, digest: &TokenDigest, now: SystemTime) -> Option<Bytes> {
        let session = self.sessions.get(digest)?;
        session.is_alive(now).then(|| session.answer.clone())
    }

    pub(super) fn put(&mut self, digest: TokenDigest, session: Session) -> Stored {
        let due = session.due;
        let replaced = self.sessions.push(digest, session);
        let mut evicted = false;
        if let Some((old, session)) = replaced {
            evicted = old != digest;
            self.due.remove(&(session.due, old));
        }
        self.due.insert((due, digest));
        Stored { evicted, is_next_due: self.due.first() == Some(&(due, digest)) }
    }

    pub(super) fn remove(&mut self, digest: &TokenDigest) -> bool {
        let Some(session) = self.sessions.pop(digest) else { return false };
        self.due.remove(&(session.due, *digest));
        true
    }

    /// A session without counting as its use.
    pub(super) fn peek(&self, digest: &TokenDigest) -> Option<&Session> {
        self.sessions.peek(digest)
    }

    /// The session that has been due longest, if any is.
    pub(super) fn first_due(&self, now: SystemTime) -> Option<TokenDigest> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, digest)| *digest)
    }

    /// When the next session is due.
    pub(super) fn next_due(&self) -> Option<SystemTime> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Looks at a session again at `due`.
    pub(super) fn postpone(&mut self, digest: &TokenDigest, due: SystemTime) {
        if let Some(session) = self.sessions.peek_mut(digest) {
            self.due.remove(&(session.due, *digest));
            session.due = due;
            self.due.insert((due, *digest));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}
