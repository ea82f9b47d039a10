//! The agent's side of the exchange: EKS Auth called through AWS's own SDK, its answer checked before it is believed.

mod answer;
mod credentials;
mod error;
mod probe;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials as SdkCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_eksauth::config::retry::RetryConfig;
use aws_sdk_eksauth::config::timeout::TimeoutConfig;
use aws_smithy_async::time::SharedTimeSource;
use identity::{ClusterName, Secret, ServiceAccountToken};
use tracing::{debug, info};

pub use error::ExchangeError;
pub use probe::{OwnCredentialsFound, Probe};

use crate::{Exchange, InstanceMetadata, Transport, TransportSettings};

/// How long one call may take. There is one attempt: when to ask again is for the caller to say, who knows what else is
/// asked of EKS Auth.
#[derive(Clone, Copy, Debug)]
pub struct TimeBudget {
    /// Until a TCP and TLS connection stands.
    pub connect: Duration,
    /// Until the call is answered in full.
    pub attempt: Duration,
}

impl Default for TimeBudget {
    /// Two attempts inside the 5 s that the most patient SDK waits for us.
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), attempt: Duration::from_millis(2_500) }
    }
}

/// Whose credentials sign our calls.
#[derive(Clone, Debug)]
pub enum OwnCredentials {
    /// The SDK's default chain: environment, shared files, web identity, container, instance metadata.
    DefaultChain,
    /// The default profile of the shared files, read again before each call (`--rotate-credentials`).
    RotatingSharedFile,
    /// A key pair that is known from the start.
    Fixed {
        /// The access key id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Secret,
    },
}

/// What EKS Auth is told about the calling node, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct NodeDetails {
    /// The node's name in Kubernetes (`NODE_NAME`).
    pub name: Option<String>,
    /// Whether instance id and zone may be asked of the instance metadata service.
    pub ask_instance_metadata: bool,
}

/// Everything an [`EksAuth`] needs to know.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The cluster whose pods are served.
    pub cluster: ClusterName,
    /// The region; `None` asks the shared files and the instance metadata service.
    pub region: Option<String>,
    /// An endpoint that wins over every other source, FIPS included (`--endpoint`).
    pub endpoint: Option<String>,
    /// How long calls may take.
    pub budget: TimeBudget,
    /// Whose credentials sign.
    pub credentials: OwnCredentials,
    /// What is told about the node.
    pub node: NodeDetails,
    /// Roots and proxy.
    pub transport: TransportSettings,
}

/// EKS Auth, called for one cluster.
#[derive(Clone, Debug)]
pub struct EksAuth {
    client: aws_sdk_eksauth::Client,
    cluster: ClusterName,
    node_name: Option<String>,
    instance: Arc<OnceLock<Instance>>,
    clock: SharedTimeSource,
    transport: Transport,
    credentials: Option<SharedCredentialsProvider>,
}

#[derive(Debug, Default)]
struct Instance {
    id: Option<String>,
    zone_id: Option<String>,
}

impl EksAuth {
    /// Makes ready to call: finds the region, loads TLS roots, sets the credential chain up. Calls nobody but, where the
    /// region is not given, the instance metadata service. Never fails: what is missing shows at the first exchange.
    pub async fn connect(settings: UpstreamSettings, clock: SharedTimeSource) -> Self {
        let transport = Transport::new(settings.transport.clone());
        let sdk = sdk_config(&settings, &transport, clock.clone()).await;
        let budget = settings.budget;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(budget.connect)
            .operation_attempt_timeout(budget.attempt)
            .operation_timeout(budget.attempt)
            .build();
        let mut config = aws_sdk_eksauth::config::Builder::from(&sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = &settings.endpoint {
            // The SDK refuses FIPS beside an endpoint of one's own; who names an endpoint means that one.
            config = config.endpoint_url(endpoint).use_fips(false);
        }
        if let Some(region) = sdk.region() {
            info!(
                cluster = %settings.cluster, region = region.as_ref(),
                endpoint = settings.endpoint.as_deref().unwrap_or("of the region"), "EKS Auth is the upstream"
            );
        }
        Self {
            client: aws_sdk_eksauth::Client::from_conf(config.build()),
            cluster: settings.cluster,
            node_name: settings.node.name,
            instance: Arc::default(),
            clock,
            transport,
            credentials: sdk.credentials_provider(),
        }
    }

    /// Whether there are credentials to call EKS Auth with. Asks whoever gives them, EKS Auth not.
    ///
    /// # Errors
    /// The credential chain's words.
    pub async fn own_credentials(&self) -> Result<(), String> {
        self.find_own_credentials().await.map(drop)
    }

    /// Asks the instance metadata service which instance and zone this is, once; later exchanges send what was found.
    pub async fn discover_instance(&self) {
        let metadata = InstanceMetadata::over(&self.transport);
        let (id, zone_id) = tokio::join!(
            metadata.get("/latest/meta-data/instance-id"),
            metadata.get("/latest/meta-data/placement/availability-zone-id"),
        );
        let instance = Instance { id: id.ok().flatten(), zone_id: zone_id.ok().flatten() };
        debug!(?instance, "asked the instance metadata service");
        let _ = self.instance.set(instance);
    }

    /// Exchanges a token for credentials, in one call within the time budget.
    ///
    /// # Errors
    /// What EKS Auth refused, or why there was no sensible answer; see [`ExchangeError`].
    pub async fn exchange(&self, token: &ServiceAccountToken) -> Result<Exchange, ExchangeError> {
        let instance = self.instance.get();
        let output = self
            .client
            .assume_role_for_pod_identity()
            .cluster_name(self.cluster.as_str())
            .token(token.secret().expose_str())
            .set_eks_node_name(self.node_name.clone())
            .set_instance_id(instance.and_then(|instance| instance.id.clone()))
            .set_zone(instance.and_then(|instance| instance.zone_id.clone()))
            .send()
            .await
            .map_err(ExchangeError::from_sdk)?;
        answer::read(output, self.clock.now()).map_err(ExchangeError::Unintelligible)
    }
}

/// What the SDK's single providers need, where they are not made by its loader.
fn provider_config(settings: &UpstreamSettings, transport: &Transport) -> ProviderConfig {
    ProviderConfig::without_region()
        .with_region(settings.region.clone().map(Region::new))
        .with_http_client(transport.http_client())
}

async fn sdk_config(
    settings: &UpstreamSettings,
    transport: &Transport,
    clock: SharedTimeSource,
) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        // Given, so that it is not read from the environment, where a value that makes no sense would be a panic.
        .retry_config(RetryConfig::standard())
        .http_client(transport.http_client())
        .time_source(clock.clone());
    let config = provider_config(settings, transport);
    // Not the SDK's own chain: it takes a variable that is set to nothing for the region's name.
    let region = RegionProviderChain::first_try(settings.region.clone().map(Region::new))
        .or_else(ProfileFileRegionProvider::builder().configure(&config).build())
        .or_else(ImdsRegionProvider::builder().configure(&config).build());
    loader = loader.region(region);
    loader = match &settings.credentials {
        OwnCredentials::DefaultChain => loader,
        OwnCredentials::RotatingSharedFile => {
            loader.credentials_provider(SharedCredentialsProvider::new(credentials::RotatingSharedFile::new(
                clock,
                provider_config(settings, transport),
                EnvConfigFiles::default(),
            )))
        }
        OwnCredentials::Fixed { access_key_id, secret_access_key } => loader.credentials_provider(
            SdkCredentials::new(access_key_id, secret_access_key.expose_str(), None, None, "settings"),
        ),
    };
    loader.load().await
}
