//! The agent's look at itself, before pods are let onto the node.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use runtime::Readiness;

use crate::startup_taint::SelfCheck;
use crate::upstream::Upstream;

/// The agent, looked at by itself as a pod would: its listeners answer, and it has credentials to call AWS with.
pub(super) struct Itself {
    pub(super) readiness: Readiness,
    pub(super) upstream: Arc<dyn Upstream>,
}

impl SelfCheck for Itself {
    fn missing(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            if let Some(missing) = self.readiness.missing().await.first() {
                return Some(format!("{}: {}", missing.condition, missing.reason));
            }
            let missing = self.upstream.own_credentials().await.err()?;
            Some(format!("credentials of the agent's own: {missing}"))
        })
    }
}
