//! What an association gives to its service account, and how that may be changed.

use std::collections::BTreeMap;

use identity::{Association, AssociationId, RoleArn};
use serde::Serialize;
use thiserror::Error;

/// How many tags one association may have (the EKS API's `TagMap`).
pub const MOST_TAGS: usize = 50;

/// Tags, by key.
pub type Tags = BTreeMap<String, String>;

/// What an association gives to its service account: the part of it that may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The role.
    pub role_arn: RoleArn,
    /// The role behind it, if any.
    pub target_role_arn: Option<RoleArn>,
    /// Whether the session tags are left out.
    pub disable_session_tags: bool,
    /// The session policy, if any. It goes only without session tags.
    pub policy: Option<String>,
}

/// A session policy and session tags exclude each other: both would have to fit into one small packed text of STS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("policy needs disableSessionTags to be true: set both, or leave policy out")]
pub struct PolicyWithTags;

impl Grant {
    /// The grant of one role, with nothing special.
    pub fn of_role(role_arn: RoleArn) -> Self {
        Self { role_arn, target_role_arn: None, disable_session_tags: false, policy: None }
    }

    /// What an association gives.
    pub fn of(association: &Association) -> Self {
        let Association { role_arn, target_role_arn, disable_session_tags, policy, .. } = association.clone();
        Self { role_arn, target_role_arn, disable_session_tags, policy }
    }

    /// This grant, if it is one that can be given.
    pub(super) fn checked(self) -> Result<Self, PolicyWithTags> {
        if self.policy.is_some() && !self.disable_session_tags { Err(PolicyWithTags) } else { Ok(self) }
    }

    pub(super) fn to(self, id: AssociationId, namespace: String, service_account: String) -> Association {
        let Self { role_arn, target_role_arn, disable_session_tags, policy } = self;
        Association {
            id,
            namespace,
            service_account,
            role_arn,
            target_role_arn,
            disable_session_tags,
            policy,
        }
    }
}

/// An association that is to be created.
#[derive(Clone, Debug, Serialize)]
pub struct NewAssociation {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// What its pods get.
    pub grant: Grant,
    /// Its tags.
    pub tags: Tags,
    /// The caller's name for this very request. Sent again, it gets the first answer again.
    #[serde(skip)]
    pub request_token: Option<String>,
}

/// A change of a [`Grant`]; what is `None` stays as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Change {
    /// Another role.
    pub role_arn: Option<RoleArn>,
    /// Another role behind it; `Some(None)` takes it away.
    pub target_role_arn: Option<Option<RoleArn>>,
    /// Whether the session tags are left out from now on.
    pub disable_session_tags: Option<bool>,
    /// Another session policy; `Some(None)` takes it away.
    pub policy: Option<Option<String>>,
    /// The caller's name for this very request, as in [`NewAssociation`].
    #[serde(skip)]
    pub request_token: Option<String>,
}

impl Change {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        let Self { role_arn, target_role_arn, disable_session_tags, policy, request_token: _ } = self;
        role_arn.is_none() && target_role_arn.is_none() && disable_session_tags.is_none() && policy.is_none()
    }

    /// The grant after the change.
    pub(super) fn of(self, before: Grant) -> Grant {
        Grant {
            role_arn: self.role_arn.unwrap_or(before.role_arn),
            target_role_arn: self.target_role_arn.unwrap_or(before.target_role_arn),
            disable_session_tags: self.disable_session_tags.unwrap_or(before.disable_session_tags),
            policy: self.policy.unwrap_or(before.policy),
        }
    }
}

impl From<Grant> for Change {
    /// The change that leaves exactly this grant.
    fn from(grant: Grant) -> Self {
        let Grant { role_arn, target_role_arn, disable_session_tags, policy } = grant;
        Self {
            role_arn: Some(role_arn),
            target_role_arn: Some(target_role_arn),
            disable_session_tags: Some(disable_session_tags),
            policy: Some(policy),
            request_token: None,
        }
    }
}
