//! The private key that signs service account tokens: RSA with 2048 bits, what most API servers use.

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::Secret;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pem::{EncodeConfig, LineEnding, Pem};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::private_file::{self, PrivateFileError};

/// The signing key could not be had.
#[derive(Debug, Error)]
pub enum SigningKeyError {
    /// Its file could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Its file holds something else.
    #[error(
        "{} holds no RSA private key (PEM, PKCS#8, 2048 bits or more): \
         put the key back, or delete the file to have a new one made",
        file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// No key could be made.
    #[error("no RSA key could be generated")]
    NotGenerated,
}

/// A private key and what the world may know of it.
pub struct SigningKey {
    private: EncodingKey,
    public: Jwk,
}

impl SigningKey {
    /// A new key that lives in memory alone.
    ///
    /// # Errors
    /// When the machine cannot generate keys.
    pub fn ephemeral() -> Result<Self, SigningKeyError> {
        Self::from_pem(&generate()?).ok_or(SigningKeyError::NotGenerated)
    }

    /// The key in that file. The first time, it is made and written there.
    ///
    /// # Errors
    /// See [`SigningKeyError`]. A file that is there is never changed.
    pub fn kept_in(file: &Path) -> Result<Self, SigningKeyError> {
        let pem = match private_file::read(file)? {
            Some(pem) => pem,
            None => {
                let pem = generate()?;
                private_file::create(file, &pem)?;
                pem
            }
        };
        Self::from_pem(&pem).ok_or_else(|| SigningKeyError::NoKey { file: file.to_owned() })
    }

    /// The public half, with the members an API server publishes.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// Claims as a token.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::RS256);
        // API servers write `alg` and `kid` and nothing else.
        header.typ = None;
        header.kid.clone_from(&self.public.common.key_id);
        jsonwebtoken::encode(&header, claims, &self.private)
    }

    fn from_pem(pem: &Secret) -> Option<Self> {
        let parsed = pem::parse(pem.expose()).ok()?;
        let pair = KeyPair::from_pkcs8(parsed.contents()).ok()?;
        let private = EncodingKey::from_rsa_pem(pem.expose()).ok()?;
        let mut public = Jwk::from_encoding_key(&private, Algorithm::RS256).ok()?;
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(KeyAlgorithm::RS256);
        public.common.key_id = Some(key_id(pair.public_key())?);
        Some(Self { private, public })
    }
}

/// The id an API server gives a key: the digest of its SubjectPublicKeyInfo, so that the same key has the same id
/// wherever it is published (Kubernetes, `pkg/serviceaccount`).
fn key_id(key: &PublicKey) -> Option<String> {
    let info: PublicKeyX509Der<'_> = key.as_der().ok()?;
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(info.as_ref())))
}

fn generate() -> Result<Secret, SigningKeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningKeyError::NotGenerated)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| SigningKeyError::NotGenerated)?;
    let pem = Pem::new("PRIVATE KEY", der.as_ref());
    Ok(Secret::from(pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public half of `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`.
    const KEY_OF_OPENSSL: &str = include_str!("../../tests/fixtures/public-key-of-openssl.pem");

    /// `openssl rsa -pubin -in … -pubout -outform DER | openssl dgst -sha256 -binary | basenc --base64url`, unpadded.
    const ITS_ID: &str = include_str!("../../tests/fixtures/public-key-of-openssl.kid");

    #[test]
    fn a_key_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing-key.pem");
        let made = SigningKey::kept_in(&file).unwrap();
        let read = SigningKey::kept_in(&file).unwrap();
        assert_eq!(made.public(), read.public());
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }

    #[test]
    fn a_key_of_openssl_has_the_id_that_an_api_server_would_give_it() {
        let key = PublicKey::from_der(pem::parse(KEY_OF_OPENSSL).unwrap().contents()).unwrap();
        assert_eq!(key_id(&key).as_deref(), Some(ITS_ID.trim()));
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing-key.pem");
        private_file::create(&file, &Secret::from("dear diary")).unwrap();
        let error = SigningKey::kept_in(&file).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("holds no RSA private key") && error.contains("delete the file"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"dear diary");
    }
}
