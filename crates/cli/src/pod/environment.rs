//! The environment of a pod on EKS: what the webhook adds, and nothing of this machine that would win over it.

use std::ffi::OsString;
use std::path::Path;

use runtime::Environment;

use super::TokenFile;
use crate::control::Status;

/// Variables that AWS's SDKs look at before they ask for a pod's credentials, or in place of it.
pub(super) const SHADOWING: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// What a program sees in place of this machine's environment.
pub(super) struct PodEnvironment {
    set: Vec<(&'static str, OsString)>,
    shadows: Vec<&'static str>,
}

impl PodEnvironment {
    /// The environment of the pod whose token is in `token`, on top of this process's own.
    pub(super) fn new(status: &Status, token: &TokenFile, own: &impl Environment) -> Self {
        let mut set: Vec<(&'static str, OsString)> = Vec::new();
        let is_unset = |name: &str| own.get(name).is_none();
        // The webhook's rules: a region of the pod's own stays, and then neither variable is added.
        if is_unset("AWS_STS_REGIONAL_ENDPOINTS") {
            set.push(("AWS_STS_REGIONAL_ENDPOINTS", "regional".into()));
        }
        if is_unset("AWS_DEFAULT_REGION") && is_unset("AWS_REGION") {
            set.push(("AWS_DEFAULT_REGION", status.region.clone().into()));
            set.push(("AWS_REGION", status.region.clone().into()));
        }
        set.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", status.credentials_uri.clone().into()));
        set.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.path().into()));
        // A pod has no ~/.aws. Ours may hold real credentials, and every SDK would take those first.
        set.push(("AWS_SHARED_CREDENTIALS_FILE", token.empty_file().into()));
        if is_unset("AWS_CONFIG_FILE") {
            set.push(("AWS_CONFIG_FILE", token.empty_file().into()));
        }
        let mut shadows: Vec<_> = SHADOWING.into_iter().filter(|name| !is_unset(name)).collect();
        let at_home = own.get("HOME").is_some_and(|home| Path::new(&home).join(".aws/credentials").exists());
        if at_home || !is_unset("AWS_SHARED_CREDENTIALS_FILE") {
            shadows.push("the shared credentials file");
        }
        Self { set, shadows }
    }

    /// What is set.
    pub(super) fn set(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.set.iter().map(|(name, value)| (*name, value))
    }

    /// What was there and is kept from the program, as a remark; `None` when there was nothing.
    pub(super) fn shadows(&self) -> Option<String> {
        if self.shadows.is_empty() {
            return None;
        }
        Some(format!(
            "kept from the program, since it would win over the pod's identity: {}",
            self.shadows.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use identity::Secret;

    use super::*;

    fn of(own: &[(&'static str, &'static str)]) -> (HashMap<&'static str, String>, Option<String>) {
        let token = TokenFile::create(&Secret::from("token")).unwrap();
        let own: HashMap<&str, &str> = own.iter().copied().collect();
        let pod = PodEnvironment::new(&Status::example(), &token, &own);
        let set = pod.set().map(|(name, value)| (name, value.to_str().unwrap().to_owned())).collect();
        (set, pod.shadows())
    }

    #[test]
    fn a_program_gets_the_variables_that_the_webhook_adds() {
        let (set, shadows) = of(&[]);
        assert_eq!(set["AWS_CONTAINER_CREDENTIALS_FULL_URI"], "http://127.0.0.1:17023/v1/credentials");
        let file = &set["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
        assert!(file.ends_with("/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"), "{file}");
        assert_eq!(
            (set["AWS_REGION"].as_str(), set["AWS_DEFAULT_REGION"].as_str()),
            ("us-west-2", "us-west-2")
        );
        assert_eq!(set["AWS_STS_REGIONAL_ENDPOINTS"], "regional");
        assert_eq!(shadows, None);
    }

    #[test]
    fn a_region_of_ones_own_stays_alone() {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            let (set, _) = of(&[(name, "eu-west-1")]);
            assert!(!set.contains_key("AWS_REGION") && !set.contains_key("AWS_DEFAULT_REGION"), "{set:?}");
        }
    }

    #[test]
    fn whatever_would_win_over_the_pods_identity_is_named() {
        let (set, shadows) =
            of(&[("AWS_PROFILE", "work"), ("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_REGION", "x")]);
        assert!(shadows.unwrap().ends_with(": AWS_ACCESS_KEY_ID, AWS_PROFILE"));
        assert!(set["AWS_SHARED_CREDENTIALS_FILE"].ends_with("/no-shared-files"));
        let (set, shadows) = of(&[("AWS_SHARED_CREDENTIALS_FILE", "/x"), ("AWS_CONFIG_FILE", "/y")]);
        assert!(shadows.unwrap().contains("the shared credentials file"));
        assert!(!set.contains_key("AWS_CONFIG_FILE"), "a config file that was named on purpose stays");
    }
}
