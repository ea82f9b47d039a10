//! AssumeRole as the service asks for it, and what may come of it, whoever answers.

use std::time::Duration;

use futures_util::future::BoxFuture;
use identity::{AssumedRoleUser, Credentials, Principal, RoleArn, SessionName, SessionTags};
use thiserror::Error;

/// Who turns a role into credentials: STS, or something that speaks like it.
pub trait RoleAssumer: Send + Sync {
    /// Assumes one role.
    fn assume(&self, call: AssumeRole) -> BoxFuture<'_, Result<RoleSession, AssumeRoleError>>;

    /// Who signs a call that brings no signer, as a trust policy must name it; `None` when that cannot be found out.
    /// Asked only after a role was denied, so it may take a moment, but not long: a pod is waiting.
    fn caller(&self) -> BoxFuture<'_, Option<Principal>>;
}

/// One AssumeRole call.
#[derive(Clone, Debug)]
pub struct AssumeRole {
    /// The role.
    pub role: RoleArn,
    /// The name of the session.
    pub session_name: SessionName,
    /// How long the credentials shall live.
    pub duration: Duration,
    /// The six tags, all transitive; `None` when the association switches them off, and on a second hop.
    pub tags: Option<SessionTags>,
    /// The session policy, on the last hop: what the credentials may do is the role's rights and this one's.
    pub policy: Option<String>,
    /// The external id, on a second hop without tags.
    pub external_id: Option<String>,
    /// Whose credentials sign the call; `None` for the assumer's own.
    pub signed_by: Option<Credentials>,
}

/// What an AssumeRole call gives.
#[derive(Clone, Debug)]
pub struct RoleSession {
    /// The credentials.
    pub credentials: Credentials,
    /// The session they belong to.
    pub user: AssumedRoleUser,
    /// How much of STS's room for session policies and tags is used, in per cent.
    pub packed_policy_size: Option<u32>,
}

/// Why a role was not assumed.
#[derive(Debug, Error)]
pub enum AssumeRoleError {
    /// STS said no: the trust policy, the caller's permission, or a role that does not exist.
    #[error("{0}")]
    Denied(String),
    /// STS found fault with a parameter, such as a duration over the role's maximum or a policy that is too large.
    #[error("{0}")]
    Invalid(String),
    /// The role's account has switched STS off in this region.
    #[error("{0}")]
    RegionDisabled(String),
    /// STS does not accept whoever signs the call: expired, unknown or missing credentials, a wrong signature.
    #[error("{0}")]
    CallerRefused(String),
    /// STS asked to slow down.
    #[error("{0}")]
    Throttled(String),
    /// STS did not answer, or not with sense.
    #[error("{0}")]
    Unavailable(String),
}
