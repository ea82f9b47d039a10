//! The two kinds of key that API servers sign with, and what each means for its file, its tokens and its published half.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::{Algorithm, EncodingKey};

/// What kind of key signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with 2048 bits (RS256): what most API servers use.
    #[default]
    Rsa,
    /// An elliptic curve, P-256 (ES256): small tokens, and signed many times faster.
    Ec,
}

impl KeyKind {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Rsa, Self::Ec];

    /// The algorithm its tokens name.
    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::RS256,
            Self::Ec => Algorithm::ES256,
        }
    }

    /// A new key, as PKCS#8.
    pub(super) fn generate(self) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Rsa => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048)?;
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                Ok(der.as_ref().to_vec())
            }
            Self::Ec => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
                Ok(pair.to_pkcs8v1()?.as_ref().to_vec())
            }
        }
    }

    /// The public half of a key of this kind, as SubjectPublicKeyInfo; `None` when it is of another kind.
    pub(super) fn public_half(self, pkcs8: &[u8]) -> Option<Vec<u8>> {
        let info: PublicKeyX509Der<'_> = match self {
            Self::Rsa => rsa::KeyPair::from_pkcs8(pkcs8).ok()?.public_key().as_der().ok()?,
            Self::Ec => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                .ok()?
                .public_key()
                .as_der()
                .ok()?,
        };
        Some(info.as_ref().to_vec())
    }

    /// The key as what signs tokens.
    pub(super) fn signer(self, pem: &[u8]) -> Option<EncodingKey> {
        match self {
            Self::Rsa => EncodingKey::from_rsa_pem(pem),
            Self::Ec => EncodingKey::from_ec_pem(pem),
        }
        .ok()
    }
}

/// As in "an RSA key".
impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::Ec => "EC",
        })
    }
}
