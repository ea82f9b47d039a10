//! The agent put together: open binds everything and fails loudly, serve runs it until it is drained.

mod about;
mod itself;
mod listeners;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus::Registry;
use runtime::admin::Admin;
use runtime::log::LogLevel;
use runtime::probe::ProbeSocket;
use runtime::readiness::{Condition, ListenerAnswers};
use runtime::{BindError, Chance, Clock, DrainWatch, Limits, Listener, Readiness};
use thiserror::Error;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::audit::{AuditError, AuditLog, AuditMetrics};
use crate::endpoint::{Endpoint, EndpointMetrics, OurHosts, Rules};
use crate::handover::{self, Predecessor};
use crate::pods::{PodMetrics, PodSource, Pods};
use crate::session::{Policy, SessionMetrics, Sessions};
use crate::settings::Settings;
use crate::startup_taint::{self, NodeTaints};
use crate::upstream::{Measured, Pace, PaceMetrics, Upstream};
use crate::verification::{KeySource, Verification, VerificationMetrics};
use itself::Itself;
use listeners::{Absent, ListenerMetrics, bind, bind_endpoints, bind_probes};

/// What the agent finds outside itself.
pub struct World {
    /// The time of day.
    pub clock: Clock,
    /// What spreads renewals and retries.
    pub chance: Chance,
    /// Who exchanges tokens.
    pub upstream: Arc<dyn Upstream>,
    /// Who can tell the keys that sign the cluster's tokens; nobody, where tokens are not checked on the node.
    pub key_sources: Vec<Arc<dyn KeySource>>,
    /// Who tells of the pods of this node; nobody, where they are not watched.
    pub pod_source: Option<Arc<dyn PodSource>>,
    /// Whose startup taint is to be removed, and where, if it is.
    pub node_taints: Option<Arc<dyn NodeTaints>>,
    /// The agent whose place this one takes, if there is one.
    pub predecessor: Option<Predecessor>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// How much is logged, if that is the agent's to change.
    pub log_level: Option<LogLevel>,
}

