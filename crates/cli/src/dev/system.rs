//! The development system put together: open makes and binds everything and fails loudly, serve runs it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent::settings::BindHost;
use agent::verification::{InProcessKeys, KeySource};
use agent::{Agent, EksAuthUpstream, SdkClock, World};
use aws_smithy_async::time::SharedTimeSource;
use control_plane::access_key::AccessKey;
use control_plane::api::Api;
use control_plane::issuer::{SigningKey, SigningKeyError, TokenIssuer};
use control_plane::store::{self, AssociationStore, EmbeddedStore, Filter, Lookup, MemoryStore};
use control_plane::sts::DevelopmentSts;
use eks_auth::{
    NodeDetails, OwnCredentials, RoleAssumer, Service, SigningKeysError, Sts, TokenVerifier,
    TransportSettings,
};
use prometheus::Registry;
use runtime::{BindError, Chance, Clock, Drain, DrainWatch, Limits, Listener, Readiness};
use thiserror::Error;

use super::folder::FolderLock;
use super::{FolderError, Settings, StsSettings};
use crate::control::{
    AssociateError, AssociateReply, AssociateRequest, ControlSocket, Desk, SocketError, Status, associate,
};

/// How long the API waits for the agent's last calls once the agent has stopped.
const API_PATIENCE: Duration = Duration::from_secs(2);

/// Why the system cannot start.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The key that signs tokens.
    #[error(transparent)]
    SigningKey(SigningKeyError),
    /// That key is not as the flag wants it.
    #[error("--signing-key: {0}")]
    OtherSigningKey(SigningKeyError),
    /// The keys that verify them.
    #[error("the signing key signs no tokens")]
    Verifier(#[from] SigningKeysError),
    /// A port.
    #[error("{bind}; use {flag} PORT (0 takes any free one)")]
    Port {
        /// What is wrong with it.
        bind: BindError,
        /// How to have another one.
        flag: &'static str,
    },
    /// The agent, for another reason than a port.
    #[error(transparent)]
    Agent(agent::OpenError),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// An association that was asked for.
    #[error("--associate {account}: {source}")]
    Associate {
        /// Namespace and service account.
        account: String,
        /// Why not.
        source: AssociateError,
    },
}

impl From<SigningKeyError> for OpenError {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::OtherKind { .. } => Self::OtherSigningKey(error),
            error => Self::SigningKey(error),
        }
    }
}

/// A development system that is bound to its ports.
pub(crate) struct System {
    api: Listener,
    answers: Api,
    agent: Agent,
    control: ControlSocket,
    desk: Desk,
    store: Arc<dyn AssociationStore>,
    status: Status,
    metrics: SocketAddr,
    associated: Vec<AssociateReply>,
    /// Last, so that it outlives everything that uses the folder.
    lock: FolderLock,
}

impl System {
    /// Makes what is not there yet and binds everything. Calls nobody.
    pub(crate) async fn open(settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        let lock = settings.folder.take()?;
        let Kept { store, signing_key, access_key } = Kept::of(&settings)?;
        let on_loopback = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let api = Listener::bind(on_loopback(settings.api_port), Limits::default())
            .map_err(|bind| OpenError::Port { bind, flag: "--api-port" })?;
        // Its port belongs to the issuer's name, so nothing can be issued before this listener is bound.
        let url = format!("http://{}", api.local_addr());
        let issuer = Arc::new(TokenIssuer::new(url.clone(), signing_key, store.cluster_uid()));
        let tokens: Arc<dyn TokenVerifier> = Arc::new(issuer.verifier()?);
        let service = Service::new(
            settings.cluster.clone(),
            settings.session_duration,
            Arc::new(Lookup(Arc::clone(&store))),
            tokens,
            assumer(&settings, clock).await,
        );
        let answers =
            Api::new(service, Arc::clone(&store), &issuer, [access_key.clone()].into_iter().collect(), clock);
        let keys = Arc::new(InProcessKeys::new(url.clone(), issuer.key_set()));
        let agent = agent(&settings, &url, &access_key, keys, clock)?;
        let sessions = agent.sessions();
        store.on_change(Box::new(move |id| sessions.association_changed(id.as_str())));
        let endpoint = agent.endpoints().first().copied().unwrap_or_else(|| on_loopback(settings.agent_port));
        let status = Status {
            cluster: settings.cluster.name.to_string(),
            account: settings.cluster.account.clone(),
            region: settings.cluster.region.clone(),
            credentials_uri: format!("http://{endpoint}/v1/credentials"),
            api: url,
        };
        let associated = associate_all(&settings, &*store, clock).await?;
        let desk = Desk::new(Arc::clone(&store), issuer, access_key, status.clone(), clock);
        let control = ControlSocket::bind(&settings.folder.control_socket())?;
        let metrics = agent.metrics();
        Ok(Self { api, answers, agent, control, desk, store, status, metrics, associated, lock })
    }

    /// Where it is reached.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// Where metrics and probes are.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// What became of the associations that were asked for.
    pub(crate) fn associated(&self) -> &[AssociateReply] {
        &self.associated
    }

    /// Whether any service account has a role.
    pub(crate) async fn has_associations(&self) -> bool {
        let first = self.store.page(&Filter::default(), None, 1).await;
        first.is_ok_and(|page| !page.associations.is_empty())
    }

