//! Why an exchange failed: EKS Auth refused, or nobody answered with sense. Each variant is acted on differently.

use aws_sdk_eksauth::config::http::HttpResponse;
use aws_sdk_eksauth::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eksauth::operation::RequestId;
use aws_sdk_eksauth::operation::assume_role_for_pod_identity::AssumeRoleForPodIdentityError;
use thiserror::Error;

use crate::ErrorCode;
use crate::cause::{causes, missing_credentials, shortened};

/// Why there are no credentials. Display is one line for operators and holds no secret.
#[derive(Clone, Debug, Error)]
pub enum ExchangeError {
    /// EKS Auth answered with one of its errors.
    #[error("EKS Auth refused: [{request_id}]: ({code}): {message}")]
    Refused {
        /// Which error.
        code: ErrorCode,
        /// AWS's id of the request; empty when it sent none.
        request_id: String,
        /// AWS's text.
        message: String,
    },
    /// AWS answered with an error that EKS Auth's model does not have, such as a bad signature or a missing permission.
    #[error("AWS refused the agent's own call with status {status}: [{request_id}]: ({code}): {message}")]
    RefusedCaller {
        /// The HTTP status.
        status: u16,
        /// The name of the error; empty when it has none.
        code: String,
        /// AWS's id of the request; empty when it sent none.
        request_id: String,
        /// AWS's text.
        message: String,
    },
    /// The agent has no AWS credentials of its own to sign with.
    #[error("the agent has no AWS credentials of its own to call EKS Auth with: {0}")]
    NoOwnCredentials(String),
    /// The call could not be made from these settings: no region, an endpoint that is none.
    #[error("the call to EKS Auth cannot be made: {0}")]
    Misconfigured(String),
    /// EKS Auth could not be reached, or the connection broke.
    #[error("EKS Auth cannot be reached: {0}")]
    Unreachable(String),
    /// EKS Auth was too slow for the time budget.
    #[error("EKS Auth did not answer in time: {0}")]
    TimedOut(String),
    /// EKS Auth answered with something that is no answer.
    #[error("EKS Auth's answer makes no sense: {0}")]
    Unintelligible(String),
}

impl ExchangeError {
    /// A stable word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code.as_str(),
            Self::RefusedCaller { .. } => "CallerRefused",
            Self::NoOwnCredentials(_) => "NoOwnCredentials",
            Self::Misconfigured(_) => "UpstreamMisconfigured",
            Self::Unreachable(_) => "UpstreamUnreachable",
            Self::TimedOut(_) => "UpstreamTimedOut",
            Self::Unintelligible(_) => "UpstreamUnintelligible",
        }
    }

    /// Whether the same token will be refused for good, so that its session must be forgotten.
    pub fn is_irrecoverable(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code.is_irrecoverable())
    }

    /// Whether the account makes too many calls.
    pub fn is_throttling(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code == ErrorCode::Throttling,
            Self::RefusedCaller { status, .. } => *status == 429,
            _ => false,
        }
    }

    /// Whether the same call may succeed a moment later with nobody mending anything.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(
                code,
                ErrorCode::Throttling | ErrorCode::InternalServer | ErrorCode::ServiceUnavailable
            ),
            Self::RefusedCaller { status, .. } => *status == 429,
            // A node that has just started may not have been given its credentials yet.
            Self::NoOwnCredentials(_)
            | Self::Unreachable(_)
            | Self::TimedOut(_)
            | Self::Unintelligible(_) => true,
            Self::Misconfigured(_) => false,
        }
    }

    pub(super) fn from_sdk(error: SdkError<AssumeRoleForPodIdentityError, HttpResponse>) -> Self {
        if let Some(reason) = missing_credentials(&error) {
            return Self::NoOwnCredentials(reason);
        }
        let cause = causes(&error);
        match &error {
            SdkError::ServiceError(context) => refusal(&error, context.raw().status().as_u16()),
            SdkError::TimeoutError(_) => Self::TimedOut(cause),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::TimedOut(cause),
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::Misconfigured(cause),
            SdkError::DispatchFailure(_) => Self::Unreachable(cause),
            SdkError::ConstructionFailure(_) => Self::Misconfigured(cause),
            SdkError::ResponseError(_) => Self::Unintelligible(cause),
            _ => Self::Unreachable(cause),
        }
    }
}

fn refusal(error: &SdkError<AssumeRoleForPodIdentityError, HttpResponse>, status: u16) -> ExchangeError {
    let request_id = shortened(error.request_id().unwrap_or_default());
    let name = error.code().unwrap_or_default();
    let message = shortened(error.message().unwrap_or("no text came with it"));
    match ErrorCode::from_name(name) {
        Some(code) => ExchangeError::Refused { code, request_id, message },
        // A 2xx or 5xx without a name of the model is a front end that stumbled, not a refusal of our call.
        None if !(400..500).contains(&status) => {
            ExchangeError::Unintelligible(format!("status {status} without an error of the API's model"))
        }
        None => ExchangeError::RefusedCaller { status, code: shortened(name), request_id, message },
    }
}
