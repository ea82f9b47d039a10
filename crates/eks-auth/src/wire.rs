//! `AssumeRoleForPodIdentity` on the wire (EKS Auth API 2023-11-26, rest-json): bodies as JSON, member by member.

use std::fmt;

use identity::{Secret, to_epoch_seconds};
use serde::{Deserialize, Serialize};

use crate::Exchange;

/// The body of the request; the cluster's name is in the path. Members it does not know are ignored, as AWS does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRoleRequest {
    /// The service account token.
    pub token: WireToken,
    /// The Kubernetes name of the calling node.
    #[serde(default)]
    pub eks_node_name: Option<String>,
    /// The EC2 instance id of the calling node.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// The id (not the name) of the calling node's Availability Zone.
    #[serde(default)]
    pub zone: Option<String>,
}

/// A token on its way from the wire into [`identity::ServiceAccountToken`]: a secret from the first moment.
#[derive(Deserialize)]
#[serde(from = "String")]
pub struct WireToken(Secret);

impl WireToken {
    /// The token's text.
    pub fn expose(&self) -> &str {
        self.0.expose_str()
    }
}

impl From<String> for WireToken {
    fn from(text: String) -> Self {
        Self(Secret::from(text))
    }
}

impl fmt::Debug for WireToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The body of the answer. Serialise it straight into the response: it borrows secrets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRoleResponse<'a> {
    subject: Subject<'a>,
    audience: &'a str,
    pod_identity_association: PodIdentityAssociation<'a>,
    assumed_role_user: AssumedRoleUser<'a>,
    credentials: Credentials<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subject<'a> {
    namespace: &'a str,
    service_account: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodIdentityAssociation<'a> {
    association_arn: &'a str,
    association_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssumedRoleUser<'a> {
    arn: &'a str,
    // The API spells it without the d of STS's AssumedRoleId.
    assume_role_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credentials<'a> {
    session_token: &'a str,
    secret_access_key: &'a str,
    access_key_id: &'a str,
    /// Epoch seconds as a number: the member has no timestamp format of its own, so rest-json's default for bodies holds.
    expiration: f64,
}

impl<'a> From<&'a Exchange> for AssumeRoleResponse<'a> {
    fn from(exchange: &'a Exchange) -> Self {
        let Exchange { namespace, service_account, audience, association_id, association_arn, .. } = exchange;
        Self {
            subject: Subject { namespace, service_account },
            audience,
            pod_identity_association: PodIdentityAssociation { association_arn, association_id },
            assumed_role_user: AssumedRoleUser {
                arn: exchange.assumed_role_user.arn.as_str(),
                assume_role_id: &exchange.assumed_role_user.assume_role_id,
            },
            credentials: Credentials {
                session_token: exchange.credentials.session_token.expose_str(),
                secret_access_key: exchange.credentials.secret_access_key.expose_str(),
                access_key_id: &exchange.credentials.access_key_id,
                expiration: to_epoch_seconds(exchange.credentials.expiration),
            },
        }
    }
}
