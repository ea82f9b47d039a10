//! Keys that sign tokens as clusters' API servers do, and the key sets that publish them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::TokenBuilder;

/// A private key and the id under which it is known.
#[derive(Clone)]
pub struct SigningKey {
    id: Option<String>,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl SigningKey {
    /// An RSA key of 2,048 bits that signs with RS256, as kubeadm's and EKS's do.
    pub fn rsa(id: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        Self { id: Some(id.to_owned()), key, algorithm: Algorithm::RS256 }
    }

    /// A P-256 key that signs with ES256.
    pub fn ec(id: &str) -> Self {
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self {
            id: Some(id.to_owned()),
            key: EncodingKey::from_ec_der(der.as_ref()),
            algorithm: Algorithm::ES256,
        }
    }

    /// The same key under another id, or under none.
    #[must_use]
    pub fn known_as(&self, id: Option<&str>) -> Self {
        Self { id: id.map(str::to_owned), ..self.clone() }
    }

    /// The same key with another algorithm.
    #[must_use]
    pub fn with(&self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self.clone() }
    }

    /// A key for HMAC made of this key's public half: the oldest forgery of all.
    #[must_use]
    pub fn public_half_as_secret(&self) -> Self {
        let public = self.published().to_string();
        Self { key: EncodingKey::from_secret(public.as_bytes()), algorithm: Algorithm::HS256, ..self.clone() }
    }

    /// The public half, as a JSON Web Key.
    pub fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id.clone_from(&self.id);
        serde_json::to_value(jwk).unwrap()
    }

    /// The token, signed.
    pub fn sign(&self, token: &TokenBuilder) -> String {
        let mut header = Header::new(self.algorithm);
        header.typ = None;
        header.kid.clone_from(&self.id);
        encode(&header, token.claims(), &self.key).unwrap()
    }
}

/// A JSON Web Key Set of these keys.
pub fn key_set<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> String {
    let keys: Vec<Value> = keys.into_iter().map(SigningKey::published).collect();
    json!({ "keys": keys }).to_string()
}
