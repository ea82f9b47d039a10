//! One `pod-identity dev`, with a folder and ports of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use control_plane::issuer::KeyKind;

use super::caller::Caller;
use crate::machine::{self, SERVER_CORE};
use crate::process::{Ending, Process};
use crate::settings::{AssociationSettings, development_ports};
use crate::start;

/// More than the largest size, so that creates are possible there.
const MOST: &str = "30000";

/// Where a system keeps its associations.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Keeping {
    /// In its folder; tokens are signed with a key of that kind.
    OnDisk(KeyKind),
    /// Nowhere.
    InMemory,
}

/// A system that runs, on the server's core.
pub(super) struct System {
    pub(super) process: Process,
    /// Where EKS and EKS Auth are.
    pub(super) api: SocketAddr,
    /// Signs calls to it.
    pub(super) caller: Caller,
    /// The key that signs its tokens, where it is kept.
    pub(super) signing_key: PathBuf,
}

impl System {
    /// Starts it, with the state that is in its folder.
    pub(super) async fn start(
        settings: &AssociationSettings,
        name: &str,
        number: u16,
        keeping: Keeping,
    ) -> Result<Self> {
        let folder = settings.work.join(name);
        let [agent, api, metrics] = development_ports(number);
        let mut command = machine::pinned(SERVER_CORE, &settings.pod_identity);
        command.args(["dev", "--max-associations", MOST, "--agent-port", &agent.port().to_string()]);
        command.args(["--api-port", &api.port().to_string(), "--metrics-port", &metrics.port().to_string()]);
        command.args(match keeping {
            Keeping::OnDisk(KeyKind::Rsa) => ["--signing-key", "rsa"].as_slice(),
            Keeping::OnDisk(KeyKind::Ec) => &["--signing-key", "ec"],
            Keeping::InMemory => &["--ephemeral"],
        });
        command.arg("--data").arg(&folder);
        let log = settings.work.join(format!("{name}.log"));
        let mut process = Process::spawn(command, &log, Ending::Terminate)?;
        start::healthy(&mut process, metrics).await?;

        let mut keys = Command::new(&settings.pod_identity);
        let keys = keys.args(["dev", "keys", "--data"]).arg(&folder).output().context("keys")?;
        ensure!(keys.status.success(), "dev keys: {}", String::from_utf8_lossy(&keys.stderr));
        let caller = Caller::new(&String::from_utf8_lossy(&keys.stdout), api)?;
        Ok(Self { process, api, caller, signing_key: folder.join("signing-key.pem") })
    }

    /// The `iss` of its tokens.
    pub(super) fn issuer(&self) -> String {
        format!("http://{}", self.api)
    }
}

/// Gives a system that was never started the associations of one that is stopped.
pub(super) fn copy(settings: &AssociationSettings, from: &str, to: &str) -> Result<()> {
    let database = |name: &str| settings.work.join(name).join("associations.redb");
    fs::create_dir_all(settings.work.join(to))?;
    fs::copy(database(from), database(to)).context("the associations cannot be copied")?;
    Ok(())
}
