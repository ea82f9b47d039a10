//! Whose node this is, where `--cluster-name` does not say: asked of the node's own instance metadata, then of its object in
//! Kubernetes. What contradicts itself tells nothing: an agent of the wrong cluster's name serves nobody.

mod user_data;

use eks_auth::{InstanceMetadata, InstanceMetadataError};
use identity::ClusterName;
use serde::Deserialize;
use thiserror::Error;
use tracing::info;

use crate::api_server::{ApiServer, ApiServerError, ApiServerSettings, node_path};

/// Tags that hold the cluster's name: of managed node groups, and of Karpenter and EKS Auto Mode. They can be read only where the
/// instance's launch template lets tags into its metadata.
const TAGS: [&str; 3] = ["aws:eks:cluster-name", "eks:cluster-name", "eks:eks-cluster-name"];

/// The label of eksctl's nodes, and the annotation of Cluster API's.
const LABEL: &str = "alpha.eksctl.io/cluster-name";
const ANNOTATION: &str = "cluster.x-k8s.io/cluster-name";

/// Who may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Informants {
    /// Whether the instance metadata service may be.
    pub instance_metadata: bool,
    /// The API server, and the node's name there.
    pub node: Option<(ApiServerSettings, String)>,
}

/// Nobody could tell.
#[derive(Debug, Error)]
#[error("the cluster's name is not known: give it with --cluster-name. The node does not tell it: {}", .0.join("; "))]
pub struct ClusterNameUnknown(Vec<String>);

/// Finds the cluster's name.
///
/// # Errors
/// With what each of them said.
pub async fn find(
    informants: &Informants,
    metadata: &InstanceMetadata,
) -> Result<ClusterName, ClusterNameUnknown> {
    let mut said = Vec::new();
    if informants.instance_metadata {
        match of_instance(metadata).await {
            Ok(Some(cluster)) => return Ok(found(cluster, "the instance's metadata")),
            Ok(None) => said.push("neither tags nor user data of the instance hold it".to_owned()),
            Err(error) => said.push(error.to_string()),
        }
    }
    if let Some((api_server, node)) = &informants.node {
        match of_node(api_server, node).await {
            Ok(Some(cluster)) => return Ok(found(cluster, "the node's labels")),
            Ok(None) => said.push(format!("the node {node} has neither the label {LABEL} nor {ANNOTATION}")),
            Err(error) => said.push(runtime::log::with_causes(&error)),
        }
    }
    Err(ClusterNameUnknown(said))
}

fn found(cluster: ClusterName, from: &str) -> ClusterName {
    info!(%cluster, from, "--cluster-name is not given, the node tells the cluster's name");
    cluster
}

async fn of_instance(metadata: &InstanceMetadata) -> Result<Option<ClusterName>, InstanceMetadataError> {
    for tag in TAGS {
        let value = metadata.get(&format!("/latest/meta-data/tags/instance/{tag}")).await?;
        if let Some(Ok(cluster)) = value.map(|value| value.parse()) {
            return Ok(Some(cluster));
        }
    }
    Ok(metadata.get("/latest/user-data").await?.as_deref().and_then(user_data::cluster_name))
}

async fn of_node(settings: &ApiServerSettings, node: &str) -> Result<Option<ClusterName>, ApiServerError> {
    #[derive(Default, Deserialize)]
    struct Node {
        #[serde(default)]
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(default)]
        labels: std::collections::HashMap<String, String>,
        #[serde(default)]
        annotations: std::collections::HashMap<String, String>,
    }
    let document = ApiServer::new(settings)?.get(&node_path(node)).await?;
    // What is no node has no name either.
    let Node { metadata } = serde_json::from_slice(&document).unwrap_or_default();
    let names = [metadata.labels.get(LABEL), metadata.annotations.get(ANNOTATION)];
    Ok(names.into_iter().flatten().find_map(|name| name.parse().ok()))
}
