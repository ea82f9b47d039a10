//! The name of a pod's role session, which CloudTrail shows beside every call the pod makes.

use std::fmt;

use thiserror::Error;

use crate::ClusterName;

/// No session name can be made of these parts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a role session name has 2 to 64 letters, digits and _+=,.@-")]
pub struct SessionNameError;

/// `eks-<10 characters of the cluster>-<10 characters of the pod>-<unique>`, at most STS's 64 characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionName(String);

impl SessionName {
    /// Names a session after cluster and pod; `unique` tells apart the sessions of one pod (a UUID on EKS).
    ///
    /// # Errors
    /// When the pod's name or `unique` has characters STS does not take, or the whole is longer than 64.
    pub fn new(cluster: &ClusterName, pod_name: &str, unique: &str) -> Result<Self, SessionNameError> {
        let head = |text: &str| text.chars().take(10).collect::<String>();
        let name = format!("eks-{}-{}-{unique}", head(cluster.as_str()), head(pod_name));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if name.len() <= 64 && name.bytes().all(allowed) { Ok(Self(name)) } else { Err(SessionNameError) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "b1844cc2-38a1-4d21-9d7e-2a66a9c2a2f1";

    #[test]
    fn cluster_and_pod_are_cut_to_ten_characters_and_short_names_are_not_padded() {
        let cluster: ClusterName = "eksworkshop-prod".parse().unwrap();
        for (pod, wanted) in
            [("app5-v1-5d8f9", "eks-eksworksho-app5-v1-5d-"), ("app1", "eks-eksworksho-app1-")]
        {
            let name = SessionName::new(&cluster, pod, UUID).unwrap();
            assert_eq!(name.as_str(), format!("{wanted}{UUID}"));
            assert!(name.as_str().len() <= 64);
        }
    }

    #[test]
    fn names_that_sts_would_refuse_are_not_made() {
        let cluster: ClusterName = "dev".parse().unwrap();
        assert_eq!(SessionName::new(&cluster, "pöd", UUID), Err(SessionNameError));
        assert_eq!(SessionName::new(&cluster, "pod", &"x".repeat(64)), Err(SessionNameError));
    }
}
