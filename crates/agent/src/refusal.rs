//! Every answer that is not a credential: one variant for each thing a client or an operator does differently.

use std::time::Duration;

use eks_auth::{ErrorCode, ExchangeError};
use identity::TokenError;

/// Every reason there is, see [`Refusal::reason`].
pub const REASONS: [&str; 33] = [
    "AccessDeniedException",
    "AgentBroken",
    "AgentTooBusy",
    "CallerRefused",
    "ExpiredTokenException",
    "HostNotAllowed",
    "InternalServerException",
    "InvalidParameterException",
    "InvalidRequestException",
    "InvalidTokenException",
    "MethodNotAllowed",
    "NoOwnCredentials",
    "NotFromThePod",
    "OddRequest",
    "RequestTooSlow",
    "ResourceNotFoundException",
    "ServiceUnavailableException",
    "SourceTooBusy",
    "StillExchanging",
    "ThrottlingException",
    "TokenEmpty",
    "TokenExpired",
    "TokenForAnotherAudience",
    "TokenForAnotherNode",
    "TokenHasBearerPrefix",
    "TokenMalformed",
    "TokenNotYetValid",
    "TooManyConnections",
    "UnknownPath",
    "UpstreamMisconfigured",
    "UpstreamTimedOut",
    "UpstreamUnintelligible",
    "UpstreamUnreachable",
];

