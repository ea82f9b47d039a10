//! Whether the pods of this node are watched, and what that is used for.

use runtime::Environment;

use super::Choice;
use super::mistakes::{Mistake, Reader};
use crate::api_server::ApiServerSettings;
use crate::command::ServerFlags;
use crate::endpoint::SourceCheck;

/// What is done with the pods of this node.
#[derive(Clone, Debug, Default)]
pub struct PodSettings {
    /// Whose pods are watched, and who tells of them; nobody, if they are not.
    pub watch: Option<PodWatch>,
    /// How strictly the source of a request is looked at.
    pub source_check: SourceCheck,
}

/// A watch of pods.
#[derive(Clone, Debug)]
pub struct PodWatch {
    /// Who tells of them.
    pub api_server: ApiServerSettings,
    /// The node's name.
    pub node: String,
}

impl PodSettings {
    pub(super) fn read(
        flags: &ServerFlags,
        environment: &impl Environment,
        api_server: Option<&ApiServerSettings>,
        reader: &mut Reader,
    ) -> Self {
        let mut settings = Self::default();
        let mut watch = Choice::Auto;
        reader.set("--pod-watch", flags.pod_watch.as_deref(), &mut watch);
        reader.set("--verify-source", flags.verify_source.as_deref(), &mut settings.source_check);
        let node = environment.get("NODE_NAME").filter(|node| !node.is_empty());
        let possible = api_server.cloned().zip(node).map(|(api_server, node)| PodWatch { api_server, node });
        if watch == Choice::On && possible.is_none() {
            let allowed = "on in a cluster only, where KUBERNETES_SERVICE_HOST and NODE_NAME are set";
            reader.add(Mistake::new("--pod-watch", "on", allowed));
        }
        settings.watch = if watch == Choice::Off { None } else { possible };
        if settings.source_check != SourceCheck::Off && settings.watch.is_none() {
            let given = flags.verify_source.as_deref().unwrap_or_default();
            let allowed = "off without --pod-watch, which tells the pods' addresses";
            reader.add(Mistake::new("--verify-source", given, allowed));
        }
        settings
    }
}
