//! Sessions and the tokens they were accepted for, bounded, with the order in which they are due for renewal.
//!
//! A token finds its session by a fast hash under a key that only this process knows, and then by comparing the token
//! itself: SHA-256 would be an eighth of the cost of an answer. Tokens with the same hash push each other out, which costs a
//! call; nothing but the whole token (or, for a pod's earlier tokens, its SHA-256) ever selects a session.

mod census;
mod session;

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::time::SystemTime;

use foldhash::fast::RandomState;
use identity::{Secret, ServiceAccountToken, TokenDigest};
use lru::LruCache;

use super::handed::Handed;
use super::owner::{Owner, PodUid};
pub(super) use census::Census;
use session::{EarlierToken, Session};
pub(super) use session::{Found, Kept, LAST_MOMENTS};

/// Tokens that one pod may use at a time. It has one, or two around a rotation; a fifth pushes the one out that ends first.
const MOST_TOKENS: usize = 4;

/// Names a session for as long as it lives; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// What a token is found by; means nothing outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fingerprint(u64);

/// What [`Store::keep`] did beside keeping.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    /// Another session had to leave.
    pub(super) evicted: bool,
    /// No other session is due earlier.
    pub(super) is_next_due: bool,
}

/// The hash comes in as a type so that a test can make all tokens look alike.
pub(super) struct Store<H = RandomState> {
    hashing: H,
    last_id: u64,
    sessions: LruCache<SessionId, Session, RandomState>,
    tokens: HashMap<Fingerprint, SessionId, RandomState>,
    pods: HashMap<PodUid, SessionId, RandomState>,
    /// Those that will be due, the next one first.
    later: BTreeSet<(SystemTime, SessionId)>,
    /// Those that are due, the one that expires next first.
    due: BTreeSet<(SystemTime, SessionId)>,
}

