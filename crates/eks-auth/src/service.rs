//! The service behind EKS Auth's API: verify the token, find the association, assume the role.
//!
//! Three neighbours do the work and come in as traits, so that one set of rules serves a laptop, a cluster and a test.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use identity::{
    Association, AssumedRoleUser, Cluster, Credentials, PodIdentity, RoleArn, ServiceAccountToken,
    SessionName, SessionTags,
};
use thiserror::Error;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{ErrorCode, Exchange, Refusal};

/// Who may tell which role a service account has.
pub trait Associations: Send + Sync {
    /// The association of exactly this namespace and service account, if there is one.
    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Association>, AssociationLookupError>>;
}

/// The associations could not be asked.
#[derive(Debug, Error)]
#[error("associations cannot be read")]
pub struct AssociationLookupError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Who may tell whether a token was really issued by the cluster.
pub trait TokenVerifier: Send + Sync {
    /// The pod that the token speaks for, when its signature, issuer, audience and times are good at `now`.
    fn verify<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
        now: SystemTime,
    ) -> BoxFuture<'a, Result<PodIdentity, TokenRefused>>;
}

/// Why a token was not believed. The texts go to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefused {
    /// The token's time is over.
    #[error("{0}")]
    Expired(String),
    /// Anything else that is wrong with it.
    #[error("{0}")]
    Invalid(String),
    /// It could not be decided: the signing keys are not to be had.
    #[error("{0}")]
    Undecided(String),
}

/// Who turns a role into credentials: STS, or something that speaks like it.
pub trait RoleAssumer: Send + Sync {
    /// Assumes one role.
    fn assume(&self, call: AssumeRole) -> BoxFuture<'_, Result<RoleSession, AssumeRoleError>>;
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
    /// STS found fault with a parameter, such as a duration over the role's maximum.
    #[error("{0}")]
    Invalid(String),
    /// STS asked to slow down.
    #[error("{0}")]
    Throttled(String),
    /// STS did not answer, or not with sense.
    #[error("{0}")]
    Unavailable(String),
}

/// How long the sessions live that a [`Service`] asks for.
#[derive(Clone, Copy, Debug)]
pub struct SessionDuration {
    /// Of a single role. EKS Auth asks for six hours.
    pub single: Duration,
    /// Of a role behind another; STS caps role chaining at one hour. EKS Auth asks for 59 minutes.
    pub chained: Duration,
}

impl Default for SessionDuration {
    fn default() -> Self {
        Self { single: Duration::from_secs(21_600), chained: Duration::from_secs(59 * 60) }
    }
}

/// EKS Auth for one cluster.
#[derive(Clone)]
pub struct Service {
    cluster: Cluster,
    duration: SessionDuration,
    associations: Arc<dyn Associations>,
    tokens: Arc<dyn TokenVerifier>,
    roles: Arc<dyn RoleAssumer>,
}

impl Service {
    /// EKS Auth for `cluster`, with the neighbours that do its work.
    pub fn new(
        cluster: Cluster,
        duration: SessionDuration,
        associations: Arc<dyn Associations>,
        tokens: Arc<dyn TokenVerifier>,
        roles: Arc<dyn RoleAssumer>,
    ) -> Self {
        Self { cluster, duration, associations, tokens, roles }
    }