/// Why a pod gets no credentials. Its texts go to the pod: they say what happened and what to do, never a secret.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Nothing lives at this path.
    UnknownPath,
    /// The path is right, the method is not GET.
    MethodNotAllowed,
    /// The `Host` header names an address that is not ours.
    HostNotOurs {
        /// What it named, cut to a printable length.
        host: String,
    },
    /// The request is shaped as no SDK shapes it.
    OddRequest(&'static str),
    /// The token cannot be a pod's.
    Token(TokenError),
    /// A known key of the cluster did not sign the token that names it.
    TokenForged,
    /// The token is of a pod on another node.
    TokenOfAnotherNode {
        /// The node that the token names.
        node: String,
        /// This node.
        ours: String,
    },
    /// The connection is not from the pod that the token names.
    NotFromThePod,
    /// EKS Auth was asked and there are no credentials.
    Exchange(ExchangeError),
    /// As many requests wait for an exchange as may.
    TooBusy,
    /// The source of the request has used up its share; what it did too much of.
    ShareUsedUp(&'static str),
    /// The peer has as many connections open as it may.
    TooManyConnections,
    /// The head of the request came too slowly.
    RequestTooSlow,
    /// The exchange takes longer than a client is kept waiting. It goes on.
    StillExchanging,
    /// A bug of ours.
    Broken,
}

impl Refusal {
    /// The HTTP status. Our own refusals that may pass are 503, never 429, which the Rust and Java SDKs do not retry.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownPath => 404,
            Self::MethodNotAllowed => 405,
            Self::HostNotOurs { .. } | Self::TokenOfAnotherNode { .. } | Self::NotFromThePod => 403,
            Self::OddRequest(_) | Self::Token(_) | Self::TokenForged => 400,
            Self::Exchange(error) => match error {
                ExchangeError::Refused { code: ErrorCode::Throttling, .. } => 503,
                ExchangeError::Refused { code, .. } => code.status(),
                ExchangeError::RefusedCaller { status: 429, .. } => 503,
                ExchangeError::RefusedCaller { status, .. } => *status,
                ExchangeError::Unintelligible(_) => 502,
                ExchangeError::Misconfigured(_) => 500,
                ExchangeError::NoOwnCredentials(_)
                | ExchangeError::Unreachable(_)
                | ExchangeError::TimedOut(_) => 503,
            },
            Self::TooBusy | Self::ShareUsedUp(_) | Self::TooManyConnections | Self::StillExchanging => 503,
            Self::RequestTooSlow => 408,
            Self::Broken => 500,
        }
    }

    /// A stable word: the body's `code`. AWS's own error names where it is theirs.
    pub fn code(&self) -> &str {
        match self {
            Self::Exchange(ExchangeError::RefusedCaller { code, .. }) if !code.is_empty() => code,
            other => other.reason(),
        }
    }

    /// The same, out of a list that is known beforehand: for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPath => "UnknownPath",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::HostNotOurs { .. } => "HostNotAllowed",
            Self::OddRequest(_) => "OddRequest",
            Self::Token(error) => error.reason(),
            // What EKS Auth calls it.
            Self::TokenForged => ErrorCode::InvalidToken.as_str(),
            Self::TokenOfAnotherNode { .. } => "TokenForAnotherNode",
            Self::NotFromThePod => "NotFromThePod",
            Self::Exchange(error) => error.reason(),
            Self::TooBusy => "AgentTooBusy",
            Self::ShareUsedUp(_) => "SourceTooBusy",
            Self::TooManyConnections => "TooManyConnections",
            Self::RequestTooSlow => "RequestTooSlow",
            Self::StillExchanging => "StillExchanging",
            Self::Broken => "AgentBroken",
        }
    }

    /// The text for the pod.
    pub fn message(&self) -> String {
        match self {
            Self::UnknownPath => "Nothing is here. Credentials are at /v1/credentials.".to_owned(),
            Self::MethodNotAllowed => "Only GET is answered at /v1/credentials.".to_owned(),
            Self::HostNotOurs { host } => format!(
                "Access Denied. Called agent through invalid address \"{host}\": \
                 use http://169.254.170.23 or http://[fd00:ec2::23], and keep proxies out with NO_PROXY."
            ),
            Self::OddRequest(what) => format!("The request cannot be answered: {what}."),
            Self::Token(error) => format!("{error}."),
            Self::TokenForged => "Service account token is not signed by the key it names, which is one of this cluster's: send \
                                  the content of the projected token file as it is."
                .to_owned(),
            Self::TokenOfAnotherNode { node, ours } => format!(
                "Service account token is of a pod on node {node}, and this is {ours}: a token serves only on its pod's own node."
            ),
            Self::NotFromThePod => "The connection does not come from an address of the pod that the token names: a token serves its own \
                                    pod only. If it is this pod's, something between it and the agent changes its address; --verify-source \
                                    cannot be used with that."
                .to_owned(),
            Self::Exchange(error) => exchange_message(error),
            Self::ShareUsedUp(what) => format!(
                "This pod is held back so that others are served: {what}. Keep one client of the SDK instead of \
                 making one for each call, and let it cache its credentials."
            ),
            Self::TooBusy => "As many requests wait for EKS Auth as may. Ask again in a second.".to_owned(),
            Self::TooManyConnections => {
                "As many connections are open to the agent, from this address or in all, as may be. Close some.".to_owned()
            }
            Self::RequestTooSlow => "The request did not arrive in time. Send its head at once.".to_owned(),
            Self::StillExchanging => {
                "EKS Auth has not answered yet. The exchange goes on: ask again, the answer may be here by then.".to_owned()
            }
            Self::Broken => "The agent failed on this request. Its log says more; please report it.".to_owned(),
        }
    }

    /// When it makes sense to come back, for refusals that may pass by themselves.
    pub fn retry_after(&self) -> Option<Duration> {
        (self.status() == 503).then_some(Duration::from_secs(1))
    }
}

