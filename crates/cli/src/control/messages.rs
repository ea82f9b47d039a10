//! What goes over the control socket. Members are named as EKS names them.

use std::fmt;

use control_plane::store::{Grant, NewAssociation, Stored, Tags};
use identity::{AccountId, AssociationId, RoleArn, Secret};
use serde::{Deserialize, Serialize};

use crate::command::ServiceAccount;

/// Paths of the control socket.
pub(super) mod path {
    pub(in crate::control) const STATUS: &str = "/v1/status";
    pub(in crate::control) const TOKENS: &str = "/v1/tokens";
    pub(in crate::control) const ASSOCIATIONS: &str = "/v1/associations";
    pub(in crate::control) const ACCESS_KEY: &str = "/v1/access-key";
}

/// Where the running system is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// The cluster it is.
    pub(crate) cluster: String,
    /// The account it pretends to belong to.
    pub(crate) account: AccountId,
    /// The region it pretends to be in.
    pub(crate) region: String,
    /// What `AWS_CONTAINER_CREDENTIALS_FULL_URI` is to be.
    pub(crate) credentials_uri: String,
    /// The endpoint of EKS Auth, which is also the issuer of tokens.
    pub(crate) api: String,
}

#[cfg(test)]
impl Status {
    /// That of `dev` as it comes, for tests.
    pub(crate) fn example() -> Self {
        Self {
            cluster: "dev".into(),
            account: "111122223333".parse().unwrap(),
            region: "us-west-2".into(),
            credentials_uri: "http://127.0.0.1:17023/v1/credentials".into(),
            api: "http://127.0.0.1:17024".into(),
        }
    }
}

/// Asks for a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRequest {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    /// The pod; `None` lets the system name it after the service account.
    #[serde(default)]
    pub(crate) pod: Option<String>,
    pub(crate) lifetime_seconds: u64,
}

/// A token, and whether it is good for anything yet.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenReply {
    #[serde(deserialize_with = "secret")]
    pub(crate) token: Secret,
    /// The role that its service account has.
    pub(crate) role_arn: Option<RoleArn>,
}

/// [`TokenReply`] on its way out: it borrows the secret, so that no copy stays behind unwiped.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenReplyOut<'a> {
    pub(super) token: &'a str,
    pub(super) role_arn: Option<RoleArn>,
}

/// Gives a service account a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssociateRequest {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) role_arn: RoleArn,
    #[serde(default)]
    pub(crate) target_role_arn: Option<RoleArn>,
    #[serde(default)]
    pub(crate) disable_session_tags: bool,
}

impl AssociateRequest {
    /// A request without the rarer options.
    pub(crate) fn new(account: ServiceAccount, role_arn: RoleArn) -> Self {
        let ServiceAccount { namespace, service_account } = account;
        Self { namespace, service_account, role_arn, target_role_arn: None, disable_session_tags: false }
    }
}

impl From<AssociateRequest> for NewAssociation {
    fn from(request: AssociateRequest) -> Self {
        let AssociateRequest { namespace, service_account, role_arn, target_role_arn, disable_session_tags } =
            request;
        let grant = Grant { role_arn, target_role_arn, disable_session_tags, policy: None };
        Self { namespace, service_account, grant, tags: Tags::new(), request_token: None }
    }
}

/// What became of an [`AssociateRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssociateReply {
    pub(crate) outcome: Outcome,
    pub(crate) association: AssociationView,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// There was none before.
    Created,
    /// It was so already.
    Unchanged,
    /// Another role, or other options, before.
    Changed {
        /// The role before.
        before: RoleArn,
    },
}

impl fmt::Display for AssociateReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AssociationView { association_id, namespace, service_account, role_arn, .. } = &self.association;
        match &self.outcome {
            Outcome::Created => write!(f, "{association_id}: {namespace}/{service_account} has {role_arn}"),
            Outcome::Unchanged => {
                write!(f, "{association_id}: {namespace}/{service_account} has {role_arn} already")
            }
            Outcome::Changed { before } if before == role_arn => {
                write!(
                    f,
                    "{association_id}: {namespace}/{service_account} has {role_arn} as before, with other options"
                )
            }
            Outcome::Changed { before } => {
                write!(
                    f,
                    "{association_id}: {namespace}/{service_account} has {role_arn}, in place of {before}"
                )
            }
        }
    }
}

/// An association as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssociationView {
    pub(crate) association_id: AssociationId,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) role_arn: RoleArn,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target_role_arn: Option<RoleArn>,
    #[serde(default)]
    pub(crate) disable_session_tags: bool,
}

impl From<Stored> for AssociationView {
    fn from(stored: Stored) -> Self {
        let identity::Association {
            id,
            namespace,
            service_account,
            role_arn,
            target_role_arn,
            disable_session_tags,
            ..
        } = stored.association;
        Self {
            association_id: id,
            namespace,
            service_account,
            role_arn,
            target_role_arn,
            disable_session_tags,
        }
    }
}

/// All associations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AssociationList {
    pub(crate) associations: Vec<AssociationView>,
}

/// The key pair that signs calls to EKS Auth and EKS.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessKeyReply {
    pub(crate) access_key_id: String,
    #[serde(deserialize_with = "secret")]
    pub(crate) secret_access_key: Secret,
}

/// [`AccessKeyReply`] on its way out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessKeyReplyOut<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) secret_access_key: &'a str,
}

/// Why the system did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) message: String,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}
