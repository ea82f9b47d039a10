//! What doctor finds: a cause out of a closed list, how bad it is, and what to do about it.

use serde::{Deserialize, Serialize};

use super::cause::Cause;

/// How bad a finding is. The worst one of a report is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// Looked at, and in order.
    Ok,
    /// Worth knowing; nothing is wrong.
    Note,
    /// Some pods get no credentials, or will not for long.
    Warning,
    /// Pods get no credentials.
    Error,
}

impl Severity {
    /// As people read it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// What it is.
    pub(crate) cause: Cause,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What was seen. Holds no secret.
    pub(crate) what: String,
    /// What to do, a command where there is one; empty where nothing has to be done.
    pub(crate) remedy: String,
}

impl Finding {
    pub(crate) fn ok(cause: Cause, what: impl Into<String>) -> Self {
        Self { cause, severity: Severity::Ok, what: what.into(), remedy: String::new() }
    }

    pub(crate) fn note(cause: Cause, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause, severity: Severity::Note, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn warning(cause: Cause, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause, severity: Severity::Warning, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn error(cause: Cause, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause, severity: Severity::Error, what: what.into(), remedy: remedy.into() }
    }
}

/// Leaves out what only follows from something else that was found, puts the rest in the order of the list of causes, the worst
/// of one cause first, and says nothing twice.
pub(crate) fn prune(mut findings: Vec<Finding>) -> Vec<Finding> {
    let broken: Vec<(Cause, Severity)> = findings
        .iter()
        .filter(|finding| finding.severity >= Severity::Warning)
        .map(|finding| (finding.cause, finding.severity))
        .collect();
    // What is less bad explains nothing: a clock that is a minute off is not why a token has been over for an hour.
    let explains = |finding: &Finding, (cause, severity): (Cause, Severity)| {
        finding.cause.explained_by().contains(&cause) && severity >= finding.severity
    };
    findings.retain(|finding| !broken.iter().any(|broken| explains(finding, *broken)));
    findings.sort_by_key(|finding| (finding.cause, std::cmp::Reverse(finding.severity)));
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(findings: Vec<Finding>) -> Vec<Cause> {
        prune(findings).into_iter().map(|finding| finding.cause).collect()
    }

    #[test]
    fn what_only_follows_from_another_finding_is_left_out() {
        let link = Finding::error(Cause::LinkMissing, "", "");
        let silent = Finding::error(Cause::AgentUnreachable, "", "");
        let clock = Finding::error(Cause::ClockSkew, "", "");
        assert_eq!(causes(vec![silent.clone(), clock.clone(), link]), [Cause::LinkMissing, Cause::ClockSkew]);
        assert_eq!(causes(vec![silent.clone(), clock]), [Cause::AgentUnreachable, Cause::ClockSkew]);
    }

    #[test]
    fn a_note_explains_nothing_away() {
        let off = Finding::note(Cause::Ipv6Off, "", "");
        let silent = Finding::error(Cause::AgentUnreachable, "", "");
        assert_eq!(causes(vec![off.clone(), silent]), [Cause::Ipv6Off, Cause::AgentUnreachable]);
        assert_eq!(causes(vec![off.clone(), off]), [Cause::Ipv6Off], "nothing is said twice");
    }

    #[test]
    fn what_is_less_bad_explains_nothing() {
        let token = Finding::error(Cause::PodTokenExpired, "", "");
        let minute = Finding::warning(Cause::ClockSkew, "", "");
        let hour = Finding::error(Cause::ClockSkew, "", "");
        assert_eq!(causes(vec![token.clone(), minute]), [Cause::ClockSkew, Cause::PodTokenExpired]);
        assert_eq!(causes(vec![token, hour]), [Cause::ClockSkew]);
    }

    #[test]
    fn no_cause_explains_itself_or_goes_round_in_a_circle() {
        fn leads_to(from: Cause, to: Cause, depth: usize) -> bool {
            depth > 0
                && from.explained_by().iter().any(|&cause| cause == to || leads_to(cause, to, depth - 1))
        }
        for cause in Cause::ALL {
            assert!(!leads_to(cause, cause, 6), "{}", cause.id());
        }
    }
}
