//! The API server, asked for what the agent asks it.

use std::time::Duration;

use agent::Settings;
use agent::api_server::{ApiServer, ApiServerError, ApiServerSettings};
use tokio::time::timeout;

use crate::doctor::cause::Cause;
use crate::doctor::finding::{Finding, Severity};

/// One document.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks, as far as the agent would.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let (keys, watch) = (settings.signing_keys.api_server.as_ref(), settings.pods.watch.as_ref());
    let Some(server) = keys.or(watch.map(|watch| &watch.api_server)) else { return Vec::new() };
    let keys = async {
        let outcome = match keys {
            Some(server) => Some(ask(server, "/openid/v1/jwks").await),
            None => None,
        };
        outcome.map(|outcome| judge(&server.url, "the signing keys", outcome.err().as_ref()))
    };
    let pods = async {
        let watch = watch?;
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}&limit=1", watch.node);
        let outcome = ask(&watch.api_server, &path).await;
        let mut finding = judge(&server.url, "the pods of this node", outcome.err().as_ref());
        // AWS's agent does without, and so do charts that were made for it.
        if finding.cause == Cause::ApiServerForbidden {
            finding.severity = Severity::Note;
        }
        Some(finding)
    };
    let (keys, pods) = tokio::join!(keys, pods);
    let mut findings: Vec<Finding> = keys.into_iter().chain(pods).collect();
    // Both meet the same trouble on the way there.
    findings.dedup_by_key(|finding| (finding.cause, finding.severity));
    findings
}

async fn ask(server: &ApiServerSettings, path: &str) -> Result<(), ApiServerError> {
    let asked = async { ApiServer::new(server)?.get(path).await.map(drop) };
    match timeout(PATIENCE, asked).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(ApiServerError::Unreachable { path: path.to_owned(), source: elapsed.into() }),
    }
}

fn judge(url: &str, what: &str, error: Option<&ApiServerError>) -> Finding {
    let Some(error) = error else {
        return Finding::ok(Cause::ApiServer, format!("the API server at {url} gives {what}"));
    };
    let reason = runtime::log::with_causes(error);
    match error {
        ApiServerError::Unreadable { .. } => Finding::warning(
            Cause::ApiServerFiles,
            reason,
            "give the agent's pod its service account token: automountServiceAccountToken: true",
        ),
        ApiServerError::Unreachable { .. } => Finding::warning(
            Cause::ApiServerUnreachable,
            format!("{reason} ({url})"),
            "see whether kube-proxy or its replacement serves that address on this node: curl --insecure URL/version",
        ),
        ApiServerError::Forbidden { .. } => Finding::warning(
            Cause::ApiServerForbidden,
            format!("the agent may not read {what}: {reason}"),
            "bind its service account: for signing keys to the cluster role system:service-account-issuer-discovery, for pods to one \
             with get, list and watch on pods (the chart does both)",
        ),
        ApiServerError::Refused { .. } | ApiServerError::TooLong(_) => Finding::warning(
            Cause::ApiServerRefused,
            format!("the agent does not get {what}: {reason}"),
            "see the API server's own health: kubectl get --raw /readyz",
        ),
    }
}
