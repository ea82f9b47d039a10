//! The startup taint: keeps pods off a new node until the agent can serve them. Whoever makes nodes (Karpenter, a node group) gives them
//! the taint; the agent takes it away once it has seen for itself that it works.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use runtime::chance::part;
use runtime::{Chance, DrainWatch};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tracing::{info, warn};

use crate::api_server::{ApiServer, ApiServerError, node_path};
use crate::settings::StartupTaint;

/// How often the agent looks at itself until it can serve.
const BETWEEN_SELF_CHECKS: Duration = Duration::from_millis(250);

/// How often the node is looked at afterwards: whoever made it may put the taint back.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5 * 60);

/// The pause after a first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The API server is not asked less often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The taints of a node could not be read or changed.
#[derive(Debug, Error)]
pub enum TaintError {
    /// The API server cannot be asked, or refused.
    #[error(transparent)]
    ApiServer(#[from] ApiServerError),
    /// Somebody has changed them meanwhile.
    #[error("the node's taints were changed by somebody else meanwhile")]
    Changed,
    /// What came is no node.
    #[error("what the API server sent is no node")]
    Malformed(#[source] serde_json::Error),
}

/// The taints of this node.
pub trait NodeTaints: Send + Sync {
    /// As they are, as Kubernetes writes them.
    fn read(&self) -> BoxFuture<'_, Result<Vec<Value>, TaintError>>;

    /// Makes them `next`, if they are still `before`.
    fn replace<'a>(&'a self, before: &'a [Value], next: &'a [Value])
    -> BoxFuture<'a, Result<(), TaintError>>;
}

/// Whether the agent can do its work: its listeners answer, and it has credentials of its own.
pub trait SelfCheck: Send + Sync {
    /// What is missing, in words.
    fn missing(&self) -> BoxFuture<'_, Option<String>>;
}

/// Keeps the taint `key` off the node, from when the self-check passes until the drain starts.
pub async fn keep_off(
    key: &str,
    taints: &dyn NodeTaints,
    check: &dyn SelfCheck,
    chance: &Chance,
    drain: DrainWatch,
) {
    tokio::select! {
        () = drain.started() => {}
        () = keep_off_forever(key, taints, check, chance) => {}
    }
}

async fn keep_off_forever(key: &str, taints: &dyn NodeTaints, check: &dyn SelfCheck, chance: &Chance) {
    let mut failures = 0_u32;
    let mut told: Option<String> = None;
    loop {
        until_it_passes(key, check).await;
        let pause = match take_off(key, taints).await {
            Ok(was_there) => {
                if was_there {
                    info!(taint = key, "the node is open for pods: its startup taint is removed");
                }
                (failures, told) = (0, None);
                BETWEEN_LOOKS
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let text = error.to_string();
                if told.as_ref() != Some(&text) && !matches!(error, TaintError::Changed) {
                    warn!(
                        taint = key,
                        error = &error as &dyn std::error::Error,
                        "the startup taint cannot be removed, pods are kept off this node: let the agent's service account get \
                         and patch nodes"
                    );
                    told = Some(text);
                }
                FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST_PAUSE)
            }
        };
        tokio::time::sleep(pause - part(pause / 5, chance.draw())).await;
    }
}

/// Waits until the agent can serve.
async fn until_it_passes(key: &str, check: &dyn SelfCheck) {
    let mut told: Option<String> = None;
    while let Some(missing) = check.missing().await {
        if told.as_ref() != Some(&missing) {
            info!(taint = key, missing, "the startup taint stays on the node until the agent can serve");
            told = Some(missing);
        }
        tokio::time::sleep(BETWEEN_SELF_CHECKS).await;
    }
}

/// Takes the taint off. Whether it was there.
async fn take_off(key: &str, taints: &dyn NodeTaints) -> Result<bool, TaintError> {
    let before = taints.read().await?;
    let (ours, others): (Vec<Value>, Vec<Value>) =
        before.iter().cloned().partition(|taint| taint["key"].as_str() == Some(key));
    if ours.is_empty() {
        return Ok(false);
    }
    taints.replace(&before, &others).await?;
    Ok(true)
}

/// The taints of this node, by the settings. Nobody's, said aloud, if they cannot be had.
pub fn of_node(settings: Option<&StartupTaint>) -> Option<Arc<dyn NodeTaints>> {
    let StartupTaint { key, api_server, node } = settings?;
    match ApiServer::new(api_server) {
        Ok(api_server) => Some(Arc::new(ApiServerTaints::new(api_server, node))),
        Err(error) => {
            warn!(
                taint = key,
                error = &error as &dyn std::error::Error,
                "the startup taint cannot be removed, pods are kept off this node"
            );
            None
        }
    }
}

/// The taints of a node, as the API server has them.
pub struct ApiServerTaints {
    api_server: ApiServer,
    path: String,
}

impl ApiServerTaints {
    /// Those of the node with this name.
    pub fn new(api_server: ApiServer, node: &str) -> Self {
        Self { api_server, path: node_path(node) }
    }
}

