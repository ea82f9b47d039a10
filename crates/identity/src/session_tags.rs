//! The six session tags that tell AWS which pod acts.

use crate::{Cluster, PodIdentity};

/// The tags EKS puts on a pod's role session, in the order CloudTrail shows them. All six are transitive: they survive
/// role chaining, and a later AssumeRole cannot override them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTags([(&'static str, String); 6]);

impl SessionTags {
    /// The tags of one pod of one cluster.
    pub fn of(cluster: &Cluster, pod: &PodIdentity) -> Self {
        Self([
            ("eks-cluster-arn", cluster.arn()),
            ("eks-cluster-name", cluster.name.to_string()),
            ("kubernetes-namespace", pod.namespace.clone()),
            ("kubernetes-service-account", pod.service_account.name.clone()),
            ("kubernetes-pod-name", pod.pod.name.clone()),
            ("kubernetes-pod-uid", pod.pod.uid.clone()),
        ])
    }

    /// Each tag's key and value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }
}
