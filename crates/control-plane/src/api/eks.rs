//! The EKS API for pod identity associations, their tags, and the one cluster they belong to (model 2017-11-01, rest-json).
//!
//! A request passes signature, cluster and the table of its members, in that order, before anything is done; so whatever
//! is refused on the way has changed nothing.

mod associations;
mod clusters;
mod members;
mod refusal;
mod requests;
mod tags;
mod views;

use std::sync::Arc;
use std::time::SystemTime;

use http::Method;
use http::request::Parts;
use identity::Cluster;
use percent_encoding::percent_decode_str;

use super::answer::{Answer, ApiError};
use crate::sigv4::SignatureCheck;
use crate::store::AssociationStore;
use members::Request;
use refusal::Refusal;

/// EKS's signing name.
pub(super) const SIGNING_NAME: &str = "eks";

/// What the EKS API answers from.
pub(super) struct Room {
    pub(super) cluster: Cluster,
    /// Who issues the cluster's tokens.
    pub(super) issuer: String,
    pub(super) store: Arc<dyn AssociationStore>,
    pub(super) signatures: SignatureCheck,
}

/// What a request wants, by method and path alone.
pub(super) enum Operation {
    ListClusters,
    DescribeCluster { cluster: String },
    CreateAssociation { cluster: String },
    ListAssociations { cluster: String },
    DescribeAssociation { cluster: String, id: String },
    UpdateAssociation { cluster: String, id: String },
    DeleteAssociation { cluster: String, id: String },
    TagResource { arn: String },
    UntagResource { arn: String },
    ListTags { arn: String },
}

impl Operation {
    /// The operation of that method and path, if this API has one.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/').map(decoded).collect::<Option<Vec<_>>>()?;
        if segments.first().is_some_and(|first| first == "tags") && segments.len() > 1 {
            // An ARN has a slash: encoded it is within its segment, from careless callers it is between two.
            let arn = segments.split_off(1).join("/");
            return match *method {
                Method::POST => Some(Self::TagResource { arn }),
                Method::DELETE => Some(Self::UntagResource { arn }),
                Method::GET => Some(Self::ListTags { arn }),
                _ => None,
            };
        }
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (method.as_str(), &names[..]) {
            ("GET", ["clusters"]) => Some(Self::ListClusters),
            ("GET", ["clusters", cluster]) => Some(Self::DescribeCluster { cluster: (*cluster).to_owned() }),
            (method, ["clusters", cluster, "pod-identity-associations"]) => {
                let cluster = (*cluster).to_owned();
                match method {
                    "POST" => Some(Self::CreateAssociation { cluster }),
                    "GET" => Some(Self::ListAssociations { cluster }),
                    _ => None,
                }
            }
            (method, ["clusters", cluster, "pod-identity-associations", id]) => {
                let (cluster, id) = ((*cluster).to_owned(), (*id).to_owned());
                match method {
                    "GET" => Some(Self::DescribeAssociation { cluster, id }),
                    "POST" => Some(Self::UpdateAssociation { cluster, id }),
                    "DELETE" => Some(Self::DeleteAssociation { cluster, id }),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Does what is asked, for whoever may ask it.
pub(super) async fn answer(
    room: &Room,
    operation: Operation,
    head: &Parts,
    body: &[u8],
    now: SystemTime,
) -> Result<Answer, ApiError> {
    room.signatures.check(head, body, now)?;
    let request = Request { head, body };
    let answer = match operation {
        Operation::ListClusters => room.list_clusters(&request),
        Operation::DescribeCluster { cluster } => room.describe_cluster(&cluster),
        Operation::CreateAssociation { cluster } => room.create(&cluster, &request, now).await,
        Operation::ListAssociations { cluster } => room.list(&cluster, &request).await,
        Operation::DescribeAssociation { cluster, id } => room.describe(&cluster, &id).await,
        Operation::UpdateAssociation { cluster, id } => room.update(&cluster, &id, &request, now).await,
        Operation::DeleteAssociation { cluster, id } => room.delete(&cluster, &id).await,
        Operation::TagResource { arn } => room.tag(&arn, &request).await,
        Operation::UntagResource { arn } => room.untag(&arn, &request).await,
        Operation::ListTags { arn } => room.list_tags(&arn).await,
    };
    Ok(answer?)
}

impl Room {
    /// That a request is for our cluster.
    fn is_ours(&self, cluster: &str) -> Result<(), Refusal> {
        if cluster == self.cluster.name.as_str() {
            return Ok(());
        }
        Err(Refusal::NoCluster { given: cluster.to_owned() })
    }
}

/// A part of a path or query as it was before it was percent-encoded.
fn decoded(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
