//! What the agent was told: flags and environment turned into typed settings, once, with every mistake named at once.

mod audit;
mod bind_hosts;
mod cluster;
mod mistakes;
mod own_credentials;
mod pods;
mod signing_keys;
mod startup_taint;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use eks_auth::{NodeDetails, OwnCredentials, TimeBudget, TransportSettings, UpstreamSettings};
use identity::ClusterName;
use runtime::log::Verbosity;
use runtime::{Environment, Limits, go_duration};

use crate::api_server::ApiServerSettings;
use crate::audit::AuditTarget;
use crate::cluster_name::Informants;
use crate::command::{InitializeFlags, ServerFlags};
use crate::endpoint::Rates;
use crate::handover::HandoverDirectory;
use crate::verification::VerificationPolicy;
pub use bind_hosts::{AWS_IPV4, AWS_IPV6, BindHost};
pub use cluster::Cluster;
use mistakes::Reader;
pub use mistakes::{Mistake, Mistakes};
pub use pods::{PodSettings, PodWatch};
pub use signing_keys::{Choice, SigningKeySettings};
pub use startup_taint::StartupTaint;

/// No node comes near.
const MOST_A_SECOND: NonZeroU32 = NonZeroU32::new(10_000_000).expect("not zero");

/// Everything the agent needs to know. Defaults are those of AWS's agent wherever it has the setting.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose pods are served.
    pub cluster: Cluster,
    /// Where pods reach the agent.
    pub bind_hosts: Vec<BindHost>,
    /// The port on each of these addresses.
    pub port: u16,
    /// The port of the probes, on localhost.
    pub probe_port: u16,
    /// The address of metrics (and of the probes once more).
    pub metrics_address: IpAddr,
    /// The port of metrics.
    pub metrics_port: u16,
    /// How long credentials are kept before they are renewed; zero keeps none.
    pub retention: Duration,
    /// How many sessions are kept; zero keeps none.
    pub max_cache_size: usize,
    /// How many renewals a second may go to EKS Auth.
    pub max_service_qps: u32,
    /// An endpoint in place of the region's.
    pub endpoint: Option<String>,
    /// Whether the shared credentials file is read again before each call.
    pub rotate_credentials: bool,
    /// That file, where its place is known.
    pub own_credentials_file: Option<PathBuf>,
    /// The audiences of which a token needs one.
    pub audiences: Vec<String>,
    /// How tokens are checked on the node.
    pub signing_keys: SigningKeySettings,
    /// What is done with the pods of this node.
    pub pods: PodSettings,
    /// Which taint is removed from the node, if one is.
    pub startup_taint: Option<StartupTaint>,
    /// How long one attempt of an exchange may take.
    pub budget: TimeBudget,
    /// How many attempts an exchange has within `hold`.
    pub attempts: u32,
    /// How long a pod is kept waiting for an exchange, and how long that is tried again.
    pub hold: Duration,
    /// How many requests may wait for an exchange at once.
    pub max_requests: usize,
    /// What one source of requests may do.
    pub rates: Rates,
    /// What the pods' listeners grant.
    pub limits: Limits,
    /// How long open requests get when the agent stops.
    pub drain_patience: Duration,
    /// Where probes of this very process are answered, beside its port.
    pub probe_socket: Option<PathBuf>,
    /// Where agents hand over to each other; `None` lets nobody share the ports.
    pub handover_socket: Option<PathBuf>,
    /// The region, where the environment names it.
    pub region: Option<String>,
    /// The node's name in Kubernetes.
    pub node_name: Option<String>,
    /// Whether the instance metadata service may be asked who we are.
    pub instance_metadata: bool,
    /// How AWS is reached.
    pub transport: TransportSettings,
    /// How much is logged.
    pub verbosity: Verbosity,
    /// Where each answer is recorded, if they are.
    pub audit: Option<AuditTarget>,
}

impl Settings {
    /// The defaults for a cluster.
    pub fn for_cluster(cluster: ClusterName) -> Self {
        Self {
            cluster: Cluster::Named(cluster),
            bind_hosts: bind_hosts::default(),
            port: 80,
            probe_port: 2703,
            metrics_address: Ipv4Addr::UNSPECIFIED.into(),
            metrics_port: 2705,
            retention: Duration::from_secs(3 * 3_600),
            max_cache_size: 2_000,
            max_service_qps: 3,
            endpoint: None,
            rotate_credentials: false,
            own_credentials_file: None,
            audiences: vec![identity::AUDIENCE.to_owned()],
            signing_keys: SigningKeySettings::default(),
            pods: PodSettings::default(),
            startup_taint: None,
            budget: TimeBudget::default(),
            attempts: 20,
            hold: Duration::from_secs(6),
            max_requests: 4_096,
            rates: Rates::default(),
            limits: crate::endpoint::limits(),
            // Less than the 30 s that the chart's pods have between SIGTERM and SIGKILL.
            drain_patience: Duration::from_secs(25),
            probe_socket: None,
            handover_socket: None,
            region: None,
            node_name: None,
            instance_metadata: true,
            transport: TransportSettings::default(),
            verbosity: Verbosity::default(),
            audit: None,
        }
    }