impl NodeTaints for ApiServerTaints {
    fn read(&self) -> BoxFuture<'_, Result<Vec<Value>, TaintError>> {
        #[derive(Deserialize)]
        struct Node {
            #[serde(default)]
            spec: Spec,
        }
        #[derive(Default, Deserialize)]
        struct Spec {
            #[serde(default)]
            taints: Option<Vec<Value>>,
        }
        Box::pin(async move {
            let document = self.api_server.get(&self.path).await?;
            let node: Node = serde_json::from_slice(&document).map_err(TaintError::Malformed)?;
            Ok(node.spec.taints.unwrap_or_default())
        })
    }

    fn replace<'a>(
        &'a self,
        before: &'a [Value],
        next: &'a [Value],
    ) -> BoxFuture<'a, Result<(), TaintError>> {
        // RFC 6902. The test makes it a change of what was read, and of nothing else: nodes change all the time.
        let patch = json!([
            { "op": "test", "path": "/spec/taints", "value": before },
            { "op": "replace", "path": "/spec/taints", "value": next },
        ]);
        Box::pin(async move {
            match self.api_server.patch(&self.path, patch.to_string()).await {
                Err(ApiServerError::Refused { status: 409 | 422, .. }) => Err(TaintError::Changed),
                done => Ok(done?),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use runtime::Drain;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    const KEY: &str = "eks-pod-identity-agent/not-ready";

    #[derive(Default)]
    struct Node {
        taints: Mutex<Vec<Value>>,
        /// What somebody else does between reading and changing.
        meanwhile: Mutex<Option<Value>>,
        is_forbidden: Mutex<bool>,
        missing: Mutex<Option<String>>,
        reads: Mutex<usize>,
    }

    impl NodeTaints for Node {
        fn read(&self) -> BoxFuture<'_, Result<Vec<Value>, TaintError>> {
            *self.reads.lock().unwrap() += 1;
            let read = match *self.is_forbidden.lock().unwrap() {
                true => {
                    let (path, message) = ("/api/v1/nodes/n".to_owned(), "no".to_owned());
                    Err(ApiServerError::Forbidden { path, message }.into())
                }
                false => Ok(self.taints.lock().unwrap().clone()),
            };
            Box::pin(std::future::ready(read))
        }

        fn replace<'a>(
            &'a self,
            before: &'a [Value],
            next: &'a [Value],
        ) -> BoxFuture<'a, Result<(), TaintError>> {
            let mut taints = self.taints.lock().unwrap();
            taints.extend(self.meanwhile.lock().unwrap().take());
            let is_as_before = taints.as_slice() == before;
            if is_as_before {
                *taints = next.to_vec();
            }
            let done = if is_as_before { Ok(()) } else { Err(TaintError::Changed) };
            Box::pin(std::future::ready(done))
        }
    }

    impl SelfCheck for Node {
        fn missing(&self) -> BoxFuture<'_, Option<String>> {
            Box::pin(std::future::ready(self.missing.lock().unwrap().clone()))
        }
    }

    fn taint(key: &str) -> Value {
        json!({ "key": key, "effect": "NoSchedule" })
    }

    fn node(keys: &[&str]) -> Arc<Node> {
        let node = Node::default();
        *node.taints.lock().unwrap() = keys.iter().map(|key| taint(key)).collect();
        Arc::new(node)
    }

    fn start(node: &Arc<Node>) -> AbortOnDropHandle<()> {
        let node = Arc::clone(node);
        AbortOnDropHandle::new(tokio::spawn(async move {
            keep_off(KEY, &*node, &*node, &Chance::seeded(0), Drain::new().watch()).await;
        }))
    }

    fn keys(node: &Node) -> Vec<String> {
        node.taints.lock().unwrap().iter().map(|taint| taint["key"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_taint_goes_when_the_agent_can_serve_and_not_before_and_others_stay() {
        let node = node(&["other", KEY]);
        *node.missing.lock().unwrap() = Some("no credentials".to_owned());
        let _task = start(&node);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(keys(&node), ["other", KEY]);
        *node.missing.lock().unwrap() = None;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(keys(&node), ["other"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_taint_that_somebody_puts_back_is_removed_again_without_a_storm() {
        let node = node(&[KEY]);
        let _task = start(&node);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(keys(&node), Vec::<String>::new());
        node.taints.lock().unwrap().push(taint(KEY));
        tokio::time::sleep(BETWEEN_LOOKS).await;
        assert_eq!(keys(&node), Vec::<String>::new());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(*node.reads.lock().unwrap() <= 20, "{}", node.reads.lock().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_else_changes_meanwhile_is_not_lost() {
        let node = node(&[KEY]);
        *node.meanwhile.lock().unwrap() = Some(taint("spot-interruption"));
        let _task = start(&node);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(keys(&node), ["spot-interruption"]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_permission_it_is_tried_again_with_growing_pauses_until_there_is_one() {
        let node = node(&[KEY]);
        *node.is_forbidden.lock().unwrap() = true;
        let _task = start(&node);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let reads = *node.reads.lock().unwrap();
        assert!((50..=90).contains(&reads), "{reads} in an hour");
        *node.is_forbidden.lock().unwrap() = false;
        tokio::time::sleep(LONGEST_PAUSE).await;
        assert_eq!(keys(&node), Vec::<String>::new());
    }
}
