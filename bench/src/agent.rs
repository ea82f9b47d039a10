//! The agent under test.

use std::process::Command;

use anyhow::Result;

use crate::machine::{self, SERVER_CORE};
use crate::process::{Ending, Process};
use crate::settings::{AGENT, AGENT_METRICS, AGENT_PROBES, Settings, UPSTREAM};

/// Where the scheduler puts a server.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// On the server's core.
    Pinned,
    /// Wherever it likes; without the time that pinning takes.
    Anywhere,
}

/// Starts it.
pub(crate) fn start(settings: &Settings, place: Place) -> Result<Process> {
    let mut command = match place {
        Place::Pinned => machine::pinned(SERVER_CORE, &settings.agent),
        Place::Anywhere => Command::new(&settings.agent),
    };
    command.args(["server", "--cluster-name", "bench", "--verbosity", "info"]);
    command.args(["--bind-hosts", &AGENT.ip().to_string(), "--port", &AGENT.port().to_string()]);
    command.args(["--probe-port", &AGENT_PROBES.port().to_string()]);
    command.args(["--metrics-address", &AGENT_METRICS.ip().to_string()]);
    command.args(["--metrics-port", &AGENT_METRICS.port().to_string()]);
    command.args(["--endpoint", &format!("http://{UPSTREAM}")]);
    // All load comes from one address here; on a node it comes from as many as there are pods.
    command.args(["--max-connections-per-peer", "4096"]);
    command.args(&settings.agent_flags);
    command.env("AWS_REGION", "us-west-2");
    command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    command.env("AWS_SECRET_ACCESS_KEY", "x");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    Process::spawn(command, &settings.work.join("agent.log"), Ending::Kill)
}