/// Why the agent cannot start.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The probe socket cannot be there.
    #[error("the probe socket {} cannot be made: mount a directory there that this user may write", path.display())]
    ProbeSocket {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The audit log cannot be begun.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The registry has metrics of these names already: a second agent over one registry.
    #[error("the agent's metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// An agent that is bound to its addresses and ready to serve.
pub struct Agent {
    upstream: Arc<dyn Upstream>,
    verification: Verification,
    pods: Pods,
    sessions: Sessions,
    endpoint: Endpoint,
    endpoints: Vec<Listener>,
    /// Addresses that the node has not, yet.
    absent: Vec<Absent>,
    listening: ListenerMetrics,
    probes: Vec<Listener>,
    probe_socket: Option<ProbeSocket>,
    metrics: Listener,
    readiness: Readiness,
    registry: Registry,
    log_level: Option<LogLevel>,
    predecessor: Option<Predecessor>,
    handover_socket: Option<PathBuf>,
    taint: Option<(String, Arc<dyn NodeTaints>)>,
    chance: Chance,
}

impl Agent {
    /// Binds every address. Calls nobody.
    ///
    /// # Errors
    /// When a required address cannot be had; the text says which and what to do.
    pub fn open(settings: &Settings, world: World) -> Result<Self, OpenError> {
        let World {
            clock,
            chance,
            upstream,
            key_sources,
            pod_source,
            node_taints,
            mut predecessor,
            registry,
            log_level,
        } = world;
        let (endpoints, absent) = bind_endpoints(settings)?;
        let bound: Vec<SocketAddr> = endpoints.iter().map(Listener::local_addr).collect();
        let conditions =
            bound.iter().map(|address| Arc::new(ListenerAnswers(*address)) as Arc<dyn Condition>);
        let readiness = Readiness::new(conditions.collect());
        about::register(&registry)?;
        let listening = ListenerMetrics::register(&registry)?;
        bound.iter().for_each(|address| listening.set(*address, true));
        absent.iter().for_each(|absent| listening.set(absent.address(), false));

        let policy = Policy {
            retention: settings.retention,
            max_sessions: settings.max_cache_size,
            renewals_per_second: settings.max_service_qps,
            hold: settings.hold,
            attempts: settings.attempts,
            audited: settings.audit.is_some(),
        };
        let taint_chance = chance.clone();
        let upstream: Arc<dyn Upstream> = Measured::new(upstream, &registry)?;
        let pace = Pace::new(chance.clone(), PaceMetrics::register(&registry)?);
        let metrics = SessionMetrics::register(&registry)?;
        let sessions = Sessions::new(Arc::clone(&upstream), pace, clock, chance.clone(), policy, metrics);
        let rules = Rules {
            audiences: settings.audiences.clone(),
            max_requests: settings.max_requests,
            hosts: OurHosts::new(bound),
            rates: settings.rates,
            source_check: settings.pods.source_check,
        };
        let metrics = VerificationMetrics::register(&registry)?;
        let verification =
            Verification::new(key_sources, settings.verification(), clock, chance.clone(), metrics);
        let pods = Pods::new(pod_source, clock, chance, PodMetrics::register(&registry)?);
        let metrics = AuditMetrics::register(&registry)?;
        let audit = settings.audit.as_ref().map(|target| AuditLog::open(target, metrics)).transpose()?;
        let metrics = EndpointMetrics::register(&registry)?;
        let endpoint =
            Endpoint::new(sessions.clone(), verification.clone(), pods.clone(), clock, rules, metrics, audit);
        let metrics = SocketAddr::new(settings.metrics_address, settings.metrics_port);
        let probes = bind_probes(settings)?;
        let metrics = bind(settings, metrics, Limits::default())?;
        let probe_socket = settings.probe_socket.as_deref().map(|path| {
            ProbeSocket::bind(path).map_err(|source| OpenError::ProbeSocket { path: path.to_owned(), source })
        });
        let probe_socket = probe_socket.transpose()?;
        if let Some(predecessor) = &mut predecessor {
            let all = std::mem::take(&mut predecessor.sessions);
            let taken = all.iter().filter(|handed| sessions.take_over(handed)).count();
            let keys = predecessor.keys.take();
            keys.into_iter().for_each(|keys| verification.take_over(keys));
            info!(sessions = taken, "took over from the agent before");
            // Now that nothing is lost by it.
            for listener in endpoints.iter().chain(&probes).chain([&metrics]) {
                if let Err(error) = listener.take_all() {
                    let error = &error as &dyn std::error::Error;
                    warn!(address = %listener.local_addr(), error, "new connections still reach the agent before, too");
                }
            }
        }
        Ok(Self {
            upstream,
            verification,
            pods,
            sessions,
            endpoint,
            endpoints,
            absent,
            listening,
            probes,
            probe_socket,
            metrics,
            readiness,
            registry,
            log_level,
            predecessor,
            handover_socket: settings.handover_socket.clone(),
            taint: settings.startup_taint.clone().map(|startup| startup.key).zip(node_taints),
            chance: taint_chance,
        })
    }

    /// Where pods reach it: the real addresses, ports included.
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().map(Listener::local_addr).collect()
    }

    /// Where probes reach it.
    pub fn probes(&self) -> Vec<SocketAddr> {
        self.probes.iter().map(Listener::local_addr).collect()
    }

    /// Where metrics are scraped.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.local_addr()
    }

    /// Its sessions, for whoever knows when associations change.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Its readiness, to revoke before it stops.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until the drain is over.
    pub async fn serve(self, drain: DrainWatch) {
        let mut tasks = JoinSet::new();
        for listener in self.endpoints {
            info!(bind_addr = %listener.local_addr(), "answering pods");
            tasks.spawn(listener.serve(self.endpoint.clone(), drain.clone()));
        }
        for absent in self.absent {
            tasks.spawn(absent.serve(self.endpoint.clone(), self.listening.clone(), drain.clone()));
        }
        if let Some(socket) = self.probe_socket {
            let admin = Admin::probes(self.readiness.clone());
            let admin = match self.log_level {
                Some(log_level) => admin.with_log_level(log_level),
                None => admin,
            };
            tasks.spawn(socket.serve(admin, drain.clone()));
        }
        if let Some((key, taints)) = self.taint {
            let check = Itself { readiness: self.readiness.clone(), upstream: Arc::clone(&self.upstream) };
            let (chance, watch) = (self.chance, drain.clone());
            tasks.spawn(async move { startup_taint::keep_off(&key, &*taints, &check, &chance, watch).await });
        }
        for listener in self.probes {
            tasks.spawn(listener.serve(Admin::probes(self.readiness.clone()), drain.clone()));
        }
        let admin = Admin::probes_and_metrics(self.readiness, self.registry);
        info!(bind_addr = %self.metrics.local_addr(), "answering scrapes");
        tasks.spawn(self.metrics.serve(admin, drain.clone()));
        let (pods, hearing, watch) = (self.pods, self.sessions.clone(), drain.clone());
        tasks.spawn(async move { pods.watch(watch, |news| hearing.hear(news)).await });
        if let Some(path) = self.handover_socket {
            let (sessions, verification) = (self.sessions.clone(), self.verification.clone());
            let (predecessor, watch) = (self.predecessor, drain.clone());
            tasks.spawn(handover::run(path, predecessor, sessions, verification, watch));
        }
        let sessions = self.sessions;
        let renewals = drain.clone();
        tasks.spawn(async move { sessions.keep_fresh(renewals).await });
        let (verification, keys) = (self.verification, drain.clone());
        tasks.spawn(async move { verification.keep_current(keys).await });
        let upstream = self.upstream;
        tasks.spawn(async move {
            tokio::select! {
                () = upstream.warm_up() => {}
                () = drain.started() => {}
            }
        });
        while let Some(ended) = tasks.join_next().await {
            if let Err(broken) = ended {
                // None of these tasks may be missing: end, and be started anew.
                error!(
                    error = &broken as &dyn std::error::Error,
                    "a part of the agent broke, please report it"
                );
                return;
            }
        }
    }
}
