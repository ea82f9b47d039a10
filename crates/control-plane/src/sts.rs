//! An STS for development: credentials of the right shape that open nothing at AWS.
//!
//! It keeps STS's own rules where a program can run into them: credentials of a first hop must be real and alive to sign
//! a second, role chaining ends after an hour, and inherited tags cannot be passed again.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eks_auth::{AssumeRole, AssumeRoleError, RoleAssumer, RoleSession};
use futures_util::future::BoxFuture;
use identity::{AssumedRoleUser, Credentials, Principal, RoleArn, Secret, SessionTags};
use lru::LruCache;
use runtime::Clock;

use crate::access_key::{AccessKey, role_id};

/// The longest any role session lives (STS's highest MaxSessionDuration).
pub const LONGEST_SESSION: Duration = Duration::from_secs(12 * 3_600);

/// The longest a session lives that was assumed with another session's credentials.
const LONGEST_CHAINED_SESSION: Duration = Duration::from_secs(3_600);

/// How many sessions are remembered. They are asked for within one exchange, so the oldest are the least missed.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("4096 is not zero");

/// Issues credentials without AWS.
pub struct DevelopmentSts {
    clock: Clock,
    issued: Mutex<LruCache<String, Issued>>,
}

/// A session this STS has issued, by its access key id.
struct Issued {
    credentials: Credentials,
    inherited: Option<SessionTags>,
}

impl DevelopmentSts {
    /// An STS that goes by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, issued: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    fn assume_now(&self, call: AssumeRole, now: SystemTime) -> Result<RoleSession, AssumeRoleError> {
        let inherited = match &call.signed_by {
            Some(credentials) => self.tags_inherited_from(credentials, call.tags.as_ref(), now)?,
            None => None,
        };
        let longest = if call.signed_by.is_some() { LONGEST_CHAINED_SESSION } else { LONGEST_SESSION };
        if call.duration.is_zero() || call.duration > longest {
            return Err(AssumeRoleError::Invalid(format!(
                "A session of {} seconds cannot be had for {}: ask for 1 to {} seconds.",
                call.duration.as_secs(),
                call.role,
                longest.as_secs()
            )));
        }
        let credentials = credentials_of(&call.role, now + call.duration);
        let user = user_of(&call)?;
        let issued = Issued { credentials: credentials.clone(), inherited: call.tags.or(inherited) };
        self.lock().put(credentials.access_key_id.clone(), issued);
        Ok(RoleSession { credentials, user, packed_policy_size: None })
    }

    /// The transitive tags that come with the credentials of a first hop.
    fn tags_inherited_from(
        &self,
        credentials: &Credentials,
        passed: Option<&SessionTags>,
        now: SystemTime,
    ) -> Result<Option<SessionTags>, AssumeRoleError> {
        let denied = |why: &str| {
            let id = &credentials.access_key_id;
            AssumeRoleError::Denied(format!("The credentials {id} that sign the call {why}."))
        };
        let mut issued = self.lock();
        let known = issued.get(&credentials.access_key_id).ok_or_else(|| denied("are not of this STS"))?;
        if known.credentials != *credentials {
            return Err(denied("do not have the secret and session token they were issued with"));
        }
        if now >= known.credentials.expiration {
            return Err(denied("have expired"));
        }
        let inherited = known.inherited.clone();
        let is_inherited =
            |key: &str| inherited.iter().flat_map(SessionTags::iter).any(|(known, _)| known == key);
        // STS's documentation of AssumeRole's Tags: a tag with the key of an inherited one makes the call fail.
        if let Some((key, _)) = passed.iter().flat_map(|tags| tags.iter()).find(|(key, _)| is_inherited(key))
        {
            let text = format!(
                "The session tag {key} is inherited from the calling session and cannot be passed again."
            );
            return Err(AssumeRoleError::Invalid(text));
        }
        Ok(inherited)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<String, Issued>> {
        // Whoever panicked did not do so half-way through a change: each is one call.
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoleAssumer for DevelopmentSts {
    fn assume(&self, call: AssumeRole) -> BoxFuture<'_, Result<RoleSession, AssumeRoleError>> {
        let now = self.clock.now();
        Box::pin(std::future::ready(self.assume_now(call, now)))
    }

    /// On EKS, EKS signs the first hop. Here nobody does, and no trust policy is read.
    fn caller(&self) -> BoxFuture<'_, Option<Principal>> {
        Box::pin(std::future::ready(Some(Principal::eks())))
    }
}

fn credentials_of(role: &RoleArn, expiration: SystemTime) -> Credentials {
    let AccessKey { id, secret } = AccessKey::temporary(role.account());
    Credentials { access_key_id: id, secret_access_key: secret, session_token: session_token(), expiration }
}

/// 736 characters of base64 that begin as the tokens of the real STS do, which some tools look for.
fn session_token() -> Secret {
    const OPENING: &[u8] = b"!\n\torigin_ec";
    let mut bytes = [0; 552];
    rand::fill(&mut bytes);
    bytes[..OPENING.len()].copy_from_slice(OPENING);
    Secret::from(STANDARD.encode(bytes))
}

fn user_of(call: &AssumeRole) -> Result<AssumedRoleUser, AssumeRoleError> {
    let AssumeRole { role, session_name, .. } = call;
    let (partition, account, name) = (role.partition(), role.account(), role.name());
    let arn = format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}");
    let arn = arn
        .parse()
        .map_err(|error| AssumeRoleError::Invalid(format!("No session can be named so: {error}.")))?;
    Ok(AssumedRoleUser { arn, assume_role_id: format!("{}:{session_name}", role_id(role.as_str())) })
}

#[cfg(test)]
mod tests;
