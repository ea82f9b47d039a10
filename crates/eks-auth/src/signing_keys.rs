//! The keys that may sign service account tokens (a JWKS), and the check of a token against them.

use std::time::SystemTime;

use futures_util::future::BoxFuture;
use identity::{PodIdentity, ServiceAccountToken, TokenError};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;

use crate::{TokenRefused, TokenVerifier};

/// A JWKS could not be used.
#[derive(Debug, Error)]
pub enum SigningKeysError {
    /// It is no JWKS at all.
    #[error("the signing keys are no JSON Web Key Set")]
    NoKeySet(#[source] serde_json::Error),
    /// It is one, with nothing in it that could sign a token.
    #[error("the JSON Web Key Set holds no RSA or EC key that signs")]
    NoUsableKey,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// No key of that id is known, so nothing can be said.
    #[error("no signing key of that id is known")]
    UnknownKey,
    /// The key is known, and it did not sign this token, or not with an algorithm of its kind.
    #[error("the signature does not fit the signing key")]
    Wrong,
}

/// The public keys of one issuer.
#[derive(Clone)]
pub struct SigningKeys(Vec<SigningKey>);

#[derive(Clone)]
struct SigningKey {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

impl SigningKeys {
    /// Reads a JSON Web Key Set. Keys for other uses or of kinds that sign no tokens are left out.
    ///
    /// # Errors
    /// When it is no key set, or no key is left.
    pub fn from_jwks(json: &[u8]) -> Result<Self, SigningKeysError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(SigningKeysError::NoKeySet)?;
        let keys: Vec<_> = set.keys.iter().filter_map(SigningKey::from_jwk).collect();
        if keys.is_empty() { Err(SigningKeysError::NoUsableKey) } else { Ok(Self(keys)) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none; never so for keys that were read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these keys signed the token, with an algorithm of the key's own kind.
    ///
    /// # Errors
    /// See [`SignatureError`]; the difference matters: a wrong signature is a forgery, an unknown key may be a new one.
    pub fn verify(&self, token: &ServiceAccountToken) -> Result<(), SignatureError> {
        let (signed, signature) =
            token.secret().expose_str().rsplit_once('.').ok_or(SignatureError::Wrong)?;
        let signature = signature.trim_end_matches('=');
        let algorithm: Result<Algorithm, _> = token.algorithm().parse();
        let mut known = false;
        for key in self.0.iter().filter(|key| token.key_id().is_none() || key.id.as_deref() == token.key_id())
        {
            known = true;
            // The key decides which algorithms count: what the token's header asks for is only a choice among those.
            let Ok(algorithm) = algorithm else { continue };
            if !key.algorithms.contains(&algorithm) {
                continue;
            }
            if jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.key, algorithm)
                .unwrap_or(false)
            {
                return Ok(());
            }
        }
        Err(if known { SignatureError::Wrong } else { SignatureError::UnknownKey })
    }
}

impl SigningKey {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        use Algorithm::{ES256, ES384, PS256, PS384, PS512, RS256, RS384, RS512};
        if jwk
            .common
            .public_key_use
            .as_ref()
            .is_some_and(|usage| *usage != jsonwebtoken::jwk::PublicKeyUse::Signature)
        {
            return None;
        }
        let algorithms: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[ES256],
                EllipticCurve::P384 => &[ES384],
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { id: jwk.common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
    }
}

/// An issuer of service account tokens whose keys are at hand.
pub struct Issuer {
    /// The `iss` that its tokens carry.
    pub url: String,
    /// The audiences that are accepted.
    pub audiences: Vec<String>,
    /// Its keys.
    pub keys: SigningKeys,
}

impl TokenVerifier for Issuer {
    fn verify<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
        now: SystemTime,
    ) -> BoxFuture<'a, Result<PodIdentity, TokenRefused>> {
        Box::pin(async move {
            let claims = token.claims();
            if claims.issuer.as_deref() != Some(self.url.as_str()) {
                let text = format!(
                    "The token is of another issuer: this cluster's tokens are issued by {}.",
                    self.url
                );
                return Err(TokenRefused::Invalid(text));
            }
            self.keys.verify(token).map_err(|error| {
                TokenRefused::Invalid(format!(
                    "The token was not signed by this cluster's issuer {}: {error}.",
                    self.url
                ))
            })?;
            claims.check(now, &self.audiences).map_err(|error| match error {
                TokenError::Expired { at, now } => TokenRefused::Expired(format!(
                    "The token included in the request is expired: current date/time {} must be before \
                     the expiration date/time {}.",
                    identity::to_rfc3339(now),
                    identity::to_rfc3339(at)
                )),
                other => TokenRefused::Invalid(other.to_string()),
            })?;
            claims.pod().ok_or_else(|| {
                let text = "The token is not bound to a pod: use the token that is projected into the pod.";
                TokenRefused::Invalid(text.to_owned())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    fn rsa() -> EncodingKey {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        EncodingKey::from_rsa_pem(pem("PRIVATE KEY", der.as_ref()).as_bytes()).unwrap()
    }

    fn ec() -> EncodingKey {
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        EncodingKey::from_ec_der(der.as_ref())
    }

    fn pem(label: &str, der: &[u8]) -> String {
        use base64::Engine;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn published(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn keys(published: &[Value]) -> SigningKeys {
        SigningKeys::from_jwks(json!({ "keys": published }).to_string().as_bytes()).unwrap()
    }

    fn signed(key: &EncodingKey, algorithm: Algorithm, id: Option<&str>) -> ServiceAccountToken {
        let mut header = Header::new(algorithm);
        header.kid = id.map(str::to_owned);
        ServiceAccountToken::parse(&encode(&header, &json!({ "exp": 2 }), key).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_counts_with_any_algorithm_of_the_keys_own_kind_and_with_no_other() {
        use Algorithm::{ES256, HS256, PS256, RS256, RS512};
        let (rsa, ec) = (rsa(), ec());
        let both = keys(&[published(&rsa, RS256, "r"), published(&ec, ES256, "e")]);
        for (key, algorithm, id) in
            [(&rsa, RS256, "r"), (&rsa, RS512, "r"), (&rsa, PS256, "r"), (&ec, ES256, "e")]
        {
            assert_eq!(both.verify(&signed(key, algorithm, Some(id))), Ok(()), "{algorithm:?}");
        }
        // The oldest trick: the public key, which everybody knows, taken for a shared secret.
        let public = published(&rsa, RS256, "r")["n"].as_str().unwrap().to_owned();
        let forged = signed(&EncodingKey::from_secret(public.as_bytes()), HS256, Some("r"));
        assert_eq!(both.verify(&forged), Err(SignatureError::Wrong));
        assert_eq!(both.verify(&signed(&rsa, RS256, Some("e"))), Err(SignatureError::Wrong));
    }

    #[test]
    fn an_unknown_key_is_told_from_a_wrong_signature() {
        let (known, other) = (rsa(), rsa());
        let keys = keys(&[published(&known, Algorithm::RS256, "k1")]);
        let verify = |key, id| keys.verify(&signed(key, Algorithm::RS256, id));
        assert_eq!(verify(&known, Some("k1")), Ok(()));
        assert_eq!(verify(&other, Some("k1")), Err(SignatureError::Wrong));
        assert_eq!(verify(&other, Some("k2")), Err(SignatureError::UnknownKey));
        assert_eq!(verify(&known, None), Ok(()), "a token without key id is tried with every key");
        assert_eq!(verify(&other, None), Err(SignatureError::Wrong));
    }

    #[test]
    fn a_token_whose_claims_were_changed_after_signing_is_a_forgery() {
        let key = rsa();
        let keys = keys(&[published(&key, Algorithm::RS256, "k1")]);
        let token = signed(&key, Algorithm::RS256, Some("k1"));
        let mut parts: Vec<&str> = token.secret().expose_str().split('.').collect();
        parts[1] = "eyJleHAiOjN9";
        let changed = ServiceAccountToken::parse(&parts.join(".")).unwrap();
        assert_eq!(keys.verify(&changed), Err(SignatureError::Wrong));
    }

    #[test]
    fn key_sets_without_a_key_that_signs_are_refused() {
        let mut for_encryption = published(&rsa(), Algorithm::RS256, "k1");
        for_encryption["use"] = "enc".into();
        let shared = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "k1" });
        for set in [json!({ "keys": [] }), json!({ "keys": [for_encryption] }), json!({ "keys": [shared] })] {
            let refused = SigningKeys::from_jwks(set.to_string().as_bytes());
            assert!(matches!(refused, Err(SigningKeysError::NoUsableKey)), "{set}");
        }
        assert!(matches!(SigningKeys::from_jwks(b"<html>"), Err(SigningKeysError::NoKeySet(_))));
    }
}
