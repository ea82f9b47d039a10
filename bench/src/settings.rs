//! What the command line and the environment ask for. Nothing else reads either.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::open_loop::{Connections, Load};

/// Where everything listens: loopback only.
pub(crate) const AGENT: SocketAddr = local(18080);
/// The agent's probes.
pub(crate) const AGENT_PROBES: SocketAddr = local(18081);
/// The agent's metrics.
pub(crate) const AGENT_METRICS: SocketAddr = local(18082);
/// The fake EKS Auth.
pub(crate) const UPSTREAM: SocketAddr = local(18083);
/// The server we compare with.
pub(crate) const NGINX: SocketAddr = local(18090);

/// The three ports of the development system of that number: agent, API, metrics.
pub(crate) fn development_ports(number: u16) -> [SocketAddr; 3] {
    let first = 18100 + 3 * number;
    [local(first), local(first + 1), local(first + 2)]
}

/// The three addresses of the agent of that number, of several at once: for pods, probes, metrics.
pub(crate) fn agent_addresses(number: u16) -> [SocketAddr; 3] {
    let first = 18130 + 3 * number;
    [local(first), local(first + 1), local(first + 2)]
}

const USAGE: &str = "\
bench run [--quick] [--precedence]      measure everything; AGENT_BIN names the agent, AGENT_FLAGS adds flags to it;
                                        with --precedence all else in this machine has to wait meanwhile
bench sessions [--quick] [--precedence] measure what sessions, renewals and a neighbour's flood cost; AGENT_BIN, AGENT_FLAGS
bench verification [--quick] [--precedence]
                                        measure what the check of tokens and the watch of pods cost; AGENT_BIN, AGENT_FLAGS
bench associations [--quick] [--precedence]
                                        measure calls to `pod-identity dev` at 10, 1,000 and 20,000 associations;
                                        POD_IDENTITY_BIN names it
bench upstream [--port N] [--delay-ms N]
                                        a fake EKS Auth: GET /calls counts, PUT /delay/MS sets the delay, PUT /throttle/N
                                        throttles calls beyond N a second (0: none)
bench load --address IP:PORT --rate N --seconds N [--new-connections] [--tokens N]
                                        open loop against GET /v1/credentials
bench spin                              keep this core awake until the parent ends";

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// What to do.
pub(crate) enum Command {
    /// Measure everything.
    Run(Settings),
    /// Measure what sessions cost.
    Sessions(Settings),
    /// Measure what the check of tokens costs.
    Verification(Settings),
    /// Measure what calls cost at several numbers of associations.
    Associations(AssociationSettings),
    /// Be the fake EKS Auth.
    Upstream {
        /// Where to listen on loopback.
        port: u16,
        /// How long an exchange takes.
        delay: Duration,
    },
    /// One open loop.
    Load(Load),
    /// Keep a core awake.
    Spin,
}

/// How `bench run` and `bench sessions` measure.
pub(crate) struct Settings {
    /// The agent's binary.
    pub(crate) agent: PathBuf,
    /// More flags for it, after ours.
    pub(crate) agent_flags: Vec<String>,
    /// Where logs, configuration and results go.
    pub(crate) work: PathBuf,
    /// How long and how often.
    pub(crate) plan: Plan,
    /// Whether everything else in this machine has to wait meanwhile.
    pub(crate) precedence: bool,
}

/// How `bench associations` measures.
pub(crate) struct AssociationSettings {
    /// The binary of `pod-identity`.
    pub(crate) pod_identity: PathBuf,
    /// Where state, logs and results go.
    pub(crate) work: PathBuf,
    /// How long and how often.
    pub(crate) plan: Plan,
    /// Whether everything else in this machine has to wait meanwhile.
    pub(crate) precedence: bool,
}

/// How long and how often to measure.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Rounds of all that are compared; the median counts.
    pub(crate) rounds: usize,
    /// Seconds of each closed loop.
    pub(crate) closed: u64,
    /// Seconds of each open loop.
    pub(crate) open: u64,
    /// Starts of each server.
    pub(crate) starts: usize,
    /// Bursts of each kind, each with a new agent.
    pub(crate) bursts: usize,
    /// Seconds for repeating disturbed rounds, in all.
    pub(crate) patience: u64,
}

