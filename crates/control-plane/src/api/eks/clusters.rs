//! `ListClusters` and `DescribeCluster`: the one cluster there is.

use super::members::Request;
use super::requests::{LIST_CLUSTERS, ListClusters};
use super::views::{ClusterNames, ClusterView, OneCluster};
use super::{Answer, Refusal, Room};

impl Room {
    pub(super) fn list_clusters(&self, request: &Request<'_>) -> Result<Answer, Refusal> {
        let ListClusters { next_token } = request.of_query(LIST_CLUSTERS)?;
        if next_token.is_some() {
            let text =
                "nextToken: there is one cluster and one page, so no such token was given out; leave it out.";
            return Err(Refusal::Members(text.to_owned()));
        }
        Ok(Answer::result(&ClusterNames { clusters: [self.cluster.name.as_str()] }))
    }

    pub(super) fn describe_cluster(&self, cluster: &str) -> Result<Answer, Refusal> {
        self.is_ours(cluster)?;
        Ok(Answer::result(&OneCluster { cluster: ClusterView::of(&self.cluster, &self.issuer) }))
    }
}
