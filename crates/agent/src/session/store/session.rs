//! One session: what it has, and whether that is worth handing out.

use std::time::{Duration, SystemTime};

use identity::{Secret, TokenDigest};

use super::super::answer::Answer;
use super::super::handed::{self, Handed};
use super::super::owner::PodUid;
use super::{Fingerprint, SessionId};

/// Credentials are not handed out in their last seconds: they would expire on the way to AWS.
pub(in crate::session) const LAST_MOMENTS: Duration = Duration::from_secs(15);

/// botocore asks again on every call when less than this is left.
const HOT_LOOP: Duration = Duration::from_secs(15 * 60);

/// Uses of a session closer together than this count as one in the order in which sessions have to leave: keeping that order to
/// the second would touch three other places of memory with each answer.
pub(super) const RECENTLY: Duration = Duration::from_secs(60);

/// One session: whose it is, what it is renewed with, what its pod gets.
pub(in crate::session) struct Session {
    /// The pod, where the node itself has verified that; else the session is its one token's.
    pub(super) pod: Option<PodUid>,
    /// The token that ends last, whole: it is what renews the session. Kept as bytes and parsed again for each renewal,
    /// which is rare, while claims are large.
    pub(super) newest: Secret,
    pub(super) newest_expires: SystemTime,
    pub(super) earlier: Vec<EarlierToken>,
    pub(super) credentials: Kept,
    pub(super) due: SystemTime,
    pub(super) failures: u32,
    /// The uid that the token of an unverified session claims: enough to stop renewing it, not to take it away.
    pub(super) claimed: Option<Box<str>>,
    /// Whether its pod is over, so that it is not renewed.
    pub(super) is_abandoned: bool,
    /// When it was last seen to be in use, to [`RECENTLY`].
    pub(super) used: SystemTime,
}

/// A token that a newer one has taken the place of, while it is still good.
pub(super) struct EarlierToken {
    pub(super) fingerprint: Fingerprint,
    pub(super) digest: TokenDigest,
    pub(super) expires: SystemTime,
}

/// What an exchange brought, as a session keeps it.
pub(in crate::session) struct Kept {
    /// The answer, ready to send.
    pub(in crate::session) answer: Answer,
    /// The association it came from.
    pub(in crate::session) association: Box<str>,
    /// When the exchange ended.
    pub(in crate::session) obtained: SystemTime,
}

impl Kept {
    /// When AWS stops to honour them.
    pub(super) fn expires(&self) -> SystemTime {
        self.answer.expires
    }

    /// Whether they are worth handing out.
    fn is_alive(&self, now: SystemTime) -> bool {
        now + LAST_MOMENTS < self.expires()
    }

    /// Whether so little is left that clients come back too soon. Short-lived ones get the time after their half.
    fn is_ageing(&self, now: SystemTime) -> bool {
        let lifetime = self.expires().duration_since(self.obtained).unwrap_or_default();
        now + HOT_LOOP.min(lifetime / 2) > self.expires()
    }
}

impl Session {
    /// The token to renew it with.
    pub(in crate::session) fn newest_token(&self) -> &Secret {
        &self.newest
    }

    /// Whether its newest token is still good.
    pub(in crate::session) fn has_a_good_token(&self, now: SystemTime) -> bool {
        now < self.newest_expires
    }

    /// The pod, where that is verified.
    pub(in crate::session) fn pod(&self) -> Option<&PodUid> {
        self.pod.as_ref()
    }

    /// Whether its credentials are worth handing out.
    pub(in crate::session) fn is_alive(&self, now: SystemTime) -> bool {
        self.credentials.is_alive(now)
    }

    /// When its credentials end.
    pub(in crate::session) fn expires(&self) -> SystemTime {
        self.credentials.expires()
    }

    /// Whether nobody needs it renewed.
    pub(in crate::session) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// The uid of its pod, verified or claimed.
    pub(super) fn uid(&self) -> Option<&str> {
        self.pod.as_ref().map(PodUid::as_str).or(self.claimed.as_deref())
    }

    /// How often its renewal has failed since it last succeeded.
    pub(in crate::session) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn handed(&self) -> Option<Handed> {
        Some(Handed {
            pod: self.pod.as_ref().map(|pod| pod.as_str().to_owned()),
            token: self.newest.expose_str().to_owned(),
            association: self.credentials.association.to_string(),
            answer: String::from_utf8(self.credentials.answer.body.to_vec()).ok()?,
            issued: self.credentials.answer.issued.as_deref().cloned().map(Box::new),
            obtained: handed::milliseconds(self.credentials.obtained),
            expires: handed::milliseconds(self.expires()),
            due: handed::milliseconds(self.due),
        })
    }

    /// Whether its last use counts as another one. So does a use that a clock set back has put into the future.
    pub(super) fn was_used_before(&self, now: SystemTime) -> bool {
        now.duration_since(self.used).map_or(true, |ago| ago >= RECENTLY)
    }

    pub(super) fn found(&self, id: SessionId, now: SystemTime) -> Found {
        if !self.is_alive(now) {
            return Found::Nothing;
        }
        let answer = self.credentials.answer.clone();
        if self.credentials.is_ageing(now) { Found::Ageing(answer, id) } else { Found::Fresh(answer) }
    }
}

/// What is found for a token.
#[derive(Debug, PartialEq)]
pub(in crate::session) enum Found {
    /// An answer to hand out as it is.
    Fresh(Answer),
    /// An answer that is good, but so near its end that a newer one is worth a moment's wait.
    Ageing(Answer, SessionId),
    /// No session that lives.
    Nothing,
}
