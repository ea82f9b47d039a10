//! The service behind EKS Auth's API: verify the token, find the association, assume the role.
//!
//! Three neighbours do the work and come in as traits, so that one set of rules serves a laptop, a cluster and a test.

mod hop;
mod packed_policies;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use identity::{Association, Cluster, PodIdentity, ServiceAccountToken};
use thiserror::Error;
use tracing::warn;

use crate::{ErrorCode, Exchange, Refusal, RoleAssumer};
use packed_policies::PackedPolicies;

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
    packed_policies: Arc<PackedPolicies>,
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
        Self { cluster, duration, associations, tokens, roles, packed_policies: Arc::default() }
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
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests;