impl Plan {
    const FULL: Self = Self { rounds: 7, closed: 2, open: 4, starts: 15, bursts: 7, patience: 45 };
    const QUICK: Self = Self { rounds: 3, closed: 1, open: 2, starts: 15, bursts: 3, patience: 10 };
}

/// Reads the command line and the environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn read() -> Result<Command> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    parse(&words, |name| std::env::var(name).ok())
}

fn parse(words: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Command> {
    let Some((command, rest)) = words.split_first() else { bail!("{USAGE}") };
    let mut flags = Flags(rest.to_vec());
    let parsed = match command.as_str() {
        "run" => Command::Run(of_agent(&mut flags, &environment, "bench/.work")),
        "sessions" => Command::Sessions(of_agent(&mut flags, &environment, "bench/.work/sessions")),
        "verification" => {
            Command::Verification(of_agent(&mut flags, &environment, "bench/.work/verification"))
        }
        "associations" => Command::Associations(AssociationSettings {
            pod_identity: environment("POD_IDENTITY_BIN")
                .unwrap_or_else(|| "target/release/pod-identity".into())
                .into(),
            work: "bench/.work/associations".into(),
            plan: flags.plan(),
            precedence: flags.switch("--precedence"),
        }),
        "upstream" => Command::Upstream {
            port: flags.value("--port")?.unwrap_or(UPSTREAM.port()),
            delay: Duration::from_millis(flags.value("--delay-ms")?.unwrap_or(0)),
        },
        "load" => Command::Load(Load {
            address: flags.value("--address")?.context("--address is missing")?,
            rate: flags.value("--rate")?.context("--rate is missing")?,
            seconds: flags.value("--seconds")?.context("--seconds is missing")?,
            connections: if flags.switch("--new-connections") {
                Connections::NewEach
            } else {
                Connections::KeptAlive
            },
            tokens: flags.value("--tokens")?.unwrap_or(1),
        }),
        "spin" => Command::Spin,
        other => bail!("{other} is no command\n{USAGE}"),
    };
    if let Some(unknown) = flags.0.first() {
        bail!("{unknown} is not understood\n{USAGE}");
    }
    Ok(parsed)
}

fn of_agent(flags: &mut Flags, environment: impl Fn(&str) -> Option<String>, work: &str) -> Settings {
    Settings {
        agent: environment("AGENT_BIN")
            .unwrap_or_else(|| "target/release/eks-pod-identity-agent".into())
            .into(),
        agent_flags: environment("AGENT_FLAGS")
            .map(|flags| flags.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        work: work.into(),
        plan: flags.plan(),
        precedence: flags.switch("--precedence"),
    }
}

/// The words not yet understood.
struct Flags(Vec<String>);

impl Flags {
    fn plan(&mut self) -> Plan {
        if self.switch("--quick") { Plan::QUICK } else { Plan::FULL }
    }

    fn switch(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|word| word == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    fn value<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        self.0.remove(at);
        if at == self.0.len() {
            bail!("{name} needs a value");
        }
        let given = self.0.remove(at);
        given.parse().map(Some).map_err(|_| anyhow::anyhow!("{name} cannot be {given}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words, |name| (name == "AGENT_FLAGS").then(|| "--a  1".to_owned()))
    }

    #[test]
    fn a_quick_run_has_fewer_rounds_and_the_environment_adds_flags() {
        let Ok(Command::Run(settings)) = parsed("run --quick") else { panic!("run is a command") };
        assert_eq!(settings.plan.rounds, Plan::QUICK.rounds);
        assert_eq!(settings.agent_flags, ["--a", "1"]);
        let Ok(Command::Sessions(settings)) = parsed("sessions") else { panic!("sessions is a command") };
        assert_eq!((settings.plan.rounds, settings.precedence), (Plan::FULL.rounds, false));
        let Ok(Command::Associations(settings)) = parsed("associations --precedence") else {
            panic!("associations is a command")
        };
        assert_eq!((settings.plan.rounds, settings.precedence), (Plan::FULL.rounds, true));
    }

    #[test]
    fn unknown_words_and_missing_values_are_refused() {
        for line in ["", "walk", "run --fast", "upstream --port", "upstream --port x", "load --rate 5"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
