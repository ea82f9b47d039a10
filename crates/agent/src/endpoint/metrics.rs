//! What the endpoint counts: answers under the name AWS's agent uses, refusals under ours.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::refusal::Refusal;

/// The counters of the endpoint.
#[derive(Clone)]
pub struct EndpointMetrics {
    responses: IntCounterVec,
    /// Kept apart: almost every answer is one of these, and finding it by label costs as much as the rest of counting.
    ok: IntCounter,
    refusals: IntCounterVec,
}

impl EndpointMetrics {
    /// Counters in this registry.
    ///
    /// # Errors
    /// When the registry has the name already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new("pod_identity_http_response", "Answers to pods by HTTP status");
        let responses = IntCounterVec::new(options, &["code"])?;
        registry.register(Box::new(responses.clone()))?;
        let options =
            Opts::new("pod_identity_refusals_total", "Answers to pods that are no credentials, by reason");
        let refusals = IntCounterVec::new(options, &["reason"])?;
        registry.register(Box::new(refusals.clone()))?;
        Ok(Self { ok: responses.with_label_values(&["200"]), responses, refusals })
    }

    /// An answer went out, with what was refused if it was no credentials.
    pub fn answered(&self, status: StatusCode, refusal: Option<&Refusal>) {
        if let Some(refusal) = refusal {
            self.refusals.with_label_values(&[refusal.reason()]).inc();
        }
        if status == StatusCode::OK {
            self.ok.inc();
        } else {
            self.responses.with_label_values(&[status.as_str()]).inc();
        }
    }
}
