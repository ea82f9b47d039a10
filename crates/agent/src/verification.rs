//! Who a token speaks for, as far as this node can tell by itself. What it cannot tell is EKS Auth's to say, and such a
//! token stands for nothing but itself. Keys that are missing or out of date never refuse anybody.

mod copy;
mod keyring;
mod metrics;
mod refresh;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eks_auth::{Transport, TransportSettings};
use futures_util::future::join_all;
use identity::{PodIdentity, ServiceAccountToken};
use runtime::{Chance, Clock, DrainWatch};
use tracing::{info, warn};

use crate::api_server::ApiServer;
use crate::refusal::Refusal;
use crate::session::{Owner, PodUid};
use crate::settings::SigningKeySettings;
use copy::Copy;
pub use copy::HandedKeys;
use keyring::{Judgement, Keyring};
use metrics::Verdict;
pub use metrics::VerificationMetrics;
pub use source::{
    ApiServerKeys, FetchError, InProcessKeys, KeyFile, KeySet, KeySource, PublishedKeys, Reliance,
    SourceKind, is_protected,
};

/// How long a token waits for keys that may know it. Less than a second, which is all that some SDKs wait.
const WORTH_A_WAIT: Duration = Duration::from_millis(750);

/// How tokens are checked.
#[derive(Clone, Debug)]
pub struct VerificationPolicy {
    /// How often sources are asked for their keys.
    pub refresh: Duration,
    /// The age from which keys are not used any more.
    pub max_age: Duration,
    /// Where the last good keys are kept on disk, if they are.
    pub copy: Option<PathBuf>,
    /// The node's name in Kubernetes, where it is known.
    pub node: Option<String>,
}

impl Default for VerificationPolicy {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(10 * 60),
            max_age: Duration::from_secs(24 * 3_600),
            copy: None,
            node: None,
        }
    }
}

/// The sources that the settings name. One that cannot be used is left out, said aloud: the agent serves without it.
pub fn sources(settings: &SigningKeySettings, transport: &TransportSettings) -> Vec<Arc<dyn KeySource>> {
    let mut sources: Vec<Arc<dyn KeySource>> = Vec::new();
    let reliance = settings.reliance.unwrap_or(Reliance::Whole);
    if let Some(path) = &settings.file {
        sources.push(Arc::new(KeyFile::new(path.clone(), settings.file_issuer.clone(), reliance)));
    }
    for url in &settings.issuers {
        let transport = Transport::new(transport.clone());
        sources.push(Arc::new(PublishedKeys::new(url.clone(), transport, reliance)));
    }
    match settings.api_server.as_ref().map(ApiServer::new) {
        Some(Ok(api_server)) => sources.push(Arc::new(ApiServerKeys::new(api_server, settings.reliance))),
        Some(Err(error)) => warn!(
            error = &error as &dyn std::error::Error,
            "the API server cannot be asked for the keys that sign tokens, the agent goes on without them"
        ),
        None => {}
    }
    if sources.is_empty() {
        info!("tokens are not checked on this node, EKS Auth does: no source of signing keys is known");
    }
    sources
}

/// The check of tokens on this node. Clones share it.
#[derive(Clone)]
pub struct Verification(Arc<Shared>);

struct Shared {
    keyring: Keyring,
    copy: Option<Copy>,
    pace: Duration,
    node: Option<String>,
    clock: Clock,
    chance: Chance,
    metrics: VerificationMetrics,
}

impl Verification {
    /// Checks tokens against the keys of these sources; with none, it knows nothing of any token. Asks nobody yet.
    pub fn new(
        sources: Vec<Arc<dyn KeySource>>,
        policy: VerificationPolicy,
        clock: Clock,
        chance: Chance,
        metrics: VerificationMetrics,
    ) -> Self {
        metrics.expects(sources.iter().map(|source| source.kind()), policy.max_age);
        let keyring = Keyring::new(sources, policy.max_age);
        let copy = policy.copy.map(Copy::at);
        if let Some(copy) = &copy {
            copy.restore(&keyring, clock.now());
        }
        Self(Arc::new(Shared {
            keyring,
            copy,
            pace: policy.refresh,
            node: policy.node,
            clock,
            chance,
            metrics,
        }))
    }

    /// The keys at hand, for the agent that takes this one's place.
    pub fn hand_over(&self) -> HandedKeys {
        HandedKeys::of(&self.0.keyring)
    }

    /// Takes over the keys of the agent before. Of sources that this one does not have, none.
    pub fn take_over(&self, keys: HandedKeys) {
        keys.restore(&self.0.keyring, self.0.clock.now());
    }

    /// Keeps the keys current until the drain starts.
    pub async fn keep_current(&self, drain: DrainWatch) {
        let refreshes = self.0.keyring.slots.iter().map(|slot| refresh::run(&self.0, slot));
        tokio::select! {
            () = drain.started() => {}
            () = async {
                join_all(refreshes).await;
                // No sources, nothing to do.
                std::future::pending::<()>().await;
            } => {}
        }
    }

    /// Whose session a token may share: its pod's if the cluster has signed that, else its own alone. The token's times and
    /// audience have been looked at already.
    ///
    /// # Errors
    /// When it is certain that EKS Auth would refuse the token, or that it belongs to another node.
    pub async fn owner(&self, token: &ServiceAccountToken) -> Result<Owner, Refusal> {
        let shared = &self.0;
        if shared.keyring.slots.is_empty() {
            return Ok(Owner::Token(token.digest()));
        }
        let mut judgement = shared.keyring.judge(token, shared.clock.now());
        // A key may have been replaced under its old id, so a forgery is worth a question too, if the pace allows one.
        if judgement != Judgement::Signed && shared.keyring.learn(token, WORTH_A_WAIT).await {
            judgement = shared.keyring.judge(token, shared.clock.now());
        }
        let (verdict, owner) = match judgement {
            Judgement::Signed => self.of_pod(token),
            Judgement::Forged => (Verdict::Forged, Err(Refusal::TokenForged)),
            Judgement::Unknown(why) => (Verdict::Unknown(why), Ok(Owner::Token(token.digest()))),
        };
        shared.metrics.checked(verdict);
        owner
    }

    /// The owner of a token that the cluster has signed.
    fn of_pod(&self, token: &ServiceAccountToken) -> (Verdict, Result<Owner, Refusal>) {
        let Some(PodIdentity { pod, node, .. }) = token.claims().pod() else {
            return (Verdict::NotOfAPod, Ok(Owner::Token(token.digest())));
        };
        match (node, &self.0.node) {
            (Some(node), Some(ours)) if node.name != *ours => {
                let refusal = Refusal::TokenOfAnotherNode { node: node.name, ours: ours.clone() };
                (Verdict::AnotherNode, Err(refusal))
            }
            _ => (Verdict::Verified, Ok(Owner::Pod(PodUid::verified(&pod.uid)))),
        }
    }
}

#[cfg(test)]
mod tests;
