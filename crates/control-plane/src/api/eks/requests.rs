//! The members of each operation's request: the table that is checked, and beside it the type that is read.

use std::fmt::Display;

use identity::RoleArn;
use serde::{Deserialize, Deserializer};

use super::members::{Kind, Member};
use crate::store::{Change, Grant, NewAssociation, Tags};

/// SDKs send a uuid; the model sets no limit, so this one is ours.
const REQUEST_TOKEN: Member =
    Member { name: "clientRequestToken", kind: Kind::Text { longest: 256 }, required: false };

const fn required(name: &'static str, kind: Kind) -> Member {
    Member { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Member {
    Member { name, kind, required: false }
}

pub(super) const CREATE: &[Member] = &[
    required("namespace", Kind::Namespace),
    required("serviceAccount", Kind::ServiceAccount),
    required("roleArn", Kind::Role),
    optional("targetRoleArn", Kind::RoleOrNothing),
    optional("disableSessionTags", Kind::Flag),
    optional("policy", Kind::PolicyOrNothing),
    optional("tags", Kind::Tags),
    REQUEST_TOKEN,
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    namespace: String,
    service_account: String,
    pub(super) role_arn: RoleArn,
    #[serde(default, deserialize_with = "or_nothing")]
    target_role_arn: Option<Option<RoleArn>>,
    #[serde(default)]
    disable_session_tags: bool,
    #[serde(default, deserialize_with = "or_nothing")]
    policy: Option<Option<String>>,
    #[serde(default)]
    tags: Tags,
    client_request_token: Option<String>,
}

impl From<Create> for NewAssociation {
    fn from(create: Create) -> Self {
        let Create { namespace, service_account, role_arn, target_role_arn, policy, tags, .. } = create;
        let grant = Grant {
            role_arn,
            target_role_arn: target_role_arn.flatten(),
            disable_session_tags: create.disable_session_tags,
            policy: policy.flatten(),
        };
        Self { namespace, service_account, grant, tags, request_token: create.client_request_token }
    }
}

pub(super) const UPDATE: &[Member] = &[
    optional("roleArn", Kind::Role),
    optional("targetRoleArn", Kind::RoleOrNothing),
    optional("disableSessionTags", Kind::Flag),
    optional("policy", Kind::PolicyOrNothing),
    REQUEST_TOKEN,
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    pub(super) role_arn: Option<RoleArn>,
    #[serde(default, deserialize_with = "or_nothing")]
    target_role_arn: Option<Option<RoleArn>>,
    disable_session_tags: Option<bool>,
    #[serde(default, deserialize_with = "or_nothing")]
    policy: Option<Option<String>>,
    client_request_token: Option<String>,
}

impl From<Update> for Change {
    fn from(update: Update) -> Self {
        let Update { role_arn, target_role_arn, disable_session_tags, policy, client_request_token } = update;
        Self { role_arn, target_role_arn, disable_session_tags, policy, request_token: client_request_token }
    }
}

const MAX_RESULTS: Member = optional("maxResults", Kind::Count { most: 100 });
const NEXT_TOKEN: Member = optional("nextToken", Kind::Text { longest: 1_024 });

pub(super) const LIST: &[Member] = &[
    optional("namespace", Kind::Text { longest: 253 }),
    optional("serviceAccount", Kind::Text { longest: 253 }),
    MAX_RESULTS,
    NEXT_TOKEN,
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    pub(super) namespace: Option<String>,
    pub(super) service_account: Option<String>,
    pub(super) max_results: Option<usize>,
    pub(super) next_token: Option<String>,
}

pub(super) const LIST_CLUSTERS: &[Member] = &[MAX_RESULTS, NEXT_TOKEN];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListClusters {
    pub(super) next_token: Option<String>,
}

pub(super) const TAG: &[Member] = &[required("tags", Kind::Tags)];

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) tags: Tags,
}

pub(super) const UNTAG: &[Member] = &[required("tagKeys", Kind::TagKeys)];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Untag {
    pub(super) tag_keys: Vec<String>,
}

/// A member whose empty text says that there shall be none.
fn or_nothing<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: TryFrom<String>,
    T::Error: Display,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(Some(None));
    }
    T::try_from(text).map(|value| Some(Some(value))).map_err(serde::de::Error::custom)
}
