//! Where the agent listens: the addresses that the node has, and from when it has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use prometheus::{IntGaugeVec, Opts, Registry};
use runtime::{BindError, DrainWatch, Limits, Listener};
use tracing::{debug, info, warn};

use crate::endpoint::Endpoint;
use crate::settings::Settings;

/// How often it is looked whether the node has an address by now that it had not.
const UNTIL_LOOKED_AGAIN: Duration = Duration::from_secs(5);

/// Which addresses pods can reach the agent at.
#[derive(Clone)]
pub(super) struct ListenerMetrics(IntGaugeVec);

impl ListenerMetrics {
    /// A gauge in this registry.
    ///
    /// # Errors
    /// When the registry has the name already.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(
            "pod_identity_listener_up",
            "1 for an address where pods are answered, 0 for one that this node does not have",
        );
        let up = IntGaugeVec::new(options, &["address"])?;
        registry.register(Box::new(up.clone()))?;
        Ok(Self(up))
    }

    /// Pods are answered there, or not yet.
    pub(super) fn set(&self, address: SocketAddr, is_up: bool) {
        self.0.with_label_values(&[&address.to_string()]).set(is_up.into());
    }
}

/// An address that the node does not have, and need not have.
pub(super) struct Absent {
    address: SocketAddr,
    limits: Limits,
    is_shared: bool,
}

impl Absent {
    /// Which it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves it from when the node has it: whatever gives a node its addresses may come later than the agent.
    pub(super) async fn serve(self, endpoint: Endpoint, metrics: ListenerMetrics, drain: DrainWatch) {
        let mut told = false;
        let listener = loop {
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep(UNTIL_LOOKED_AGAIN) => {}
            }
            let bound = match self.is_shared {
                true => Listener::bind_shared(self.address, self.limits.clone()),
                false => Listener::bind(self.address, self.limits.clone()),
            };
            match bound {
                Ok(listener) => break listener,
                Err(error) if error.is_address_missing() => {}
                Err(error) if told => debug!(error = &error as &dyn std::error::Error, "still not served"),
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "this node has the address now, and it cannot be served"
                    );
                    told = true;
                }
            }
        };
        info!(bind_addr = %self.address, "this node has the address now, answering pods there too");
        metrics.set(self.address, true);
        listener.serve(endpoint, drain).await;
    }
}

/// A listener: beside the agent before and the one after, where there is a hand-over.
pub(super) fn bind(settings: &Settings, address: SocketAddr, limits: Limits) -> Result<Listener, BindError> {
    match settings.handover_socket {
        Some(_) => Listener::bind_shared(address, limits),
        None => Listener::bind(address, limits),
    }
}

/// Every required address, and of the others those that this node has; and those that it has not.
pub(super) fn bind_endpoints(settings: &Settings) -> Result<(Vec<Listener>, Vec<Absent>), BindError> {
    let (mut listeners, mut absent) = (Vec::new(), Vec::new());
    for host in &settings.bind_hosts {
        let address = SocketAddr::new(host.address, settings.port);
        match bind(settings, address, settings.limits.clone()) {
            Ok(listener) => listeners.push(listener),
            Err(error) if !host.required && error.is_address_missing() => {
                warn!(%address, "this node has no such address, serving without it; name it with -b to require it");
                let (limits, is_shared) = (settings.limits.clone(), settings.handover_socket.is_some());
                absent.push(Absent { address, limits, is_shared });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((listeners, absent))
}

/// Localhost in both families: kubelet may dial either. IPv6 where there is any.
pub(super) fn bind_probes(settings: &Settings) -> Result<Vec<Listener>, BindError> {
    let port = settings.probe_port;
    let first = bind(settings, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port), Limits::default())?;
    if port == 0 {
        // A port that is free in one family need not be free in the other.
        return Ok(vec![first]);
    }
    let second = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    match bind(settings, second, Limits::default()) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.is_address_missing() => Ok(vec![first]),
        Err(error) => Err(error),
    }
}
