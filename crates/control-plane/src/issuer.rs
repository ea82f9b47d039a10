//! The issuer of service account tokens, as an API server is one: its key, its tokens, its two public documents.
//!
//! A token it signs can be verified by anybody who knows how Kubernetes publishes keys; nothing downstream can tell it
//! from an API server's.

mod signing_key;
mod subject;

use std::time::{Duration, SystemTime};

use identity::{AUDIENCE, Secret, to_epoch_seconds};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::JwkSet;
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

pub use signing_key::{KeyKind, SigningKey, SigningKeyError};
pub use subject::{NameError, Subject, namespace_name, object_name};

/// The path of the discovery document below the issuer's URL (OpenID Connect Discovery 1.0).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The path of the key set below the issuer's URL, as API servers have it.
pub const KEY_SET_PATH: &str = "/openid/v1/jwks";

/// A token could not be signed.
#[derive(Debug, Error)]
#[error("the token could not be signed")]
pub struct SigningError(#[from] jsonwebtoken::errors::Error);

/// A token as it goes into a pod.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: Secret,
    /// When it expires.
    pub expires: SystemTime,
}

/// Issues service account tokens for one cluster.
pub struct TokenIssuer {
    url: String,
    key: SigningKey,
    cluster_uid: Uuid,
}

impl TokenIssuer {
    /// The issuer known as `url`, for the cluster whose objects have uids below `cluster_uid`.
    pub fn new(url: String, key: SigningKey, cluster_uid: Uuid) -> Self {
        Self { url, key, cluster_uid }
    }

    /// The `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token for `subject` with pod identity's audience, good from `now` for `lifetime`.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn issue(
        &self,
        subject: &Subject,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<IssuedToken, SigningError> {
        let issued = whole_seconds(now);
        let expires = issued + lifetime.as_secs();
        let namespace = subject.namespace();
        let claims = Claims {
            aud: [AUDIENCE],
            exp: expires,
            iat: issued,
            iss: &self.url,
            jti: Uuid::new_v4().to_string(),
            bound: Bound {
                namespace,
                node: subject.node().map(|node| self.object("node", "", node)),
                pod: self.object("pod", namespace, subject.pod()),
                serviceaccount: self.object("serviceaccount", namespace, subject.service_account()),
            },
            nbf: issued,
            sub: format!("system:serviceaccount:{namespace}:{}", subject.service_account()),
        };
        let token = Secret::from(self.key.sign(&claims)?);
        Ok(IssuedToken { token, expires: SystemTime::UNIX_EPOCH + Duration::from_secs(expires) })
    }

    /// The discovery document, with the members an API server gives it.
    pub fn discovery(&self) -> Vec<u8> {
        let document = Discovery {
            issuer: &self.url,
            jwks_uri: format!("{}{KEY_SET_PATH}", self.url),
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [self.key.algorithm()],
        };
        serde_json::to_vec(&document).expect("strings are always JSON")
    }

    /// The public keys, as a JSON Web Key Set.
    pub fn key_set(&self) -> Vec<u8> {
        let set = JwkSet { keys: vec![self.key.public().clone()] };
        serde_json::to_vec(&set).expect("strings are always JSON")
    }

    /// Who verifies this issuer's tokens: by the published documents, as anybody would.
    ///
    /// # Errors
    /// When the key set cannot be read back, which would be a key of a kind that signs no tokens.
    pub fn verifier(&self) -> Result<eks_auth::Issuer, eks_auth::SigningKeysError> {
        let keys = eks_auth::SigningKeys::from_jwks(&self.key_set())?;
        Ok(eks_auth::Issuer { url: self.url.clone(), audiences: vec![AUDIENCE.to_owned()], keys })
    }

    /// An object of the cluster. Its uid follows from its name, so that a pod that is started again under the same name
    /// counts as the same pod.
    fn object<'a>(&self, kind: &str, namespace: &str, name: &'a str) -> Object<'a> {
        // NUL cannot be in a name, so no two objects hash the same text.
        let digest = Sha256::new()
            .chain_update(self.cluster_uid.as_bytes())
            .chain_update(format!("{kind}\0{namespace}\0{name}"))
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        // RFC 9562: version 8 is for uuids made by a rule of one's own.
        Object { name, uid: uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string() }
    }
}

/// Tokens carry whole seconds; cutting the fraction of `iat` can only make a token older, never not yet valid.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clocks are past 1970 and before 9999"
)]
fn whole_seconds(at: SystemTime) -> u64 {
    to_epoch_seconds(at) as u64
}

/// The claims of an API server's projected token, in the order an API server writes them.
#[derive(Serialize)]
struct Claims<'a> {
    aud: [&'a str; 1],
    exp: u64,
    iat: u64,
    iss: &'a str,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    bound: Bound<'a>,
    nbf: u64,
    sub: String,
}

#[derive(Serialize)]
struct Bound<'a> {
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Object<'a>>,
    pod: Object<'a>,
    serviceaccount: Object<'a>,
}

#[derive(Serialize)]
struct Object<'a> {
    name: &'a str,
    uid: String,
}

#[derive(Serialize)]
struct Discovery<'a> {
    issuer: &'a str,
    jwks_uri: String,
    response_types_supported: [&'a str; 1],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: [Algorithm; 1],
}

#[cfg(test)]
mod tests;