fn exchange_message(error: &ExchangeError) -> String {
    let nodes_fault = "this is the node's configuration, not the pod's: tell whoever runs the cluster";
    match error {
        // The form AWS's agent gives to EKS Auth's errors; people search their logs for it.
        ExchangeError::Refused { code, request_id, message } => {
            let fault = if code.status() < 500 { "client" } else { "server" };
            format!("[{request_id}]: ({code}): {message}, fault: {fault}")
        }
        ExchangeError::RefusedCaller { code, request_id, message, .. } => {
            format!(
                "[{request_id}]: ({code}): {message}, fault: client. AWS refused the agent's own call; {nodes_fault}."
            )
        }
        ExchangeError::NoOwnCredentials(_) => {
            format!("The agent has no AWS credentials of its own to call EKS Auth with; {nodes_fault}.")
        }
        ExchangeError::Misconfigured(_) => {
            format!("The agent cannot call EKS Auth with its settings; {nodes_fault}.")
        }
        ExchangeError::Unreachable(_) => {
            "EKS Auth cannot be reached from this node. Ask again in a second.".to_owned()
        }
        ExchangeError::TimedOut(_) => "EKS Auth did not answer in time. Ask again in a second.".to_owned(),
        ExchangeError::Unintelligible(_) => {
            "EKS Auth's answer makes no sense. The agent's log says what is wrong with it.".to_owned()
        }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use super::*;

    /// One of each. A new variant does not compile in [`is_in_all`] until somebody looks here.
    fn all() -> Vec<Refusal> {
        let text = String::new;
        let tokens = [
            TokenError::Empty,
            TokenError::BearerPrefix,
            TokenError::Malformed("cut off"),
            TokenError::Expired { at: UNIX_EPOCH, now: UNIX_EPOCH },
            TokenError::NotYetValid { from: UNIX_EPOCH, now: UNIX_EPOCH },
            TokenError::WrongAudience { found: text(), wanted: text() },
        ];
        let refused =
            ErrorCode::ALL.map(|code| ExchangeError::Refused { code, request_id: text(), message: text() });
        let failed = [
            ExchangeError::RefusedCaller { status: 403, code: text(), request_id: text(), message: text() },
            ExchangeError::NoOwnCredentials(text()),
            ExchangeError::Misconfigured(text()),
            ExchangeError::Unreachable(text()),
            ExchangeError::TimedOut(text()),
            ExchangeError::Unintelligible(text()),
        ];
        let ours = [
            Refusal::UnknownPath,
            Refusal::MethodNotAllowed,
            Refusal::HostNotOurs { host: text() },
            Refusal::OddRequest("it has a body"),
            Refusal::TokenForged,
            Refusal::TokenOfAnotherNode { node: text(), ours: text() },
            Refusal::NotFromThePod,
            Refusal::TooBusy,
            Refusal::ShareUsedUp("too many requests"),
            Refusal::TooManyConnections,
            Refusal::RequestTooSlow,
            Refusal::StillExchanging,
            Refusal::Broken,
        ];
        let tokens = tokens.into_iter().map(Refusal::Token);
        let exchanges = refused.into_iter().chain(failed).map(Refusal::Exchange);
        let all: Vec<Refusal> = tokens.chain(exchanges).chain(ours).collect();
        assert!(all.iter().all(is_in_all));
        all
    }

    fn is_in_all(refusal: &Refusal) -> bool {
        match refusal {
            Refusal::Token(error) => match error {
                TokenError::Empty
                | TokenError::BearerPrefix
                | TokenError::Malformed(_)
                | TokenError::Expired { .. }
                | TokenError::NotYetValid { .. }
                | TokenError::WrongAudience { .. } => true,
            },
            Refusal::Exchange(error) => match error {
                ExchangeError::Refused { .. }
                | ExchangeError::RefusedCaller { .. }
                | ExchangeError::NoOwnCredentials(_)
                | ExchangeError::Misconfigured(_)
                | ExchangeError::Unreachable(_)
                | ExchangeError::TimedOut(_)
                | ExchangeError::Unintelligible(_) => true,
            },
            Refusal::UnknownPath
            | Refusal::MethodNotAllowed
            | Refusal::HostNotOurs { .. }
            | Refusal::OddRequest(_)
            | Refusal::TokenForged
            | Refusal::TokenOfAnotherNode { .. }
            | Refusal::NotFromThePod
            | Refusal::TooBusy
            | Refusal::ShareUsedUp(_)
            | Refusal::TooManyConnections
            | Refusal::RequestTooSlow
            | Refusal::StillExchanging
            | Refusal::Broken => true,
        }
    }

    #[test]
    fn docs_errors_explains_every_code_and_no_other_with_its_status() {
        let page = include_str!("../../../docs/errors.md");
        let rows = page.lines().filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
            assert!(cells[2..4].iter().all(|cell| !cell.is_empty()), "no cause or no remedy: {line}");
            Some((cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned()))
        });
        let explained: BTreeSet<(String, String)> = rows.collect();
        let there_are = all().into_iter().map(|refusal| {
            let status = match &refusal {
                // What AWS answered is handed on.
                Refusal::Exchange(ExchangeError::RefusedCaller { .. }) => "as AWS's".to_owned(),
                refusal => refusal.status().to_string(),
            };
            (refusal.reason().to_owned(), status)
        });
        assert_eq!(explained, there_are.collect());
    }

    #[test]
    fn the_list_of_reasons_has_each_of_them_once() {
        let reasons: BTreeSet<&str> = all().iter().map(Refusal::reason).collect();
        assert_eq!(reasons.into_iter().collect::<Vec<_>>(), REASONS);
    }
}