    /// Reads flags and environment.
    ///
    /// # Errors
    /// Every setting that cannot be used, with what was given and what is allowed.
    pub fn read(flags: &ServerFlags, environment: &impl Environment) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        let unnamed: ClusterName = "unnamed".parse().expect("a valid cluster name");
        let mut settings = Self::for_cluster(unnamed);
        settings.read_addresses(flags, &mut reader);
        settings.read_sessions(flags, &mut reader);
        settings.read_upstream(flags, environment, &mut reader);
        let api_server = signing_keys::api_server(flags, environment);
        let informants = settings.informants(api_server.as_ref());
        Cluster::read(flags.cluster_name.as_deref(), informants, &mut settings.cluster, &mut reader);
        settings.signing_keys = SigningKeySettings::read(flags, api_server.as_ref(), &mut reader);
        settings.pods = PodSettings::read(flags, environment, api_server.as_ref(), &mut reader);
        settings.startup_taint = StartupTaint::read(flags, environment, api_server.as_ref(), &mut reader);
        settings.audit = audit::read(flags, &mut reader);
        reader.set("--verbosity", flags.verbosity.as_deref(), &mut settings.verbosity);
        reader.finish(settings)
    }

    /// How much a command logs that has no other settings.
    ///
    /// # Errors
    /// When the word is none of the levels.
    pub fn verbosity(given: Option<&str>) -> Result<Verbosity, Mistakes> {
        let (mut reader, mut verbosity) = (Reader::default(), Verbosity::default());
        reader.set("--verbosity", given, &mut verbosity);
        reader.finish(verbosity)
    }

    /// The directory that `initialize` gives to the agents' group, if it was told of one.
    ///
    /// # Errors
    /// When the group is no number.
    pub fn handover_directory(flags: &InitializeFlags) -> Result<Option<HandoverDirectory>, Mistakes> {
        let (mut reader, mut group) = (Reader::default(), u32::MAX);
        reader.set_within("--handover-group", flags.handover_group.as_deref(), &mut group, 0..=u32::MAX - 1);
        let path = flags.handover_directory.as_deref().filter(|path| !path.is_empty());
        reader.finish(path.map(|path| HandoverDirectory { path: path.into(), group }))
    }

    fn read_addresses(&mut self, flags: &ServerFlags, reader: &mut Reader) {
        reader.set_within("--port", flags.port.as_deref(), &mut self.port, 0..=u16::MAX);
        reader.set_within("--probe-port", flags.probe_port.as_deref(), &mut self.probe_port, 0..=u16::MAX);
        reader.set_within(
            "--metrics-port",
            flags.metrics_port.as_deref(),
            &mut self.metrics_port,
            0..=u16::MAX,
        );
        if let Some(given) = &flags.metrics_address {
            match given.as_str() {
                "" => self.metrics_address = Ipv4Addr::UNSPECIFIED.into(),
                "localhost" => self.metrics_address = Ipv4Addr::LOCALHOST.into(),
                text => match text.parse() {
                    Ok(address) => self.metrics_address = address,
                    Err(_) => {
                        reader.add(Mistake::new("--metrics-address", text, "an IP address or localhost"))
                    }
                },
            }
        }
        if !flags.bind_hosts.is_empty() {
            match bind_hosts::read(&flags.bind_hosts, flags.allow_public_bind) {
                Ok(hosts) => self.bind_hosts = hosts,
                Err(mistakes) => mistakes.into_iter().for_each(|mistake| reader.add(mistake)),
            }
        }
        let most = &mut self.limits;
        reader.set_within(
            "--max-connections",
            flags.max_connections.as_deref(),
            &mut most.max_connections,
            1..=1_000_000,
        );
        reader.set_within(
            "--max-connections-per-peer",
            flags.max_connections_per_peer.as_deref(),
            &mut most.max_connections_per_peer,
            1..=1_000_000,
        );
        reader.set_within(
            "--max-requests",
            flags.max_requests.as_deref(),
            &mut self.max_requests,
            1..=1_000_000,
        );
        let rates = &mut self.rates;
        for (name, given, rate) in [
            ("--source-request-rate", &flags.source_request_rate, &mut rates.requests_of_source),
            ("--source-exchange-rate", &flags.source_exchange_rate, &mut rates.exchanges_of_source),
            ("--exchange-rate", &flags.exchange_rate, &mut rates.exchanges),
        ] {
            reader.set_within(name, given.as_deref(), rate, NonZeroU32::MIN..=MOST_A_SECOND);
        }
        reader.set_duration("--idle-timeout", flags.idle_timeout.as_deref(), &mut most.idle_timeout);
        let socket = flags.handover_socket.as_deref().filter(|path| !path.is_empty());
        self.handover_socket = socket.map(PathBuf::from);
        let socket = flags.probe_socket.as_deref().filter(|path| !path.is_empty());
        self.probe_socket = socket.map(PathBuf::from);
        reader.set_duration("--drain-timeout", flags.drain_timeout.as_deref(), &mut self.drain_patience);
    }

    fn read_sessions(&mut self, flags: &ServerFlags, reader: &mut Reader) {
        reader.set_duration_or_zero(
            "--max-credential-retention-before-renewal",
            flags.max_credential_retention_before_renewal.as_deref(),
            &mut self.retention,
        );
        reader.set_within(
            "--max-cache-size",
            flags.max_cache_size.as_deref(),
            &mut self.max_cache_size,
            0..=1_000_000,
        );
        reader.set_within(
            "--max-service-qps",
            flags.max_service_qps.as_deref(),
            &mut self.max_service_qps,
            1..=10_000,
        );
        reader.set_duration("--hold-timeout", flags.hold_timeout.as_deref(), &mut self.hold);
        if !flags.token_audience.is_empty() {
            self.audiences.clone_from(&flags.token_audience);
        }
    }

    fn read_upstream(&mut self, flags: &ServerFlags, environment: &impl Environment, reader: &mut Reader) {
        if let Some(endpoint) = flags.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) {
            let parsed: Result<http::Uri, _> = endpoint.parse();
            match parsed {
                Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
                    self.endpoint = Some(endpoint.to_owned());
                }
                _ => reader.add(Mistake::new(
                    "--endpoint",
                    endpoint,
                    "a URL such as https://eks-auth.example:8443",
                )),
            }
        }
        if let Some(word) = flags.rotate_credentials.as_deref() {
            // The words Go's strconv.ParseBool takes.
            match word {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => self.rotate_credentials = true,
                "0" | "f" | "F" | "FALSE" | "false" | "False" => self.rotate_credentials = false,
                _ => reader.add(Mistake::new("--rotate-credentials", word, "true or false")),
            }
        }
        let budget = &mut self.budget;
        reader.set_duration(
            "--upstream-connect-timeout",
            flags.upstream_connect_timeout.as_deref(),
            &mut budget.connect,
        );
        reader.set_duration(
            "--upstream-attempt-timeout",
            flags.upstream_attempt_timeout.as_deref(),
            &mut budget.attempt,
        );
        reader.set_within(
            "--upstream-attempts",
            flags.upstream_attempts.as_deref(),
            &mut self.attempts,
            1..=100,
        );

        self.own_credentials_file =
            self.rotate_credentials.then(|| own_credentials::file(environment)).flatten();
        if let Some(mistake) = own_credentials::loop_through(environment, &self.bind_hosts) {
            reader.add(mistake);
        }
        self.region = environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION"));
        self.node_name = environment.get("NODE_NAME");
        let metadata_off = environment.get("AWS_EC2_METADATA_DISABLED");
        self.instance_metadata = !metadata_off.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        match TransportSettings::from_environment(|name| environment.get(name)) {
            Ok(transport) => self.transport = transport,
            // The proxy's address may hold a password, and the error names the bundle's path itself.
            Err(mistakes) => mistakes
                .into_iter()
                .for_each(|(variable, error)| reader.add(Mistake::new(variable, "***", &error.to_string()))),
        }
    }

    /// Who on this node may be asked for the cluster's name.
    fn informants(&self, api_server: Option<&ApiServerSettings>) -> Informants {
        let node = self.node_name.clone().filter(|node| !node.is_empty());
        Informants { instance_metadata: self.instance_metadata, node: api_server.cloned().zip(node) }
    }

    /// What concerns EKS Auth, asked for the pods of this cluster.
    pub fn upstream(&self, cluster: ClusterName) -> UpstreamSettings {
        UpstreamSettings {
            cluster,
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            budget: self.budget,
            credentials: if self.rotate_credentials {
                OwnCredentials::RotatingSharedFile
            } else {
                OwnCredentials::DefaultChain
            },
            node: NodeDetails { name: self.node_name.clone(), ask_instance_metadata: self.instance_metadata },
            transport: self.transport.clone(),
        }
    }

    /// How tokens are checked.
    pub fn verification(&self) -> VerificationPolicy {
        VerificationPolicy {
            refresh: self.signing_keys.refresh,
            max_age: self.signing_keys.max_age,
            copy: self.signing_keys.cache.clone(),
            node: self.node_name.clone(),
        }
    }

    /// Settings that work, but hardly as somebody wants: one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let rate = f64::from(self.max_service_qps);
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let round = Duration::from_secs_f64(self.max_cache_size as f64 / rate);
        if !self.retention.is_zero() && round > self.retention * 2 {
            // AWS's agent does not start with such settings.
            warnings.push(format!(
                "renewing a full cache of {} takes {} at {} a second, much longer than the retention of {}: \
                 raise --max-service-qps or lower --max-cache-size",
                self.max_cache_size,
                go_duration::to_text(Duration::from_secs(round.as_secs())),
                self.max_service_qps,
                go_duration::to_text(self.retention)
            ));
        }
        warnings.extend(self.own_credentials_file.as_deref().and_then(own_credentials::open_to_others));
        if self.hold < self.budget.attempt {
            warnings.push(
                "--hold-timeout is shorter than --upstream-attempt-timeout: pods are told to come back while the exchange \
                 goes on"
                    .to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
