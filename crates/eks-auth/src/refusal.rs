//! EKS Auth's errors: nine names, each with its status and with what a caller should do about it.

use std::fmt;

/// The errors of EKS Auth's API model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The role cannot be assumed, mostly because its trust policy does not let EKS do so.
    AccessDenied,
    /// The token's time is over.
    ExpiredToken,
    /// The token is not one of this cluster's.
    InvalidToken,
    /// No association for this namespace and service account, or no such cluster.
    ResourceNotFound,
    /// A member of the request is not as the API wants it.
    InvalidParameter,
    /// The request makes no sense as a whole.
    InvalidRequest,
    /// Too many calls for this account.
    Throttling,
    /// EKS Auth failed.
    InternalServer,
    /// EKS Auth cannot answer now.
    ServiceUnavailable,
}

impl ErrorCode {
    /// All of them, in the model's order of severity.
    pub const ALL: [Self; 9] = [
        Self::AccessDenied,
        Self::ExpiredToken,
        Self::InvalidToken,
        Self::ResourceNotFound,
        Self::InvalidParameter,
        Self::InvalidRequest,
        Self::Throttling,
        Self::InternalServer,
        Self::ServiceUnavailable,
    ];

    /// The name of the error shape, as `x-amzn-ErrorType` carries it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::InvalidToken => "InvalidTokenException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::InvalidParameter => "InvalidParameterException",
            Self::InvalidRequest => "InvalidRequestException",
            Self::Throttling => "ThrottlingException",
            Self::InternalServer => "InternalServerException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The code of that name, if the model has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The HTTP status that goes with it. `AccessDeniedException` is a 400 in this API, not a 403.
    pub fn status(self) -> u16 {
        match self {
            Self::AccessDenied
            | Self::ExpiredToken
            | Self::InvalidToken
            | Self::InvalidParameter
            | Self::InvalidRequest => 400,
            Self::ResourceNotFound => 404,
            Self::Throttling => 429,
            Self::InternalServer => 500,
            Self::ServiceUnavailable => 503,
        }
    }

    /// Whether the same token will be refused for good, so that what it was once exchanged for must be forgotten.
    pub fn is_irrecoverable(self) -> bool {
        matches!(self, Self::AccessDenied | Self::ExpiredToken | Self::InvalidToken | Self::ResourceNotFound)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The service's answer to a call it will not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Which error.
    pub code: ErrorCode,
    /// What the caller reads: what happened, to whom, and what to do. Holds no secret.
    pub message: String,
}

impl Refusal {
    /// A refusal with its text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_code() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(code));
            assert!((400..=503).contains(&code.status()));
        }
        assert_eq!(ErrorCode::from_name("AccessDenied"), None);
    }

    #[test]
    fn only_refusals_of_the_token_or_the_role_are_for_good() {
        let for_good: Vec<_> = ErrorCode::ALL.into_iter().filter(|code| code.is_irrecoverable()).collect();
        let wanted = [
            ErrorCode::AccessDenied,
            ErrorCode::ExpiredToken,
            ErrorCode::InvalidToken,
            ErrorCode::ResourceNotFound,
        ];
        assert_eq!(for_good, wanted);
    }
}
