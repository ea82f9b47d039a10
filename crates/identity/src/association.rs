//! A pod identity association: namespace and service account to role, in one cluster.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Cluster, RoleArn};

/// The text is not the id of an association.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an association id is \"a-\" and 17 lower-case letters or digits, such as a-8mvwvh57cu74mgcst")]
pub struct AssociationIdError;

/// The id of an association: `a-` and 17 lower-case letters or digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssociationId(String);

impl AssociationId {
    /// The alphabet of the 17 characters after `a-`.
    pub const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

    /// How many characters of [`Self::ALPHABET`] follow `a-`.
    pub const LENGTH: usize = 17;

    /// The id made of 17 choices from the alphabet; each byte chooses by its remainder.
    pub fn from_choices(choices: [u8; Self::LENGTH]) -> Self {
        let letter = |choice: u8| char::from(Self::ALPHABET[usize::from(choice) % Self::ALPHABET.len()]);
        Self("a-".chars().chain(choices.into_iter().map(letter)).collect())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `arn:aws:eks:REGION:ACCOUNT:podidentityassociation/CLUSTER/ID`.
    pub fn arn(&self, cluster: &Cluster) -> String {
        let Cluster { partition, region, account, name } = cluster;
        format!("arn:{partition}:eks:{region}:{account}:podidentityassociation/{name}/{self}")
    }
}

impl FromStr for AssociationId {
    type Err = AssociationIdError;

    fn from_str(text: &str) -> Result<Self, AssociationIdError> {
        let tail = text.strip_prefix("a-").ok_or(AssociationIdError)?;
        let well_formed =
            tail.len() == Self::LENGTH && tail.bytes().all(|byte| Self::ALPHABET.contains(&byte));
        if well_formed { Ok(Self(text.to_owned())) } else { Err(AssociationIdError) }
    }
}

impl TryFrom<String> for AssociationId {
    type Error = AssociationIdError;

    fn try_from(text: String) -> Result<Self, AssociationIdError> {
        text.parse()
    }
}

impl From<AssociationId> for String {
    fn from(id: AssociationId) -> Self {
        id.0
    }
}

impl fmt::Display for AssociationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which role the pods of one service account get. At most one per cluster, namespace and service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// The id EKS would give it.
    pub id: AssociationId,
    /// The Kubernetes namespace, matched exactly.
    pub namespace: String,
    /// The Kubernetes service account, matched exactly.
    pub service_account: String,
    /// The role whose credentials the pods get, or the first hop when there is a target role.
    pub role_arn: RoleArn,
    /// A second role, assumed with the credentials of the first; the pods get only its credentials.
    #[serde(default)]
    pub target_role_arn: Option<RoleArn>,
    /// Whether the six session tags are left out.
    #[serde(default)]
    pub disable_session_tags: bool,
    /// A session policy, which narrows what the last role may do. JSON.
    #[serde(default)]
    pub policy: Option<String>,
}

impl Association {
    /// The ARN that goes with its id.
    pub fn arn(&self, cluster: &Cluster) -> String {
        self.id.arn(cluster)
    }

    /// The external id that goes with the second hop when session tags are off:
    /// `region/account/cluster/namespace/service-account`.
    pub fn external_id(&self, cluster: &Cluster) -> String {
        let Cluster { region, account, name, .. } = cluster;
        format!("{region}/{account}/{name}/{}/{}", self.namespace, self.service_account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_of_choices_is_one_that_parses() {
        let id = AssociationId::from_choices([0, 35, 36, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(id.as_str().starts_with("a-a9a"));
    }

    #[test]
    fn ids_of_another_shape_are_refused() {
        for wrong in [
            "",
            "a-",
            "a-8mvwvh57cu74mgcs",
            "a-8mvwvh57cu74mgcst0",
            "b-8mvwvh57cu74mgcst",
            "a-8MVWVH57cu74mgcst",
        ] {
            assert_eq!(wrong.parse::<AssociationId>(), Err(AssociationIdError), "{wrong}");
        }
    }
}
