//! What the agent signs its own calls with, and what AWS thinks of it.

use std::time::SystemTime;

use eks_auth::OwnCredentialsFound;
use identity::to_rfc3339;

use crate::doctor::cause::Cause;
use crate::doctor::finding::Finding;

/// The agent's own reader of the shared file does not mark what it gives.
pub(super) fn named(found: OwnCredentialsFound, rotate: bool) -> OwnCredentialsFound {
    if !rotate {
        return found;
    }
    let source = "the default profile of the shared credentials file, read again before each call".to_owned();
    // It says that they end in a moment, so that it is asked again.
    OwnCredentialsFound { source, expires: None }
}

/// Whether there are any, and whose.
pub(super) fn judge(found: &Result<OwnCredentialsFound, String>, now: SystemTime) -> Finding {
    match found {
        Ok(OwnCredentialsFound { source, expires: Some(end) }) if *end <= now => Finding::error(
            Cause::OwnCredentialsRefused,
            format!("the agent's credentials are from {source} and ended at {}", to_rfc3339(*end)),
            "see why whoever provides them gives no newer ones",
        ),
        Ok(OwnCredentialsFound { source, expires }) => {
            let until = expires.map(|end| format!(", until {}", to_rfc3339(end))).unwrap_or_default();
            Finding::ok(
                Cause::OwnCredentials,
                format!("the agent signs with credentials from {source}{until}"),
            )
        }
        Err(reason) => Finding::error(
            Cause::OwnCredentialsMissing,
            // The chain's words come in several lines.
            format!(
                "the agent finds no AWS credentials: {}",
                reason.split_whitespace().collect::<Vec<_>>().join(" ")
            ),
            "give the node a role (an instance profile with AmazonEKSWorkerNodePolicy), and let the agent reach the instance metadata \
             service;\non nodes outside EC2: a credentials file and --rotate-credentials",
        ),
    }
}

/// Names of AWS's errors for a signature that it does not accept.
const REFUSALS: [&str; 8] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "AuthFailure",
    "RequestExpired",
];

/// What AWS says of the caller, where its error is about the signature and not about permission.
pub(super) fn refused(code: &str, message: &str) -> Option<Finding> {
    // STS's and SigV4's errors about session tokens share names with EKS Auth's about pods' tokens.
    let is_about_caller =
        REFUSALS.contains(&code) || message.contains("security token included in the request");
    is_about_caller.then(|| {
        Finding::error(
            Cause::OwnCredentialsRefused,
            format!("AWS does not accept the agent's signature: {code}: {message}"),
            "replace the keys: aws sts get-caller-identity with the same ones says whether they are known at all",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::doctor::finding::Severity;

    const NOW: SystemTime = UNIX_EPOCH;

    #[test]
    fn a_source_is_named_and_its_lack_is_an_error() {
        let found =
            |expires| Ok(OwnCredentialsFound { source: "the instance metadata service".to_owned(), expires });
        let good = judge(&found(Some(NOW + Duration::from_secs(60))), NOW);
        assert_eq!(good.severity, Severity::Ok);
        assert!(
            good.what.ends_with("from the instance metadata service, until 1970-01-01T00:01:00Z"),
            "{}",
            good.what
        );
        assert_eq!(judge(&found(Some(NOW)), NOW).cause, Cause::OwnCredentialsRefused);
        assert_eq!(judge(&found(None), NOW).severity, Severity::Ok);
        assert_eq!(judge(&Err("none".to_owned()), NOW).cause, Cause::OwnCredentialsMissing);
    }

    #[test]
    fn errors_about_the_signature_are_told_from_those_about_permission() {
        assert!(refused("UnrecognizedClientException", "no").is_some());
        assert!(
            refused("ExpiredTokenException", "The security token included in the request is expired")
                .is_some()
        );
        assert!(refused("ExpiredTokenException", "Token is expired").is_none());
        assert!(refused("AccessDeniedException", "User is not authorized").is_none());
    }
}
