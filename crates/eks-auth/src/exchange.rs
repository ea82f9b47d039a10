//! The outcome of one exchange, as both halves see it.

use identity::{AssumedRoleUser, Credentials};

/// What a service account token was exchanged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The audience of the token.
    pub audience: String,
    /// The id of the association that named the role. Text, not [`identity::AssociationId`]: AWS may change its form.
    pub association_id: String,
    /// The association's ARN.
    pub association_arn: String,
    /// The role session; its account is the pod's `AccountId`.
    pub assumed_role_user: AssumedRoleUser,
    /// The credentials of that session.
    pub credentials: Credentials,
}
