//! The way to EKS Auth, and what it says: name, connection, TLS, time, signature, permission. One call with a token that nobody
//! issued shows all of it, and gives nobody anything.

mod way;

use std::time::{Duration, SystemTime};

use agent::settings::Cluster;
use agent::{SdkClock, Settings, cluster_name};
use aws_smithy_async::time::SharedTimeSource;
use eks_auth::{
    EksAuth, ErrorCode, ExchangeError, InstanceMetadata, OwnCredentials, Probe, TimeBudget, UpstreamSettings,
};
use identity::{ClusterName, Secret, ServiceAccountToken};
use runtime::{Clock, Environment};
use tokio::time::timeout;

use super::own_credentials;
use crate::doctor::cause::Cause;
use crate::doctor::finding::Finding;

/// Until the region is found, where it has to be asked for.
const PATIENCE_FOR_REGION: Duration = Duration::from_secs(4);

/// As long as the SDK asks the instance metadata service in vain, and no longer.
const PATIENCE_FOR_CREDENTIALS: Duration = Duration::from_secs(4);

/// One call.
const BUDGET: TimeBudget = TimeBudget { connect: Duration::from_secs(3), attempt: Duration::from_secs(4) };

/// From here on the clocks are worth a word.
const NOTICEABLE_SKEW: Duration = Duration::from_secs(60);

/// AWS takes signatures that are up to 5 minutes off.
const HARMFUL_SKEW: Duration = Duration::from_secs(300);

/// A token of no cluster: signed with nothing, over since 1970. Three parts of base64url, as EKS Auth's model wants them.
const NOBODYS_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InBvZC1pZGVudGl0eS1kb2N0b3IifQ",
    ".eyJpc3MiOiJodHRwczovL2RvY3Rvci5pbnZhbGlkIiwiYXVkIjpbInBvZHMuZWtzLmFtYXpvbmF3cy5jb20iXSwic3ViIjoic3lzdGVtOnNlcnZpY2VhY2NvdW50OmRvY3Rv",
    "cjpub2JvZHkiLCJpYXQiOjEsIm5iZiI6MSwiZXhwIjoyfQ",
    ".bm9ib2R5LXNpZ25lZC10aGlz"
);

/// Looks at all of it.
pub(super) async fn look(settings: &Settings, environment: &impl Environment, clock: Clock) -> Vec<Finding> {
    let (cluster, connected) = tokio::join!(cluster(settings), connect(settings, clock));
    let mut findings = Vec::new();
    let (cluster, is_known) = match cluster {
        Ok(cluster) => (cluster, true),
        Err(finding) => {
            findings.push(finding);
            (nobodys_cluster(), false)
        }
    };
    let Some(own) = connected else {
        let what = "the region is not found in time: it is not given, and the instance metadata service does not answer";
        findings.push(Finding::error(Cause::EksAuthMisconfigured, what, "set AWS_REGION for the agent"));
        return findings;
    };
    let found = match timeout(PATIENCE_FOR_CREDENTIALS, own.find_own_credentials()).await {
        Ok(found) => found,
        Err(_) => Err(format!("nobody gave any within {} s", PATIENCE_FOR_CREDENTIALS.as_secs())),
    };
    let found = found.map(|found| own_credentials::named(found, settings.rotate_credentials));
    findings.push(own_credentials::judge(&found, clock.now()));
    let probe = probe(settings, own, cluster, found.is_ok(), clock).await;
    let now = clock.now();
    findings.extend(probe.date.and_then(|date| judge_clock(date, now)));
    let way = way::look(probe.endpoint.as_deref(), environment).await;
    findings.extend(judge(&probe, &way, found.is_ok(), is_known));
    findings
}

async fn connect(settings: &Settings, clock: Clock) -> Option<EksAuth> {
    let upstream = upstream(settings, nobodys_cluster());
    timeout(PATIENCE_FOR_REGION, EksAuth::connect(upstream, SharedTimeSource::new(SdkClock(clock))))
        .await
        .ok()
}

fn upstream(settings: &Settings, cluster: ClusterName) -> UpstreamSettings {
    UpstreamSettings { budget: BUDGET, ..settings.upstream(cluster) }
}

/// The SDK looks for credentials before it looks for EKS Auth, so that without any, a call with made-up ones shows the way.
async fn probe(
    settings: &Settings,
    own: EksAuth,
    cluster: ClusterName,
    has_credentials: bool,
    clock: Clock,
) -> Probe {
    let token = ServiceAccountToken::parse(NOBODYS_TOKEN).expect("three parts of base64url");
    if has_credentials {
        return own.for_cluster(cluster).probe(&token).await;
    }
    let upstream = UpstreamSettings {
        // Found already, where it had to be.
        region: own.region().or(settings.region.clone()),
        credentials: OwnCredentials::Fixed {
            access_key_id: "AKIAPODIDENTITYDOCTOR".to_owned(),
            secret_access_key: Secret::from("made-up-to-see-the-way"),
        },
        ..upstream(settings, cluster)
    };
    EksAuth::connect(upstream, SharedTimeSource::new(SdkClock(clock))).await.probe(&token).await
}

fn nobodys_cluster() -> ClusterName {
    "unknown".parse().expect("a valid cluster name")
}

