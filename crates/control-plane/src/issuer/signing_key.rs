//! The private key that signs service account tokens: RSA with 2048 bits or P-256, as API servers use them.

mod kind;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::Secret;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pem::{EncodeConfig, LineEnding, Pem};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use kind::KeyKind;

use crate::private_file::{self, PrivateFileError};

/// The signing key could not be had.
#[derive(Debug, Error)]
pub enum SigningKeyError {
    /// Its file could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Its file holds something else.
    #[error(
        "{} holds no private key that signs tokens (PEM, PKCS#8, RSA of 2048 bits or more or EC on P-256): \
         put the key back, or delete the file to have a new one made",
        file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Its file holds a key of another kind than was asked for.
    #[error(
        "{} holds an {found} key and an {asked} key was asked for: ask for {found} or for nothing, or delete the file \
         to have a new key made, with which no pod's present token is good",
        file.display()
    )]
    OtherKind {
        /// The file.
        file: PathBuf,
        /// What it holds.
        found: KeyKind,
        /// What was asked for.
        asked: KeyKind,
    },
    /// No key could be made.
    #[error("no {0} key could be generated")]
    NotGenerated(KeyKind),
}

/// A private key and what the world may know of it.
pub struct SigningKey {
    kind: KeyKind,
    private: EncodingKey,
    public: Jwk,
}

impl SigningKey {
    /// A new key that lives in memory alone.
    ///
    /// # Errors
    /// When the machine cannot generate keys.
    pub fn ephemeral(kind: KeyKind) -> Result<Self, SigningKeyError> {
        Self::from_pem(&generate(kind)?).ok_or(SigningKeyError::NotGenerated(kind))
    }

    /// The key in that file, which must be of the kind that is asked for, where one is. The first time, it is made and
    /// written there, as [`KeyKind::Rsa`] unless asked otherwise.
    ///
    /// # Errors
    /// See [`SigningKeyError`]. A file that is there is never changed.
    pub fn kept_in(file: &Path, asked: Option<KeyKind>) -> Result<Self, SigningKeyError> {
        let pem = match private_file::read(file)? {
            Some(pem) => pem,
            None => {
                let pem = generate(asked.unwrap_or_default())?;
                private_file::create(file, &pem)?;
                pem
            }
        };
        let key = Self::from_pem(&pem).ok_or_else(|| SigningKeyError::NoKey { file: file.to_owned() })?;
        match asked {
            Some(asked) if asked != key.kind => {
                Err(SigningKeyError::OtherKind { file: file.to_owned(), found: key.kind, asked })
            }
            _ => Ok(key),
        }
    }

    /// The public half, with the members an API server publishes.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// The algorithm it signs with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.kind.algorithm()
    }

    /// Claims as a token.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(self.kind.algorithm());
        // API servers write `alg` and `kid` and nothing else.
        header.typ = None;
        header.kid.clone_from(&self.public.common.key_id);
        jsonwebtoken::encode(&header, claims, &self.private)
    }

    fn from_pem(pem: &Secret) -> Option<Self> {
        let parsed = pem::parse(pem.expose()).ok()?;
        KeyKind::ALL.into_iter().find_map(|kind| {
            let public_half = kind.public_half(parsed.contents())?;
            let private = kind.signer(pem.expose())?;
            let mut public = Jwk::from_encoding_key(&private, kind.algorithm()).ok()?;
            public.common.public_key_use = Some(PublicKeyUse::Signature);
            public.common.key_id = Some(key_id(&public_half));
            Some(Self { kind, private, public })
        })
    }
}

/// The id an API server gives a key: the digest of its SubjectPublicKeyInfo, so that the same key has the same id
/// wherever it is published (Kubernetes, `pkg/serviceaccount`).
fn key_id(public_half: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(public_half))
}

fn generate(kind: KeyKind) -> Result<Secret, SigningKeyError> {
    let der = kind.generate().map_err(|_| SigningKeyError::NotGenerated(kind))?;
    let pem = Pem::new("PRIVATE KEY", der);
    Ok(Secret::from(pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF))))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
    };

    use super::*;

    /// The public half of `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, and its id:
    /// `openssl pkey -pubin -in … -pubout -outform DER | openssl dgst -sha256 -binary | basenc --base64url`, unpadded.
    const RSA_OF_OPENSSL: (&str, &str) = (
        include_str!("../../tests/fixtures/public-key-of-openssl.pem"),
        include_str!("../../tests/fixtures/public-key-of-openssl.kid"),
    );

    /// The same of `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
    const EC_OF_OPENSSL: (&str, &str) = (
        include_str!("../../tests/fixtures/public-ec-key-of-openssl.pem"),
        include_str!("../../tests/fixtures/public-ec-key-of-openssl.kid"),
    );

    #[test]
    fn a_key_is_made_once_and_then_kept_whatever_its_kind() {
        for (asked, algorithm) in [
            (None, Algorithm::RS256),
            (Some(KeyKind::Rsa), Algorithm::RS256),
            (Some(KeyKind::Ec), Algorithm::ES256),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("signing-key.pem");
            let made = SigningKey::kept_in(&file, asked).unwrap();
            assert_eq!(made.algorithm(), algorithm);
            for asked in [None, asked] {
                assert_eq!(SigningKey::kept_in(&file, asked).unwrap().public(), made.public());
            }
            assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        }
    }

    #[test]
    fn a_key_of_openssl_has_the_id_that_an_api_server_would_give_it() {
        let rsa: &'static dyn VerificationAlgorithm = &RSA_PKCS1_2048_8192_SHA256;
        for (algorithm, (key, id)) in [(rsa, RSA_OF_OPENSSL), (&ECDSA_P256_SHA256_FIXED, EC_OF_OPENSSL)] {
            let key = ParsedPublicKey::new(algorithm, pem::parse(key).unwrap().contents()).unwrap();
            let written: PublicKeyX509Der<'_> = key.as_der().unwrap();
            assert_eq!(key_id(written.as_ref()), id.trim());
        }
    }

    #[test]
    fn a_key_of_another_kind_than_asked_for_is_refused_and_left_as_it_is() {
        for (there, asked) in [(KeyKind::Rsa, KeyKind::Ec), (KeyKind::Ec, KeyKind::Rsa)] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("signing-key.pem");
            SigningKey::kept_in(&file, Some(there)).unwrap();
            let before = std::fs::read(&file).unwrap();
            let error = SigningKey::kept_in(&file, Some(asked)).map(|_| ()).unwrap_err().to_string();
            let wanted = format!("holds an {there} key and an {asked} key was asked for");
            assert!(error.contains(&wanted) && error.contains("delete the file"), "{error}");
            assert_eq!(std::fs::read(&file).unwrap(), before);
        }
    }

    #[test]
    fn a_file_without_a_key_that_signs_is_refused_and_left_as_it_is() {
        use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
        let p384 = pem::encode(&Pem::new("PRIVATE KEY", p384.as_ref()));
        for content in ["dear diary", &p384] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("signing-key.pem");
            private_file::create(&file, &Secret::from(content)).unwrap();
            let error = SigningKey::kept_in(&file, None).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.contains("holds no private key that signs") && error.contains("delete the file"),
                "{error}"
            );
            assert_eq!(std::fs::read(&file).unwrap(), content.as_bytes());
        }
    }
}
