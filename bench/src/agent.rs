//! The agent under test.

use std::net::SocketAddr;
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

/// Fair shares that no load here can use up. All of it comes from the node's own address, where tokens tell sources apart: one
/// token asked for as fast as possible, or many new ones at once, are a flood to the agent.
pub(crate) const UNSHARED: [&str; 6] = [
    "--source-request-rate",
    "10000000",
    "--source-exchange-rate",
    "10000000",
    "--exchange-rate",
    "10000000",
];

/// Starts it.
pub(crate) fn start(settings: &Settings, place: Place) -> Result<Process> {
    start_one(settings, place, "agent", [AGENT, AGENT_PROBES, AGENT_METRICS], &UNSHARED)
}

/// Starts one of several, at these addresses (for pods, probes and metrics), with these flags.
pub(crate) fn start_one(
    settings: &Settings,
    place: Place,
    name: &str,
    addresses: [SocketAddr; 3],
    flags: &[&str],
) -> Result<Process> {
    start_in(settings, place, name, addresses, flags, [])
}

/// The same, in an environment that has these variables too.
pub(crate) fn start_in(
    settings: &Settings,
    place: Place,
    name: &str,
    [pods, probes, metrics]: [SocketAddr; 3],
    flags: &[&str],
    environment: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<Process> {
    let mut command = match place {
        Place::Pinned => machine::pinned(SERVER_CORE, &settings.agent),
        Place::Anywhere => Command::new(&settings.agent),
    };
    command.args(["server", "--cluster-name", "bench", "--verbosity", "info"]);
    command.args(["--bind-hosts", &pods.ip().to_string(), "--port", &pods.port().to_string()]);
    command.args(["--probe-port", &probes.port().to_string()]);
    command.args(["--metrics-address", &metrics.ip().to_string()]);
    command.args(["--metrics-port", &metrics.port().to_string()]);
    command.args(["--endpoint", &format!("http://{UPSTREAM}")]);
    // All load comes from one address here; on a node it comes from as many as there are pods.
    command.args(["--max-connections-per-peer", "4096"]);
    command.args(flags).args(&settings.agent_flags);
    command.env("AWS_REGION", "us-west-2");
    command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    command.env("AWS_SECRET_ACCESS_KEY", "x");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(environment);
    Process::spawn(command, &settings.work.join(format!("{name}.log")), Ending::Kill)
}
