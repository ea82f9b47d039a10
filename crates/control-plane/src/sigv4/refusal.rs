//! Why a signature was not accepted, under AWS's names, with what the caller should change.

use std::time::SystemTime;

use thiserror::Error;

use super::amz_date;

/// A signature was not accepted. The texts hold nothing secret: not the signature that would have been right either.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureRefused {
    /// The request is not signed.
    #[error(
        "The request has no Authorization header: sign it with Signature Version 4, \
         as AWS's SDKs and curl --aws-sigv4 do"
    )]
    Missing,
    /// The signature lacks something that is needed to check it.
    #[error("{0}.")]
    Incomplete(String),
    /// Nobody here has that key.
    #[error(
        "The access key id {id} is not known here: sign with a key of this service, not with one of AWS's."
    )]
    UnknownKey {
        /// The access key id.
        id: String,
    },
    /// The signature is for another region or service.
    #[error("Credential should be scoped to {part} \"{wanted}\", not \"{given}\": {remedy}.")]
    Scope {
        /// `region` or `service`.
        part: &'static str,
        /// What this service is.
        wanted: String,
        /// What the request is signed for.
        given: String,
        /// What to change.
        remedy: &'static str,
    },
    /// The request was signed too long ago.
    #[error(
        "Signature expired: the request was signed at {} and it is now {}, more than 5 minutes later. \
         Sign each request anew, and compare the clocks of both machines.",
        amz_date(*signed), amz_date(*now)
    )]
    Expired {
        /// `X-Amz-Date`.
        signed: SystemTime,
        /// The clock it was compared with.
        now: SystemTime,
    },
    /// The presigned URL's time is over.
    #[error(
        "Signature expired: the presigned URL counted until {} and it is now {}. Make a new one.",
        amz_date(*until), amz_date(*now)
    )]
    PresignedExpired {
        /// `X-Amz-Date` and `X-Amz-Expires` together.
        until: SystemTime,
        /// The clock it was compared with.
        now: SystemTime,
    },
    /// The request was signed in the future.
    #[error(
        "Signature not yet current: the request was signed at {} and it is only {}, more than 5 minutes earlier. \
         Compare the clocks of both machines.",
        amz_date(*signed), amz_date(*now)
    )]
    NotYetCurrent {
        /// `X-Amz-Date`.
        signed: SystemTime,
        /// The clock it was compared with.
        now: SystemTime,
    },
    /// The key is known, and this is not its signature of this request.
    #[error(
        "The request signature we calculated does not match the signature you provided: check the secret access key \
         that belongs to {id}, and that nothing changes path, query, signed headers or body on the way."
    )]
    Mismatch {
        /// The access key id.
        id: String,
    },
}

impl SignatureRefused {
    /// The name of the error, as `x-amzn-ErrorType` carries it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey { .. } => "UnrecognizedClientException",
            Self::Scope { .. }
            | Self::Expired { .. }
            | Self::PresignedExpired { .. }
            | Self::NotYetCurrent { .. }
            | Self::Mismatch { .. } => "InvalidSignatureException",
        }
    }

    /// The HTTP status of all of them.
    pub fn status(&self) -> u16 {
        403
    }

    pub(super) fn incomplete(what: impl Into<String>) -> Self {
        Self::Incomplete(what.into())
    }
}
