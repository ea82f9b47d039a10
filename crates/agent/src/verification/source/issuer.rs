//! Keys that an issuer publishes (OpenID Connect Discovery 1.0, section 4): a document below its URL says where they are.

use eks_auth::Transport;
use futures_util::future::BoxFuture;
use http::Uri;
use serde::Deserialize;

use super::{FetchError, KeySet, KeySource, Reliance, SourceKind};

/// Below the issuer's URL.
pub(super) const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// What we read of the document.
#[derive(Deserialize)]
pub(super) struct Discovery {
    pub(super) issuer: String,
    pub(super) jwks_uri: String,
}

impl Discovery {
    pub(super) fn read(document: &[u8]) -> Result<Self, FetchError> {
        serde_json::from_slice(document).map_err(FetchError::NoDiscovery)
    }
}

/// The keys published at an issuer's URL.
pub struct PublishedKeys {
    url: String,
    transport: Transport,
    reliance: Reliance,
}

impl PublishedKeys {
    /// Those of the issuer `url`, reached as AWS is.
    pub fn new(url: String, transport: Transport, reliance: Reliance) -> Self {
        Self { url, transport, reliance }
    }
}

impl KeySource for PublishedKeys {
    fn kind(&self) -> SourceKind {
        SourceKind::Issuer
    }

    fn name(&self) -> String {
        self.url.clone()
    }

    fn fetch(&self) -> BoxFuture<'_, Result<KeySet, FetchError>> {
        Box::pin(async move {
            let document = format!("{}{DISCOVERY_PATH}", self.url.trim_end_matches('/'));
            let Discovery { issuer, jwks_uri } = Discovery::read(&self.transport.fetch(&document).await?)?;
            // Section 4.3: it must be the very URL that was asked for.
            if issuer != self.url {
                return Err(FetchError::AnotherIssuer { found: issuer, wanted: self.url.clone() });
            }
            if !is_protected(&jwks_uri) {
                return Err(FetchError::NotProtected(jwks_uri));
            }
            let keys = self.transport.fetch(&jwks_uri).await?;
            KeySet::read(Some(issuer), keys, self.reliance)
        })
    }
}

/// Whether nobody on the way can change what comes from this URL: TLS, or this machine alone.
pub fn is_protected(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for url in [
            "https://issuer.example/keys",
            "http://127.0.0.1:17024/keys",
            "http://[::1]/keys",
            "http://localhost/k",
        ] {
            assert!(is_protected(url), "{url}");
        }
        for url in [
            "http://issuer.example/keys",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "https://",
            "keys",
            "",
        ] {
            assert!(!is_protected(url), "{url}");
        }
    }
}
