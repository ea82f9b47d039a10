//! The cluster whose pods are identified.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::AccountId;

/// The text is not a name that EKS would accept for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a name of 1 to 100 letters, digits, hyphens and underscores that begins with a letter or digit")]
pub struct ClusterNameError;

/// A cluster's name: 1 to 100 characters, `[0-9A-Za-z][A-Za-z0-9\-_]*` (the EKS Auth API's pattern).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let goes_on_well =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if begins_well && goes_on_well && text.len() <= 100 {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClusterNameError)
        }
    }
}

impl TryFrom<String> for ClusterName {
    type Error = ClusterNameError;

    fn try_from(text: String) -> Result<Self, ClusterNameError> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cluster as AWS names it: enough to build the ARNs of everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The cluster's name, unique in its account and region.
    pub name: ClusterName,
    /// The AWS region, such as `us-west-2`.
    pub region: String,
    /// The account that owns the cluster.
    pub account: AccountId,
    /// The partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
}

impl Cluster {
    /// `arn:aws:eks:REGION:ACCOUNT:cluster/NAME`, the value of the session tag `eks-cluster-arn`.
    pub fn arn(&self) -> String {
        format!("arn:{}:eks:{}:{}:cluster/{}", self.partition, self.region, self.account, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_pattern_of_eks_are_refused() {
        for good in ["a", "0", "my-cluster_1", &"x".repeat(100)] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for wrong in ["", "-a", "_a", "a b", "a/b", "ä", &"x".repeat(101)] {
            assert!(wrong.parse::<ClusterName>().is_err(), "{wrong}");
        }
    }
}
