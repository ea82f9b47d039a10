//! `pod-identity doctor`: why pods of this node get no credentials. Looks at everything that a request passes, changes nothing, and
//! names each fault once, with what to do.

mod agent_process;
mod agent_side;
mod cause;
mod endpoint;
mod finding;
mod firewall;
mod keys;
mod listening;
mod node;
mod pod;
mod proxy;
mod report;

use std::net::{IpAddr, SocketAddr};

use agent::Settings;
use agent::command::{self, Asked, ServerFlags};
use agent::settings::BindHost;
use futures_util::future::join_all;
use runtime::Clock;
use runtime::environment::ProcessEnvironment;
use thiserror::Error;

use crate::command::Doctor;
use crate::proc::Variables;
use agent_process::AgentProcess;
pub(crate) use agent_process::NotThatOne;
use cause::Cause;
use endpoint::{Listener, Running, Who};
use finding::Finding;
pub(crate) use pod::{ask, ask_from};
pub(crate) use report::Report;

/// Nothing was looked at.
#[derive(Debug, Error)]
pub(crate) enum DoctorError {
    /// The process that was named is no agent.
    #[error(transparent)]
    AgentPid(#[from] NotThatOne),
}

/// Looks at everything.
///
/// # Errors
/// When what was named is not there.
pub(crate) async fn examine(asked: &Doctor, clock: Clock) -> Result<Report, DoctorError> {
    let agent = match (asked.agent_pid, &asked.agent) {
        (Some(pid), _) => Some(AgentProcess::with_id(pid)?),
        // During a hand-over, the one that stays.
        (None, None) => AgentProcess::find().pop(),
        (None, Some(_)) => None,
    };
    let settings = settings(agent.as_ref());
    let addresses = match asked.agent {
        Some(address) => vec![(address, true)],
        None => settings
            .bind_hosts
            .iter()
            .map(|host| (SocketAddr::new(host.address, settings.port), host.required))
            .collect(),
    };
    let agents: Vec<SocketAddr> = addresses.iter().map(|(address, _)| *address).collect();
    let (own_side, node_side, pod_side) = tokio::join!(
        agent_side(asked, agent.as_ref(), clock),
        node_side(asked, agent.as_ref(), &settings, &addresses, clock),
        async {
            match asked.pid {
                Some(pid) => pod::look(pid, &agents, clock.now()).await,
                None => Vec::new(),
            }
        }
    );
    Ok(Report::new([own_side, node_side, pod_side].concat()))
}

/// The part that runs with an agent's environment: findings as JSON.
pub(crate) async fn look_as_agent(line: &[String], clock: Clock) -> String {
    let findings = match command::read(line.iter().cloned()) {
        Ok(Asked::Serve(flags)) => agent_side::look(&flags, &ProcessEnvironment, clock).await,
        _ => Vec::new(),
    };
    serde_json::to_string(&findings).expect("findings have only members that JSON can hold")
}

/// Where the agent listens, by its flags; its mistakes are told by whoever looks with its environment.
fn settings(agent: Option<&AgentProcess>) -> Settings {
    let flags = agent.map_or_else(ServerFlags::default, |agent| agent.flags.clone());
    let unnamed = || Settings::for_cluster("unknown".parse().expect("a valid cluster name"));
    let mut variables = agent.and_then(|agent| agent.variables.clone()).unwrap_or_default();
    // Its files are not ours to read here.
    variables.0.remove("AWS_CA_BUNDLE");
    Settings::read(&flags, &variables).unwrap_or_else(|_| unnamed())
}

async fn agent_side(asked: &Doctor, agent: Option<&AgentProcess>, clock: Clock) -> Vec<Finding> {
    let Some(agent) = agent else {
        if asked.agent.is_some() {
            return Vec::new();
        }
        let mut findings = agent_side::look_without_agent(&ProcessEnvironment, clock).await;
        findings.push(Finding::note(
            Cause::AgentProcessUnknown,
            "no process of an agent is seen in this network",
            "name it with --agent-pid, or run this command as root on the node",
        ));
        return findings;
    };
    let mut findings = agent_side::look_as(agent).await;
    findings.push(Finding::ok(Cause::AgentProcess, format!("the agent is process {}", agent.pid)));
    findings
}

async fn node_side(
    asked: &Doctor,
    agent: Option<&AgentProcess>,
    settings: &Settings,
    addresses: &[(SocketAddr, bool)],
    clock: Clock,
) -> Vec<Finding> {
    let hosts: Vec<BindHost> = addresses
        .iter()
        .map(|(address, required)| BindHost { address: address.ip(), required: *required })
        .collect();
    // Another machine, or dev: its network is not a node's.
    let is_node = asked.agent.is_none_or(|address| node::is_awss(address.ip()));
    let watched: Vec<(IpAddr, u16)> =
        addresses.iter().map(|(address, _)| (address.ip(), address.port())).collect();
    let (mut link, firewall, listeners) = tokio::join!(
        async { if is_node { node::look(&hosts).await } else { Vec::new() } },
        async { if is_node { firewall::look(&watched).await } else { Vec::new() } },
        join_all(addresses.iter().map(|(address, required)| endpoint::ask(*address, *required))),
    );
    let running = match (agent, asked.agent) {
        (Some(_), _) => Running::Yes,
        (None, None) => Running::No,
        (None, Some(_)) => Running::Unknown,
    };
    link.extend(firewall);
    link.extend(endpoint::judge(&listeners, running));
    link.extend(http_proxy(agent, &listeners));
    let is_ours = listeners.iter().any(|listener| listener.who == Who::Ours);
    if agent.is_some() || asked.agent.is_none() && is_ours {
        let metrics = SocketAddr::new(settings.metrics_address, settings.metrics_port);
        let (probes, keys) = tokio::join!(
            endpoint::ask_probes(settings.probe_port),
            keys::look(metrics, settings.signing_keys.refresh, clock.now()),
        );
        link.extend(probes);
        link.extend(keys);
    }
    link
}

/// AWS's agent asks its own address as any client would.
fn http_proxy(agent: Option<&AgentProcess>, listeners: &[Listener]) -> Option<Finding> {
    let variables: &Variables = agent?.variables.as_ref()?;
    let awss = listeners.iter().find(|listener| listener.who == Who::Awss)?;
    let (name, _) = proxy::variable(variables, "HTTP_PROXY")?;
    let exceptions = proxy::variable(variables, "NO_PROXY").map(|(_, list)| list).unwrap_or_default();
    (!proxy::is_excepted(&exceptions, &awss.address.ip().to_string())).then(|| {
        Finding::warning(
            Cause::AgentHttpProxy,
            format!("the agent has {name}, and its NO_PROXY does not leave {} out", awss.address.ip()),
            "add 169.254.170.23,fd00:ec2::23,localhost,127.0.0.1 to NO_PROXY of the agent",
        )
    })
}
