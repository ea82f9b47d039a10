//! Which taint keeps pods off a new node until the agent can serve them.

use runtime::Environment;

use super::mistakes::{Mistake, Reader};
use crate::api_server::ApiServerSettings;
use crate::command::ServerFlags;

/// A taint that is removed from this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupTaint {
    /// Its key.
    pub key: String,
    /// Who has the node.
    pub api_server: ApiServerSettings,
    /// The node's name.
    pub node: String,
}

impl StartupTaint {
    pub(super) fn read(
        flags: &ServerFlags,
        environment: &impl Environment,
        api_server: Option<&ApiServerSettings>,
        reader: &mut Reader,
    ) -> Option<Self> {
        let key = flags.remove_startup_taint.as_deref().filter(|key| !key.is_empty())?;
        let node = environment.get("NODE_NAME").filter(|node| !node.is_empty());
        let Some((api_server, node)) = api_server.cloned().zip(node) else {
            let allowed = "given in a cluster only, where KUBERNETES_SERVICE_HOST and NODE_NAME are set";
            reader.add(Mistake::new("--remove-startup-taint", key, allowed));
            return None;
        };
        // Kubernetes' qualified names: a name of 63 characters at most, after the name of a domain if there is a slash.
        let name = key.rsplit('/').next().unwrap_or_default();
        let is_letter = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
        if name.is_empty() || name.len() > 63 || key.matches('/').count() > 1 || !key.chars().all(is_letter) {
            reader.add(Mistake::new(
                "--remove-startup-taint",
                key,
                "the key of a taint, such as example.com/not-ready",
            ));
            return None;
        }
        Some(Self { key: key.to_owned(), api_server, node })
    }
}
