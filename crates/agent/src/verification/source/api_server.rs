//! The keys that the cluster's API server publishes. Any service account may read them (the ClusterRole
//! `system:service-account-issuer-discovery`).

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::issuer::{DISCOVERY_PATH, Discovery};
use super::{FetchError, KeySet, KeySource, Reliance, SourceKind};
use crate::api_server::ApiServer;

const KEYS_PATH: &str = "/openid/v1/jwks";
const VERSION_PATH: &str = "/version";

/// EKS publishes all keys that sign from this minor version of Kubernetes on.
const EKS_PUBLISHES_FROM: u32 = 34;

/// The keys of the cluster's own API server.
pub struct ApiServerKeys {
    api_server: ApiServer,
    reliance: Option<Reliance>,
}

impl ApiServerKeys {
    /// Those of this API server; `reliance` decides how far they are relied on, or it is found out.
    pub fn new(api_server: ApiServer, reliance: Option<Reliance>) -> Self {
        Self { api_server, reliance }
    }
}

impl KeySource for ApiServerKeys {
    fn kind(&self) -> SourceKind {
        SourceKind::ApiServer
    }

    fn name(&self) -> String {
        self.api_server.url().to_owned()
    }

    fn fetch(&self) -> BoxFuture<'_, Result<KeySet, FetchError>> {
        Box::pin(async move {
            // Its `jwks_uri` may be an address that only the outside world can reach; the API server has the keys itself.
            let Discovery { issuer, .. } = Discovery::read(&self.api_server.get(DISCOVERY_PATH).await?)?;
            let keys = self.api_server.get(KEYS_PATH).await?;
            let reliance = match self.reliance {
                Some(reliance) => reliance,
                None if !is_of_eks(&issuer) => Reliance::Whole,
                None => reliance_on_eks(&self.api_server.get(VERSION_PATH).await?),
            };
            KeySet::read(Some(issuer), keys, reliance)
        })
    }
}

/// EKS's issuers are `https://oidc.eks.REGION.amazonaws.com/id/…`, in some partitions `oidc-eks.REGION.…`.
fn is_of_eks(issuer: &str) -> bool {
    let host = issuer.strip_prefix("https://").unwrap_or_default();
    host.starts_with("oidc.eks.") || host.starts_with("oidc-eks.")
}

/// What cannot be read counts as old: then nothing is refused by mistake.
fn reliance_on_eks(version: &[u8]) -> Reliance {
    #[derive(Deserialize)]
    struct Version {
        major: String,
        minor: String,
    }
    let number = |text: &str| {
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse::<u32>().ok()
    };
    let version = serde_json::from_slice::<Version>(version).ok();
    match version.and_then(|Version { major, minor }| Some((number(&major)?, number(&minor)?))) {
        Some(version) if version >= (1, EKS_PUBLISHES_FROM) => Reliance::Whole,
        _ => Reliance::ConfirmOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_eks_publishes_before_1_34_refuses_nothing() {
        for (version, reliance) in [
            (r#"{"major":"1","minor":"33+"}"#, Reliance::ConfirmOnly),
            (r#"{"major":"1","minor":"34"}"#, Reliance::Whole),
            (r#"{"major":"1","minor":"34+"}"#, Reliance::Whole),
            (r#"{"major":"2","minor":"0"}"#, Reliance::Whole),
            (r#"{"major":"1","minor":""}"#, Reliance::ConfirmOnly),
            ("<html>", Reliance::ConfirmOnly),
        ] {
            assert_eq!(reliance_on_eks(version.as_bytes()), reliance, "{version}");
        }
    }

    #[test]
    fn an_issuer_of_eks_is_told_by_its_host() {
        assert!(is_of_eks("https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"));
        assert!(is_of_eks("https://oidc-eks.cn-north-1.api.amazonwebservices.com.cn/id/ABC"));
        assert!(!is_of_eks("https://kubernetes.default.svc.cluster.local"));
        assert!(!is_of_eks("https://issuer.example/oidc.eks.eu-west-1"));
    }
}