impl<H: BuildHasher + Default> Store<H> {
    /// Room for `most` sessions; zero is treated as one (nobody stores into a store that keeps nothing).
    pub(super) fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Not `LruCache::with_hasher`: that takes memory for all sessions at the start, and most nodes have few pods.
        let mut sessions = LruCache::unbounded_with_hasher(RandomState::default());
        sessions.resize(most);
        Self {
            hashing: H::default(),
            last_id: 0,
            sessions,
            tokens: HashMap::default(),
            pods: HashMap::default(),
            later: BTreeSet::new(),
            due: BTreeSet::new(),
        }
    }

    /// What there is for this token. A token that has ended selects nothing any more, whatever its session does.
    pub(super) fn find(&mut self, token: &[u8], now: SystemTime) -> Found {
        let fingerprint = self.fingerprint(token);
        let Some(&id) = self.tokens.get(&fingerprint) else { return Found::Nothing };
        let Some(session) = self.sessions.peek(&id) else { return Found::Nothing };
        // Only who holds the same fingerprint, hence the same token, gets as far as this comparison; its timing tells nothing.
        let token_expires = if session.newest.expose() == token {
            session.newest_expires
        } else {
            let digest = TokenDigest::of(token);
            match session.earlier.iter().find(|earlier| earlier.digest == digest) {
                Some(earlier) => earlier.expires,
                None => return Found::Nothing,
            }
        };
        if now >= token_expires {
            return Found::Nothing;
        }
        let found = session.found(id, now);
        if session.was_used_before(now) {
            self.use_again(id, now);
        }
        found
    }

    /// Counts as a use of the session: others leave before it.
    fn use_again(&mut self, id: SessionId, now: SystemTime) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.used = now;
        }
    }

    /// What there is for a pod that the node has verified; the token is that pod's from now on.
    pub(super) fn attach(&mut self, pod: &PodUid, token: &ServiceAccountToken, now: SystemTime) -> Found {
        let Some(&id) = self.pods.get(pod) else { return Found::Nothing };
        self.use_again(id, now);
        let Some(session) = self.sessions.peek(&id) else { return Found::Nothing };
        let found = session.found(id, now);
        let could_be_renewed = session.has_a_good_token(now);
        if found != Found::Nothing {
            self.accept(id, token);
            if !could_be_renewed {
                // It was put off until there is a token to renew it with.
                self.schedule(id, now);
            }
        }
        found
    }

    /// Adds a token to those of a session, which it renews from now on if it ends last.
    fn accept(&mut self, id: SessionId, token: &ServiceAccountToken) {
        let fingerprint = self.fingerprint(token.secret().expose());
        let Some(session) = self.sessions.peek_mut(&id) else { return };
        let digest = token.digest();
        if session.newest.expose() == token.secret().expose()
            || session.earlier.iter().any(|earlier| earlier.digest == digest)
        {
            // Another token of the same fingerprint may have pushed it out.
            self.lead(fingerprint, id);
            return;
        }
        let expires = token.claims().expires;
        let other = if expires >= session.newest_expires {
            let newest = std::mem::replace(&mut session.newest, Secret::from(token.secret().expose()));
            let newest_expires = std::mem::replace(&mut session.newest_expires, expires);
            EarlierToken {
                fingerprint: Fingerprint(self.hashing.hash_one(newest.expose())),
                digest: TokenDigest::of(newest.expose()),
                expires: newest_expires,
            }
        } else {
            EarlierToken { fingerprint, digest, expires }
        };
        session.earlier.push(other);
        let superfluous = (session.earlier.len() >= MOST_TOKENS).then(|| {
            session.earlier.sort_by_key(|earlier| earlier.expires);
            session.earlier.remove(0).fingerprint
        });
        self.lead(fingerprint, id);
        if let Some(fingerprint) = superfluous {
            self.release(fingerprint, id);
        }
    }

    /// Keeps what an exchange of `token` brought to `owner`: in the session it has, or in a new one.
    pub(super) fn keep(
        &mut self,
        owner: &Owner,
        token: &ServiceAccountToken,
        credentials: Kept,
        due: SystemTime,
    ) -> Stored {
        let known = self.of(owner, token);
        let (id, evicted) = match known {
            Some(id) => {
                self.accept(id, token);
                // Before its expiry changes, by which it may stand among those that are due.
                self.schedule(id, due);
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.used = credentials.obtained;
                    session.credentials = credentials;
                    session.failures = 0;
                }
                (id, false)
            }
            None => self.begin(owner, token, credentials, due),
        };
        Stored { evicted, is_next_due: self.due.is_empty() && self.later.first() == Some(&(due, id)) }
    }

    fn begin(
        &mut self,
        owner: &Owner,
        token: &ServiceAccountToken,
        credentials: Kept,
        due: SystemTime,
    ) -> (SessionId, bool) {
        self.last_id += 1;
        let id = SessionId(self.last_id);
        let pod = match owner {
            Owner::Pod(pod) => Some(pod.clone()),
            Owner::Token(_) => None,
        };
        let claimed = match owner {
            Owner::Pod(_) => None,
            Owner::Token(_) => token.claims().pod_uid().map(Box::from),
        };
        let session = Session {
            pod: pod.clone(),
            claimed,
            is_abandoned: false,
            newest: Secret::from(token.secret().expose()),
            newest_expires: token.claims().expires,
            earlier: Vec::new(),
            used: credentials.obtained,
            credentials,
            due,
            failures: 0,
        };
        let fingerprint = self.fingerprint(token.secret().expose());
        let left = self.sessions.push(id, session);
        let evicted = left.is_some();
        if let Some((old, session)) = left {
            self.clear_away(old, &session);
        }
        self.later.insert((due, id));
        self.lead(fingerprint, id);
        if let Some(pod) = pod {
            self.pods.insert(pod, id);
        }
        (id, evicted)
    }

    /// The session of an unverified token.
    fn id_of(&self, token: &ServiceAccountToken) -> Option<SessionId> {
        let token = token.secret().expose();
        let id = *self.tokens.get(&self.fingerprint(token))?;
        let session = self.sessions.peek(&id)?;
        (session.pod.is_none() && session.newest.expose() == token).then_some(id)
    }

    fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        Fingerprint(self.hashing.hash_one(token))
    }

    /// Forgets a session with all its tokens.
    pub(super) fn remove(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.pop(&id) else { return false };
        self.clear_away(id, &session);
        true
    }

    /// Everything that leads to a session which is gone.
    fn clear_away(&mut self, id: SessionId, session: &Session) {
        self.later.remove(&(session.due, id));
        self.due.remove(&(session.credentials.expires(), id));
        self.release(self.fingerprint(session.newest.expose()), id);
        for earlier in &session.earlier {
            self.release(earlier.fingerprint, id);
        }
        if let Some(pod) = &session.pod
            && self.pods.get(pod) == Some(&id)
        {
            self.pods.remove(pod);
        }
    }

    /// From now on this fingerprint leads to that session. What it led to before is lost, unless it is a pod's session,
    /// which the pod's next token finds.
    fn lead(&mut self, fingerprint: Fingerprint, id: SessionId) {
        let Some(hidden) = self.tokens.insert(fingerprint, id).filter(|hidden| *hidden != id) else { return };
        if self.sessions.peek(&hidden).is_some_and(|session| session.pod.is_none()) {
            self.remove(hidden);
        }
    }

    fn release(&mut self, fingerprint: Fingerprint, id: SessionId) {
        if self.tokens.get(&fingerprint) == Some(&id) {
            self.tokens.remove(&fingerprint);
        }
    }

    /// Removes every session that came from this association; how many there were.
    pub(super) fn remove_of(&mut self, association: &str) -> usize {
        let of_it =
            self.sessions.iter().filter(|(_, session)| *session.credentials.association == *association);
        let of_it: Vec<SessionId> = of_it.map(|(id, _)| *id).collect();
        of_it.into_iter().filter(|id| self.remove(*id)).count()
    }

    /// The pod of this uid is over: its session is forgotten. Those that only claim to be its are not renewed any more; what
    /// they have is theirs. How many were forgotten.
    pub(super) fn pod_is_over(&mut self, uid: &str) -> usize {
        for (_, session) in self.sessions.iter_mut() {
            if session.claimed.as_deref() == Some(uid) {
                session.is_abandoned = true;
            }
        }
        match self.pods.get(uid).copied() {
            Some(id) => usize::from(self.remove(id)),
            None => 0,
        }
    }

    /// The uids of pods that sessions are of, or claim to be, and that had them before `before`.
    pub(super) fn pods_before(&self, before: SystemTime) -> Vec<String> {
        let older = self.sessions.iter().filter(|(_, session)| session.credentials.obtained < before);
        older.filter_map(|(_, session)| session.uid().map(str::to_owned)).collect()
    }

    /// A session as it is handed over.
    pub(super) fn handed(&self, id: SessionId) -> Option<Handed> {
        self.sessions.peek(&id).and_then(Session::handed)
    }

    /// All sessions as they are handed over, the least recently used first.
    pub(super) fn all_handed(&self) -> Vec<Handed> {
        self.sessions.iter().rev().filter_map(|(_, session)| session.handed()).collect()
    }

    /// The session of an owner.
    pub(super) fn of(&self, owner: &Owner, token: &ServiceAccountToken) -> Option<SessionId> {
        match owner {
            Owner::Pod(pod) => self.pods.get(pod).copied(),
            Owner::Token(_) => self.id_of(token),
        }
    }

    /// Whether an owner has a session whose credentials are as new.
    pub(super) fn has_as_new(
        &self,
        owner: &Owner,
        token: &ServiceAccountToken,
        obtained: SystemTime,
    ) -> bool {
        let session = self.of(owner, token).and_then(|id| self.sessions.peek(&id));
        session.is_some_and(|session| session.credentials.obtained >= obtained)
    }

    /// A session without counting as its use.
    pub(super) fn peek(&self, id: SessionId) -> Option<&Session> {
        self.sessions.peek(&id)
    }

    /// The owner of a session.
    pub(super) fn owner(&self, id: SessionId) -> Option<Owner> {
        let session = self.sessions.peek(&id)?;
        Some(match session.pod() {
            Some(pod) => Owner::Pod(pod.clone()),
            None => Owner::Token(TokenDigest::of(session.newest.expose())),
        })
    }

    /// Of the sessions that are due, the one that expires first.
    pub(super) fn most_urgent(&mut self, now: SystemTime) -> Option<SessionId> {
        while let Some(&(due, id)) = self.later.first().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, id));
            if let Some(session) = self.sessions.peek(&id) {
                self.due.insert((session.credentials.expires(), id));
            }
        }
        self.due.first().map(|(_, id)| *id)
    }

    /// When the next session will be due, of those that are not yet.
    pub(super) fn next_due(&self) -> Option<SystemTime> {
        self.later.first().map(|(due, _)| *due)
    }

    /// Whether a session is due.
    pub(super) fn is_due(&self, id: SessionId, now: SystemTime) -> bool {
        self.sessions.peek(&id).is_some_and(|session| session.due <= now)
    }

    /// A renewal has failed; the session is due again at `due`.
    pub(super) fn failed(&mut self, id: SessionId, due: SystemTime) {
        if let Some(session) = self.sessions.peek_mut(&id) {
            session.failures = session.failures.saturating_add(1);
        }
        self.schedule(id, due);
    }

    /// Looks at a session again at `due`.
    pub(super) fn schedule(&mut self, id: SessionId, due: SystemTime) {
        let Some(session) = self.sessions.peek_mut(&id) else { return };
        self.later.remove(&(session.due, id));
        self.due.remove(&(session.credentials.expires(), id));
        session.due = due;
        self.later.insert((due, id));
    }

    /// How all sessions stand.
    pub(super) fn census(&self, now: SystemTime) -> Census {
        let mut census = Census::default();
        for (_, session) in &self.sessions {
            census.add(session, now);
        }
        census
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
mod tests;