    /// The cluster this service answers for.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Exchanges a token: the whole of `AssumeRoleForPodIdentity` but its wire.
    ///
    /// # Errors
    /// A [`Refusal`] with the error name and status of EKS Auth's model.
    pub async fn exchange(&self, cluster: &str, token: &str, now: SystemTime) -> Result<Exchange, Refusal> {
        if cluster != self.cluster.name.as_str() {
            let text = format!("No cluster found for name: {}.", printable(cluster));
            return Err(Refusal::new(ErrorCode::ResourceNotFound, text));
        }
        let token = ServiceAccountToken::parse(token)
            .map_err(|error| Refusal::new(ErrorCode::InvalidToken, error.to_string()))?;
        let pod = self.tokens.verify(&token, now).await.map_err(|refused| match refused {
            TokenRefused::Expired(text) => Refusal::new(ErrorCode::ExpiredToken, text),
            TokenRefused::Invalid(text) => Refusal::new(ErrorCode::InvalidToken, text),
            TokenRefused::Undecided(text) => Refusal::new(ErrorCode::ServiceUnavailable, text),
        })?;
        let association = self.association_of(&pod).await?;
        let session = self.assume(&association, &pod).await?;
        let association_arn = association.arn(&self.cluster);
        Ok(Exchange {
            namespace: pod.namespace,
            service_account: pod.service_account.name,
            audience: identity::AUDIENCE.to_owned(),
            association_id: association.id.to_string(),
            association_arn,
            assumed_role_user: session.user,
            credentials: session.credentials,
        })
    }

    async fn association_of(&self, pod: &PodIdentity) -> Result<Association, Refusal> {
        let PodIdentity { namespace, service_account, .. } = pod;
        let found = self.associations.find(namespace, &service_account.name).await.map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "associations cannot be read");
            Refusal::new(
                ErrorCode::ServiceUnavailable,
                "Associations cannot be read at the moment, try again.",
            )
        })?;
        found.ok_or_else(|| {
            let text = format!(
                "No pod identity association found for namespace {namespace} and service account {} in cluster {}: \
                 create one for exactly these names.",
                service_account.name, self.cluster.name
            );
            Refusal::new(ErrorCode::ResourceNotFound, text)
        })
    }

    /// One hop, or two when the association has a target role; the pod gets the credentials of the last.
    async fn assume(&self, association: &Association, pod: &PodIdentity) -> Result<RoleSession, Refusal> {
        let unique = Uuid::new_v4().to_string();
        let session_name = SessionName::new(&self.cluster.name, &pod.pod.name, &unique).map_err(|error| {
            Refusal::new(ErrorCode::InvalidToken, format!("The pod's name is not usable: {error}"))
        })?;
        let tags = (!association.disable_session_tags).then(|| SessionTags::of(&self.cluster, pod));
        let chained = association.target_role_arn.is_some();
        let first = AssumeRole {
            role: association.role_arn.clone(),
            session_name,
            duration: if chained { self.duration.chained } else { self.duration.single },
            tags,
            policy: if chained { None } else { association.policy.clone() },
            external_id: None,
            signed_by: None,
        };
        let session = self.hop(first.clone(), association).await?;
        let Some(target) = &association.target_role_arn else { return Ok(session) };
        let second = AssumeRole {
            role: target.clone(),
            // Transitive tags come along by themselves; STS refuses a call that passes them once more.
            tags: None,
            policy: association.policy.clone(),
            external_id: association.disable_session_tags.then(|| association.external_id(&self.cluster)),
            signed_by: Some(session.credentials),
            ..first
        };
        self.hop(second, association).await
    }

    async fn hop(&self, call: AssumeRole, association: &Association) -> Result<RoleSession, Refusal> {
        let role = call.role.clone();
        let session = self.roles.assume(call).await.map_err(|error| {
            warn!(association = %association.id, %role, error = %error, "the role was not assumed");
            match error {
                // EKS Auth says the same whatever STS found, so that a pod learns nothing of trust policies.
                AssumeRoleError::Denied(_) => Refusal::new(
                    ErrorCode::AccessDenied,
                    "Unauthorized Exception! EKS does not have permissions to assume the associated role.",
                ),
                AssumeRoleError::Invalid(text) => Refusal::new(ErrorCode::InvalidParameter, text),
                AssumeRoleError::Throttled(text) => Refusal::new(ErrorCode::Throttling, text),
                AssumeRoleError::Unavailable(_) => Refusal::new(
                    ErrorCode::ServiceUnavailable,
                    "STS does not answer at the moment, try again.",
                ),
            }
        })?;
        info!(
            association = %association.id, %role, packed_policy_size = session.packed_policy_size,
            access_key_id = session.credentials.access_key_id, "role assumed"
        );
        Ok(session)
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests;