async fn cluster(settings: &Settings) -> Result<ClusterName, Finding> {
    match &settings.cluster {
        Cluster::Named(cluster) => Ok(cluster.clone()),
        Cluster::OfNode(informants) => {
            let metadata = InstanceMetadata::new(&settings.transport);
            let found = timeout(PATIENCE_FOR_CREDENTIALS, cluster_name::find(informants, &metadata)).await;
            let reason = match found {
                Ok(Ok(cluster)) => return Ok(cluster),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "nobody who is asked for it answers in time".to_owned(),
            };
            Err(Finding::error(Cause::ClusterNameUnknown, reason, "give the agent --cluster-name"))
        }
    }
}

fn judge_clock(date: SystemTime, now: SystemTime) -> Option<Finding> {
    let (skew, how) = match now.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let what = format!("this node's clock is {} s {how} that of EKS Auth", skew.as_secs());
    let remedy = "timedatectl status; have chrony or systemd-timesyncd follow 169.254.169.123 (on EC2) or another source";
    Some(match skew {
        skew if skew > HARMFUL_SKEW => Finding::error(Cause::ClockSkew, what, remedy),
        skew if skew > NOTICEABLE_SKEW => Finding::warning(Cause::ClockSkew, what, remedy),
        _ => Finding::ok(Cause::Clock, "this node's clock and that of EKS Auth agree to a minute"),
    })
}

/// What the call says. `is_known`: whether the cluster's name is the agent's.
fn judge(probe: &Probe, way: &way::Way, has_credentials: bool, is_known: bool) -> Vec<Finding> {
    let endpoint =
        probe.endpoint.as_deref().map_or("EKS Auth", |url| url.split("/clusters/").next().unwrap_or(url));
    let reached = || Finding::ok(Cause::EksAuth, format!("EKS Auth answers at {endpoint}{}", way.remark()));
    let error = match &probe.outcome {
        Ok(()) => return vec![reached()],
        Err(error) => error,
    };
    match error {
        // Nothing was sent, so nothing on the way is to blame.
        ExchangeError::Unreachable(reason) if probe.endpoint.is_none() => vec![misconfigured(reason)],
        ExchangeError::Misconfigured(reason) => vec![misconfigured(reason)],
        // Made-up keys are missing nowhere.
        ExchangeError::NoOwnCredentials(reason) => {
            vec![own_credentials::judge(&Err(reason.clone()), SystemTime::UNIX_EPOCH)]
        }
        ExchangeError::Unreachable(reason) | ExchangeError::TimedOut(reason) => {
            vec![way.blame(endpoint, reason)]
        }
        ExchangeError::Unintelligible(reason) => vec![Finding::error(
            Cause::EksAuthUnintelligible,
            format!("what answers at {endpoint} is not EKS Auth: {reason}"),
            "see what the agent's --endpoint, AWS_ENDPOINT_URL and HTTPS_PROXY lead to: curl --verbose that URL from the node",
        )],
        ExchangeError::RefusedCaller { code, message, .. } => {
            let mut findings = vec![reached()];
            if has_credentials {
                findings.push(
                    own_credentials::refused(code, message).unwrap_or_else(|| not_allowed(code, message)),
                );
            }
            findings
        }
        ExchangeError::Refused { code, message, .. } => {
            let mut findings = vec![reached()];
            if has_credentials {
                let refused = own_credentials::refused(code.as_str(), message);
                findings.extend(refused.or_else(|| answered(*code, message, is_known)));
            }
            findings
        }
    }
}

fn misconfigured(reason: &str) -> Finding {
    Finding::error(
        Cause::EksAuthMisconfigured,
        format!("the call to EKS Auth cannot be made: {reason}"),
        "set AWS_REGION for the agent, or its --endpoint",
    )
}

/// What the service says to a caller that it knows, about a token that nobody issued.
fn answered(code: ErrorCode, message: &str, is_known: bool) -> Option<Finding> {
    match code {
        ErrorCode::AccessDenied => Some(not_allowed(code.as_str(), message)),
        ErrorCode::ResourceNotFound if is_known => Some(Finding::warning(
            Cause::ClusterUnknown,
            format!(
                "EKS Auth finds no cluster of this name, or no association for a token that nobody issued (which it looks for first is not known): \
                 {message}"
            ),
            "aws eks list-clusters in the agent's region and account, and compare with its --cluster-name",
        )),
        // A name that was made up here.
        ErrorCode::ResourceNotFound => None,
        ErrorCode::Throttling => Some(Finding::warning(
            Cause::EksAuthUnavailable,
            format!("EKS Auth answers {code}: {message}"),
            "wait; pod_identity_upstream_throttled_total of the agent's metrics says how often the account is throttled",
        )),
        ErrorCode::InternalServer | ErrorCode::ServiceUnavailable => Some(Finding::error(
            Cause::EksAuthUnavailable,
            format!("EKS Auth answers {code}: {message}"),
            "wait, and see AWS's health dashboard for the region",
        )),
        // It looked at the token, so the caller may ask.
        ErrorCode::InvalidToken
        | ErrorCode::ExpiredToken
        | ErrorCode::InvalidParameter
        | ErrorCode::InvalidRequest => None,
    }
}

fn not_allowed(code: &str, message: &str) -> Finding {
    Finding::error(
        Cause::EksAuthNotAllowed,
        format!("EKS Auth does not let the agent exchange tokens: {code}: {message}"),
        "allow eks-auth:AssumeRoleForPodIdentity to the node's role (AmazonEKSWorkerNodePolicy has it):\n\
         aws iam attach-role-policy --role-name NODE_ROLE --policy-arn arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
    )
}

#[cfg(test)]
mod tests;
