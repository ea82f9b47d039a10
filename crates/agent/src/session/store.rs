//! Sessions by their token, bounded, with the order in which they are due for renewal.
//!
//! A session is found by a fast hash of the token under a key that only this process knows, and then by comparing the
//! whole token: SHA-256 would be an eighth of the cost of an answer. Tokens with the same hash push each other out, which
//! costs a call; nothing but the whole token ever selects a session.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use foldhash::fast::RandomState;
use identity::Secret;
use lru::LruCache;

/// Credentials are not handed out in their last seconds: they would expire on the way to AWS.
pub(super) const LAST_MOMENTS: Duration = Duration::from_secs(15);

/// What a session is found by; means nothing outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(u64);

/// One session. The token is kept as bytes and parsed again for each renewal: that is rare, and claims are large.
pub(super) struct Session {
    pub(super) token: Secret,
    pub(super) answer: Bytes,
    /// The association it came from.
    pub(super) association: Box<str>,
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

/// The hash comes in as a type so that a test can make all tokens look alike.
pub(super) struct Store<H = RandomState> {
    hashing: H,
    sessions: LruCache<Fingerprint, Session>,
    due: BTreeSet<(SystemTime, Fingerprint)>,
}

impl<H: BuildHasher + Default> Store<H> {
    /// Room for `most` sessions; zero is treated as one (nobody stores into a store that keeps nothing).
    pub(super) fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Not `LruCache::new`: that takes memory for all sessions at the start, and most nodes have few pods.
        let mut sessions = LruCache::unbounded();
        sessions.resize(most);
        Self { hashing: H::default(), sessions, due: BTreeSet::new() }
    }

    /// The answer for this token, if its session lives.
    pub(super) fn answer(&mut self, token: &[u8], now: SystemTime) -> Option<Bytes> {
        let session = self.sessions.get(&self.fingerprint(token))?;
        // Only who holds the same fingerprint, hence the same token, gets as far as this comparison; its timing tells nothing.
        (session.token.expose() == token && session.is_alive(now)).then(|| session.answer.clone())
    }

    fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        Fingerprint(self.hashing.hash_one(token))
    }

    pub(super) fn put(&mut self, session: Session) -> Stored {
        let due = session.due;
        let fingerprint = self.fingerprint(session.token.expose());
        let replaced = self.sessions.push(fingerprint, session);
        let mut evicted = false;
        if let Some((old, session)) = replaced {
            evicted = old != fingerprint;
            self.due.remove(&(session.due, old));
        }
        self.due.insert((due, fingerprint));
        Stored { evicted, is_next_due: self.due.first() == Some(&(due, fingerprint)) }
    }

    pub(super) fn remove(&mut self, fingerprint: &Fingerprint) -> bool {
        let Some(session) = self.sessions.pop(fingerprint) else { return false };
        self.due.remove(&(session.due, *fingerprint));
        true
    }

    /// Removes every session that came from this association; how many there were.
    pub(super) fn remove_of(&mut self, association: &str) -> usize {
        let of_it = self.sessions.iter().filter(|(_, session)| *session.association == *association);
        let of_it: Vec<Fingerprint> = of_it.map(|(fingerprint, _)| *fingerprint).collect();
        of_it.iter().filter(|fingerprint| self.remove(fingerprint)).count()
    }

    /// A session without counting as its use.
    pub(super) fn peek(&self, fingerprint: &Fingerprint) -> Option<&Session> {
        self.sessions.peek(fingerprint)
    }

    /// The session that has been due longest, if any is.
    pub(super) fn first_due(&self, now: SystemTime) -> Option<Fingerprint> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, fingerprint)| *fingerprint)
    }

    /// When the next session is due.
    pub(super) fn next_due(&self) -> Option<SystemTime> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Looks at a session again at `due`.
    pub(super) fn postpone(&mut self, fingerprint: &Fingerprint, due: SystemTime) {
        if let Some(session) = self.sessions.peek_mut(fingerprint) {
            self.due.remove(&(session.due, *fingerprint));
            session.due = due;
            self.due.insert((due, *fingerprint));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}