    /// Its readiness, to revoke before it stops.
    pub(crate) fn readiness(&self) -> Readiness {
        self.agent.readiness()
    }

    /// Serves until the drain is over.
    ///
    /// # Errors
    /// When a part ends that should not have; the others are then cut, since a system without it is of no use.
    pub(crate) async fn serve(self, drain: DrainWatch) -> Result<(), PartEnded> {
        let unless = |stopping: bool, part| if stopping { Ok(()) } else { Err(PartEnded(part)) };
        let agent = async {
            self.agent.serve(drain.clone()).await;
            unless(drain.has_started(), "agent")
        };
        let control = async {
            self.control.serve(self.desk, drain.clone()).await;
            unless(drain.has_started(), "control socket")
        };
        // The agent's last exchanges need the API, so the API has a drain of its own that starts when the agent is done.
        let behind = Drain::new();
        let in_front = async {
            tokio::try_join!(agent, control)?;
            let _ = behind.within(API_PATIENCE).await;
            Ok(())
        };
        let api = async {
            self.api.serve(self.answers, behind.watch()).await;
            unless(behind.has_started(), "EKS Auth API")
        };
        let ended = tokio::try_join!(api, in_front);
        drop(self.lock);
        ended.map(|((), ())| ())
    }
}

/// A part of a running system is gone.
#[derive(Debug, Error)]
#[error("the {0} of this system broke; the log above says how, please report it")]
pub(crate) struct PartEnded(&'static str);

/// What outlives the process, unless it is ephemeral.
struct Kept {
    store: Arc<dyn AssociationStore>,
    signing_key: SigningKey,
    access_key: AccessKey,
}

impl Kept {
    fn of(settings: &Settings) -> Result<Self, OpenError> {
        let (folder, account, limit) =
            (&settings.folder, &settings.cluster.account, settings.max_associations);
        if settings.ephemeral {
            return Ok(Self {
                store: Arc::new(MemoryStore::new().with_limit(limit)),
                signing_key: SigningKey::ephemeral(settings.signing_key.unwrap_or_default())?,
                access_key: AccessKey::long_term(account),
            });
        }
        Ok(Self {
            store: Arc::new(EmbeddedStore::open(&folder.database())?.with_limit(limit)),
            signing_key: SigningKey::kept_in(&folder.signing_key(), settings.signing_key)?,
            access_key: folder.access_key(account)?,
        })
    }
}

async fn assumer(settings: &Settings, clock: Clock) -> Arc<dyn RoleAssumer> {
    match &settings.sts {
        StsSettings::Embedded => Arc::new(DevelopmentSts::new(clock)),
        StsSettings::Aws { endpoint, transport } => {
            let region = &settings.cluster.region;
            let time = SharedTimeSource::new(SdkClock(clock));
            Arc::new(
                Sts::connect(region, endpoint.as_deref(), TransportSettings::clone(transport), time).await,
            )
        }
    }
}

/// The agent as on a node, but for its addresses and for whom it calls.
fn agent(
    settings: &Settings,
    url: &str,
    key: &AccessKey,
    keys: Arc<dyn KeySource>,
    clock: Clock,
) -> Result<Agent, OpenError> {
    let agent = agent::Settings {
        bind_hosts: vec![BindHost { address: Ipv4Addr::LOCALHOST.into(), required: true }],
        port: settings.agent_port,
        // The metrics port answers probes too; nobody needs to know where these are.
        probe_port: 0,
        metrics_address: Ipv4Addr::LOCALHOST.into(),
        metrics_port: settings.metrics_port,
        endpoint: Some(url.to_owned()),
        instance_metadata: false,
        ..agent::Settings::for_cluster(settings.cluster.name.clone())
    };
    let upstream = eks_auth::UpstreamSettings {
        region: Some(settings.cluster.region.clone()),
        credentials: OwnCredentials::Fixed {
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
        },
        node: NodeDetails::default(),
        ..agent.upstream(settings.cluster.name.clone())
    };
    let upstream = EksAuthUpstream::new(upstream, clock);
    let world = World {
        clock,
        chance: Chance::system(),
        upstream,
        pod_source: None,
        node_taints: None,
        predecessor: None,
        log_level: None,
        key_sources: vec![keys],
        registry: Registry::new(),
    };
    Agent::open(&agent, world).map_err(|error| match error {
        agent::OpenError::Bind(bind)
            if bind.address.port() == settings.metrics_port && settings.metrics_port != 0 =>
        {
            OpenError::Port { bind, flag: "--metrics-port" }
        }
        agent::OpenError::Bind(bind) => OpenError::Port { bind, flag: "--agent-port" },
        other => OpenError::Agent(other),
    })
}

async fn associate_all(
    settings: &Settings,
    store: &dyn AssociationStore,
    clock: Clock,
) -> Result<Vec<AssociateReply>, OpenError> {
    let mut associated = Vec::new();
    for pairing in &settings.associate {
        let request = AssociateRequest::new(pairing.account.clone(), pairing.role_arn.clone());
        let done = associate(store, request, clock.now()).await.map_err(|source| OpenError::Associate {
            account: format!("{}/{}", pairing.account.namespace, pairing.account.service_account),
            source,
        })?;
        associated.push(done);
    }
    Ok(associated)
}
