//! The projected service account token a pod sends: parsed here, never trusted here. Whether its signature is good is
//! asked elsewhere; until then its claims are only what somebody says.

mod claims;

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use claims::{AUDIENCE, Claims, LEEWAY, ObjectReference, PodIdentity};

use crate::{Secret, to_rfc3339};

/// Why a token cannot be a pod's. Each text says what to do about it and holds nothing of the token but its claims.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// No token came at all.
    #[error(
        "Service account token cannot be empty: send the content of the file that \
         AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names in the Authorization header"
    )]
    Empty,
    /// The token is behind `Bearer `, which AWS's protocol does not have.
    #[error(
        "Service account token cannot be parsed: remove the \"Bearer \" prefix, \
         the Authorization header must hold the token alone"
    )]
    BearerPrefix,
    /// The token is no JWT of a service account.
    #[error(
        "Service account token cannot be parsed: {0}; send the projected token file as it is, \
         without spaces, quotes or line ends"
    )]
    Malformed(&'static str),
    /// The token's time is over.
    #[error(
        "Service account token expired at {} and it is now {}: read the token file again before each request, \
         kubelet renews it in place",
        to_rfc3339(*at), to_rfc3339(*now)
    )]
    Expired {
        /// The token's `exp`.
        at: SystemTime,
        /// The clock it was compared with.
        now: SystemTime,
    },
    /// The token's time has not begun, by more than [`LEEWAY`].
    #[error(
        "Service account token is not valid before {} and it is now {}: \
         the clocks of this node and of the API server differ, check time synchronisation",
        to_rfc3339(*from), to_rfc3339(*now)
    )]
    NotYetValid {
        /// The later of the token's `nbf` and `iat`.
        from: SystemTime,
        /// The clock it was compared with.
        now: SystemTime,
    },
    /// The token was made for somebody else.
    #[error(
        "Service account token is for another audience ({found}): \
         project a token with audience {wanted} and send that one"
    )]
    WrongAudience {
        /// The audiences of the token, cut to a printable length.
        found: String,
        /// The audience that is asked for.
        wanted: String,
    },
}

impl TokenError {
    /// A stable word for metrics, logs and error bodies.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "TokenEmpty",
            Self::BearerPrefix => "TokenHasBearerPrefix",
            Self::Malformed(_) => "TokenMalformed",
            Self::Expired { .. } => "TokenExpired",
            Self::NotYetValid { .. } => "TokenNotYetValid",
            Self::WrongAudience { .. } => "TokenForAnotherAudience",
        }
    }
}

/// A service account token and what it claims.
#[derive(Clone, Debug)]
pub struct ServiceAccountToken {
    raw: Secret,
    key_id: Option<String>,
    algorithm: String,
    claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

impl ServiceAccountToken {
    /// Reads the token as it stands in the `Authorization` header.
    ///
    /// Accepts exactly what EKS Auth's model accepts: three parts of base64url, and in them a signing algorithm and the
    /// claims of a service account token. Does not look at the signature or the time.
    ///
    /// # Errors
    /// [`TokenError::Empty`], [`TokenError::BearerPrefix`] or [`TokenError::Malformed`].
    pub fn parse(raw: &str) -> Result<Self, TokenError> {
        if raw.is_empty() {
            return Err(TokenError::Empty);
        }
        if raw.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
            return Err(TokenError::BearerPrefix);
        }
        let mut parts = raw.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed("it does not have the three parts of a JWT"));
        };
        if header.is_empty() || claims.is_empty() {
            return Err(TokenError::Malformed("a part of the JWT is empty"));
        }
        if signature.is_empty() {
            return Err(TokenError::Malformed("the JWT is not signed"));
        }
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
        if !signature.bytes().all(is_base64url) {
            return Err(TokenError::Malformed("the signature is not base64url"));
        }
        let header: Header =
            decode(header, "the JWT's header is not base64url", "the JWT's header cannot be read")?;
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(TokenError::Malformed("the JWT is not signed"));
        }
        let claims: Claims = decode(
            claims,
            "the JWT's claims are not base64url",
            "the JWT lacks the claims of a service account token",
        )?;
        Ok(Self { raw: Secret::from(raw), key_id: header.kid, algorithm: header.alg, claims })
    }

    /// The token itself, for the one call that needs it.
    pub fn secret(&self) -> &Secret {
        &self.raw
    }

    /// The id of the key that is said to have signed it.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The algorithm that is said to have signed it. The key decides which algorithm counts, never this.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// What the token says of its pod. Not verified.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What may be kept and compared in place of the token.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.raw.expose())
    }
}

fn decode<T: for<'de> Deserialize<'de>>(
    part: &str,
    not_base64: &'static str,
    not_json: &'static str,
) -> Result<T, TokenError> {
    // EKS Auth's pattern tolerates padding, RFC 7515 has none; the decoder wants none.
    let bytes =
        URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| TokenError::Malformed(not_base64))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed(not_json))
}

/// SHA-256 of a token: what sessions are found by, so that no map key is worth stealing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a token's bytes.
    pub fn of(raw: &[u8]) -> Self {
        Self(Sha256::digest(raw).into())
    }

    /// The first sixteen hexadecimal digits: names a token where many are told apart, as in an audit log.
    pub fn id(&self) -> String {
        self.0[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for TokenDigest {
    /// The first eight hexadecimal digits: enough to follow one token through a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests;
