//! What the endpoint counts, under the name AWS's agent uses.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The counters of the endpoint.
#[derive(Clone)]
pub struct EndpointMetrics {
    responses: IntCounterVec,
    /// Kept apart: almost every answer is one of these, and finding it by label costs as much as the rest of counting.
    ok: IntCounter,
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
        Ok(Self { ok: responses.with_label_values(&["200"]), responses })
    }

    pub(super) fn answered(&self, status: StatusCode) {
        if status == StatusCode::OK {
            self.ok.inc();
        } else {
            self.responses.with_label_values(&[status.as_str()]).inc();
        }
    }
}
