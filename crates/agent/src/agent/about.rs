//! What the agent tells of itself: its version, and the process that it is.

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGaugeVec, Opts, Registry};

/// Registers it. The names of the process are those of Prometheus's client libraries, AWS's agent's among them.
///
/// # Errors
/// When the registry has one of the names already.
pub(super) fn register(registry: &Registry) -> prometheus::Result<()> {
    let build = IntGaugeVec::new(
        Opts::new("pod_identity_build_info", "1, with the version of the agent"),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(ProcessCollector::for_self()))
}
