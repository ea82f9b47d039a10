//! The pod's token file, read as the SDK reads it and judged as EKS Auth would.

use std::io;
use std::time::SystemTime;

use identity::{AUDIENCE, Secret, ServiceAccountToken, TokenError};

use crate::doctor::cause::Cause;
use crate::doctor::finding::Finding;
use crate::proc::User;

const RESTART: &str = "restart the pod, so that kubelet projects a token with the audience pods.eks.amazonaws.com into it; a file that was written by hand \
                       or copied is no substitute";

/// What is wrong with the content of the file at `path`; nothing of it is told but its claims.
pub(super) fn judge(path: &str, read: &io::Result<Secret>, now: SystemTime) -> Vec<Finding> {
    let error = |cause, what: String, remedy: &str| vec![Finding::error(cause, what, remedy)];
    let token = match read {
        Ok(token) => token.expose_str(),
        Err(reason) => {
            return error(
                Cause::PodTokenMissing,
                format!("the token file {path} cannot be read: {reason}"),
                RESTART,
            );
        }
    };
    if token.is_empty() {
        return error(Cause::PodTokenEmpty, format!("the token file {path} is empty"), RESTART);
    }
    if token.contains(['\n', '\r']) {
        let remedy =
            "write the token without a line end (printf %s in place of echo), or have kubelet project it";
        return error(Cause::PodTokenNewline, format!("the token in {path} ends with a line end"), remedy);
    }
    let parsed = match ServiceAccountToken::parse(token) {
        Ok(parsed) => parsed,
        Err(reason) => {
            return error(Cause::PodTokenMalformed, format!("the token in {path}: {reason}"), RESTART);
        }
    };
    match parsed.claims().check(now, &[AUDIENCE.to_owned()]) {
        Ok(()) => Vec::new(),
        Err(reason) => {
            let cause = match reason {
                TokenError::Expired { .. } => Cause::PodTokenExpired,
                TokenError::NotYetValid { .. } => Cause::PodTokenEarly,
                TokenError::WrongAudience { .. } => Cause::PodTokenAudience,
                TokenError::Empty | TokenError::BearerPrefix | TokenError::Malformed(_) => {
                    Cause::PodTokenMalformed
                }
            };
            error(cause, format!("the token in {path}: {reason}"), RESTART)
        }
    }
}

/// Whether the process itself may not read what root may.
pub(super) fn unreadable(path: &str, user: &User, (owner, group, mode): (u32, u32, u32)) -> Option<Finding> {
    (!user.may_read(owner, group, mode)).then(|| {
        Finding::error(
            Cause::PodTokenUnreadable,
            format!(
                "the token file {path} is of user {owner} and group {group} with mode {:o}, and the process is of user {}",
                mode & 0o777,
                user.uid
            ),
            "give the pod securityContext.fsGroup (any id): kubelet then lets its group read projected tokens",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;
    use testkit::{TokenBuilder, canary};

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn cause(read: io::Result<String>, now: SystemTime) -> Option<Cause> {
        let findings = judge("/t", &read.map(Secret::from), now);
        canary::assert_absent("findings", &format!("{findings:?}"));
        findings.first().map(|finding| finding.cause)
    }

    #[test]
    fn each_fault_of_a_token_file_has_a_name_of_its_own_and_nothing_of_the_token_is_told() {
        let now = NOW + Duration::from_secs(10_000);
        let good = TokenBuilder::of_pod("web-0", now);
        let other = good.clone().claim("aud", json!(["sts.amazonaws.com"])).raw();
        let early = TokenBuilder::of_pod("web-0", now + Duration::from_secs(120)).raw();
        for (read, wanted) in [
            (Ok(good.raw()), None),
            (Err(io::Error::from(io::ErrorKind::NotFound)), Some(Cause::PodTokenMissing)),
            (Ok(String::new()), Some(Cause::PodTokenEmpty)),
            (Ok(format!("{}\n", good.raw())), Some(Cause::PodTokenNewline)),
            (Ok(canary::MARKER.to_owned()), Some(Cause::PodTokenMalformed)),
            (Ok(other), Some(Cause::PodTokenAudience)),
            (Ok(early), Some(Cause::PodTokenEarly)),
        ] {
            assert_eq!(cause(read, now), wanted);
        }
        assert_eq!(cause(Ok(good.raw()), now + Duration::from_secs(3_600)), Some(Cause::PodTokenExpired));
    }
}
