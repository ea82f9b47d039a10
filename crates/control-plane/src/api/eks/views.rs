//! What the EKS API answers with.

use std::time::SystemTime;

use identity::{Association, Cluster, to_epoch_seconds};
use serde::Serialize;

use crate::store::{Stored, Tags};

#[derive(Serialize)]
pub(super) struct One<'a> {
    pub(super) association: Full<'a>,
}

/// An association with everything it has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Full<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    role_arn: &'a str,
    tags: &'a Tags,
    created_at: f64,
    modified_at: f64,
    disable_session_tags: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_role_arn: Option<&'a str>,
    /// For the trust policy of the target role, so it is there when that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
}

impl<'a> Full<'a> {
    pub(super) fn of(stored: &'a Stored, cluster: &'a Cluster) -> Self {
        let Stored { association, tags, created_at, modified_at } = stored;
        Self {
            summary: Summary::of(association, cluster),
            role_arn: association.role_arn.as_str(),
            tags,
            created_at: to_milliseconds(*created_at),
            modified_at: to_milliseconds(*modified_at),
            disable_session_tags: association.disable_session_tags,
            target_role_arn: association.target_role_arn.as_ref().map(|role| role.as_str()),
            external_id: association.target_role_arn.as_ref().map(|_| association.external_id(cluster)),
            policy: association.policy.as_deref(),
        }
    }
}

/// An association in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary<'a> {
    cluster_name: &'a str,
    namespace: &'a str,
    service_account: &'a str,
    association_arn: String,
    association_id: &'a str,
}

impl<'a> Summary<'a> {
    pub(super) fn of(association: &'a Association, cluster: &'a Cluster) -> Self {
        Self {
            cluster_name: cluster.name.as_str(),
            namespace: &association.namespace,
            service_account: &association.service_account,
            association_arn: association.arn(cluster),
            association_id: association.id.as_str(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Many<'a> {
    pub(super) associations: Vec<Summary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ClusterNames<'a> {
    pub(super) clusters: [&'a str; 1],
}

#[derive(Serialize)]
pub(super) struct OneCluster<'a> {
    pub(super) cluster: ClusterView<'a>,
}

/// What there is to say of a cluster that has no nodes of its own.
#[derive(Serialize)]
pub(super) struct ClusterView<'a> {
    name: &'a str,
    arn: String,
    status: &'static str,
    identity: Identity<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    oidc: Oidc<'a>,
}

#[derive(Serialize)]
struct Oidc<'a> {
    issuer: &'a str,
}

impl<'a> ClusterView<'a> {
    pub(super) fn of(cluster: &'a Cluster, issuer: &'a str) -> Self {
        let identity = Identity { oidc: Oidc { issuer } };
        Self { name: cluster.name.as_str(), arn: cluster.arn(), status: "ACTIVE", identity }
    }
}

#[derive(Serialize)]
pub(super) struct TagsOnly<'a> {
    pub(super) tags: &'a Tags,
}

/// An empty object, which is what operations on tags answer with.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// Epoch seconds with milliseconds, as EKS has them.
fn to_milliseconds(at: SystemTime) -> f64 {
    (to_epoch_seconds(at) * 1_000.0).round() / 1_000.0
}
