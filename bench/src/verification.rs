//! `bench verification`: what the check of tokens on the node costs a new token, and what it saves a rotated one; what the watch
//! of pods holds in memory; and that neither is waited for at the start.

use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use testkit::authority::Authority;
use testkit::issuer_server::service_account_directory;
use testkit::pod_watch_server::PodWatchServer;
use testkit::signing::key_set;
use testkit::{SigningKey, TokenBuilder};
use tokio::time::{Instant, sleep};

use crate::agent::{self, Place, UNSHARED};
use crate::figure::Aim;
use crate::machine::{self, Awake, Precedence};
use crate::moment;
use crate::process::Process;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::run;
use crate::sessions::{AT_ONCE, Subject};
use crate::settings::{Settings, agent_addresses};
use crate::start;
use crate::upstream::Upstream;
use crate::wire;

/// New tokens of one round.
const TOKENS: usize = 640;
/// Pods of a large node.
const PODS: usize = 250;
const SETTLE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures everything, writes the results and prints them. An error if any answer was not what it should be.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    run::prepare(&settings.work, &settings.agent, "AGENT_BIN")?;
    let _precedence = settings.precedence.then(Precedence::take).transpose()?;
    let _upstream = Upstream::start(&settings.work).await?;
    let _awake = Awake::keep(&settings.work)?;
    let machine = machine::facts(&settings.agent);
    let mut quiet = Quiet::new(Duration::from_secs(settings.plan.patience))?;
    let mut results = Results::default();
    // Before this process, which its agents inherit from, is pinned.
    starts(settings, &mut quiet, &mut results).await?;
    machine::pin_self()?;
    checks(settings, &mut quiet, &mut results).await?;
    watch(settings, &mut results).await?;
    run::conclude(&results, "agent", &settings.work, machine, &quiet)
}

/// Three agents with the same tokens: without keys, with an RSA and with a P-256 key.
async fn checks(settings: &Settings, quiet: &mut Quiet, results: &mut Results) -> Result<()> {
    progress("new tokens, checked and not");
    let files = tempfile::tempdir()?;
    let (rsa, ec) = (SigningKey::rsa("k1"), SigningKey::ec("k1"));
    let none = Agent::start(settings, "unchecked", 0, None, &files).await?;
    let by_rsa = Agent::start(settings, "rsa", 1, Some(&rsa), &files).await?;
    let by_ec = Agent::start(settings, "ec", 2, Some(&ec), &files).await?;
    let mut costs: [Vec<f64>; 4] = Default::default();
    for round in 0..settings.plan.rounds {
        let mut order = [0, 1, 2];
        order.rotate_left(round % 3);
        for which in order {
            let (agent, key) = [(&none, &rsa), (&by_rsa, &rsa), (&by_ec, &ec)][which];
            let cost =
                quiet.round(Host::Fair, async || agent.ask(&tokens(key, round, "first")).await).await?;
            costs[which].push(cost);
            if which == 1 {
                let rotated = tokens(key, round, "second");
                costs[3].push(quiet.round(Host::Fair, async || agent.ask(&rotated).await).await?);
            }
        }
    }
    let [none, rsa, ec, rotated] = costs;
    let reference = || ("not checked", none.clone());
    results.add(
        "CPU time a new token, RSA-2048",
        "µs",
        rsa.clone(),
        reference(),
        Some(Aim::RatioAtMost(1.25)),
    );
    results.add("CPU time a new token, P-256", "µs", ec, reference(), Some(Aim::RatioAtMost(1.25)));
    results.add("CPU time a rotated token, no exchange", "µs", rotated, ("a new one", rsa), None);
    Ok(())
}

/// Tokens of the pods of one round, in their first or second edition.
fn tokens(key: &SigningKey, round: usize, edition: &str) -> Vec<String> {
    let now = moment::now();
    let token = |number: usize| {
        let token = TokenBuilder::of_pod(&format!("bench-{round}-{number}"), now);
        key.sign(&token.claim("jti", edition.into()))
    };
    (0..TOKENS).map(token).collect()
}

struct Agent(Subject);

impl Agent {
    async fn start(
        settings: &Settings,
        name: &str,
        number: u16,
        key: Option<&SigningKey>,
        files: &TempDir,
    ) -> Result<Self> {
        let mut flags: Vec<&str> = UNSHARED.to_vec();
        flags.extend(["--max-cache-size", "100000"]);
        let path = files.path().join(name).display().to_string();
        if let Some(key) = key {
            std::fs::write(&path, key_set([key]))?;
            flags.extend(["--jwks-file", path.as_str()]);
        }
        let subject = Subject::start(settings, name, number, &flags).await?;
        sleep(Duration::from_millis(200)).await;
        Ok(Self(subject))
    }

    /// Asks for each token once; the CPU time of one in microseconds.
    async fn ask(&self, tokens: &[String]) -> Result<f64> {
        let before = self.0.process.threads_cpu()?;
        for some in tokens.chunks(AT_ONCE) {
            let requests = some.iter().map(|token| self.0.request(token)).collect();
            let faults = crate::burst::run(self.0.address, requests, None).await?.faults;
            ensure!(faults.count == 0, "{} tokens were refused: {:?}", faults.count, faults.first);
        }
        let used = self.0.process.threads_cpu()?.saturating_sub(before);
        Ok(used.as_secs_f64() * 1e6 / tokens.len() as f64)
    }
}

/// An agent in a cluster: with an API server, or with one that is down.
fn in_cluster(settings: &Settings, files: &TempDir, port: u16, number: u16) -> Result<Process> {
    let directory = files.path().display().to_string();
    let flags = [UNSHARED.as_slice(), &["--service-account-directory", &directory]].concat();
    let environment =
        [("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()), ("KUBERNETES_SERVICE_PORT", port.to_string())];
    let environment = environment.into_iter().chain([("NODE_NAME", "node-1".to_owned())]);
    agent::start_in(settings, Place::Anywhere, "in-cluster", agent_addresses(number), &flags, environment)
}

/// What the watch holds.
async fn watch(settings: &Settings, results: &mut Results) -> Result<()> {
    progress("memory of the watch of pods");
    let authority = Authority::new();
    let files = service_account_directory(&authority);
    let mut sizes = Vec::new();
    for pods in [0, PODS] {
        let api_server = PodWatchServer::start(&authority).await;
        (0..pods).for_each(|number| api_server.run(&format!("web-{number}"), &["10.0.0.1", "fd00::1"]));
        let mut process = in_cluster(settings, &files, api_server.address().port(), 3)?;
        let [_, probes, metrics] = agent_addresses(3);
        start::healthy(&mut process, probes).await?;
        let wanted = format!("pod_identity_pods {pods}");
        let listed = "pod_identity_pod_watch_state{state=\"current\"} 1";
        let begun = Instant::now();
        loop {
            let (_, page) = wire::ask_once(metrics, &wire::plain_request(metrics, "GET /metrics")).await?;
            if [wanted.as_str(), listed].iter().all(|line| page.lines().any(|found| found == *line)) {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "the agent does not learn of {pods} pods");
            sleep(Duration::from_millis(50)).await;
        }
        sleep(SETTLE).await;
        sizes.push(process.memory()?.resident as f64 / 1024.0);
    }
    let alone = agent::start_one(settings, Place::Anywhere, "alone", agent_addresses(3), &UNSHARED)?;
    sleep(SETTLE).await;
    let alone = alone.memory()?.resident as f64 / 1024.0;
    results.add(
        "memory with a watch of no pods",
        "MiB",
        vec![sizes[0]],
        ("without a watch", vec![alone]),
        None,
    );
    let reference = ("of no pods", vec![sizes[0]]);
    results.add(format!("memory with a watch of {PODS} pods"), "MiB", vec![sizes[1]], reference, None);
    Ok(())
}

/// Nothing at the start waits for the API server.
async fn starts(settings: &Settings, quiet: &mut Quiet, results: &mut Results) -> Result<()> {
    progress("starts in a cluster");
    let authority = Authority::new();
    let files = service_account_directory(&authority);
    let api_server = PodWatchServer::start(&authority).await;
    let [_, probes, _] = agent_addresses(4);
    let measured = async || {
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..settings.plan.starts {
            // Nobody listens on port 1.
            for (which, port) in [None, Some(1), Some(api_server.address().port())].into_iter().enumerate() {
                let begun = Instant::now();
                let mut process = match port {
                    Some(port) => in_cluster(settings, &files, port, 4)?,
                    None => {
                        agent::start_one(settings, Place::Anywhere, "start", agent_addresses(4), &UNSHARED)?
                    }
                };
                start::healthy(&mut process, probes).await?;
                times[which].push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(times)
    };
    let [alone, down, up] = quiet.round(Host::Any, measured).await?;
    let reference = || ("outside a cluster", alone.clone());
    results.add("start, API server down", "ms", down, reference(), Some(Aim::AtMost(1_000.0)));
    results.add("start, API server up", "ms", up, reference(), Some(Aim::AtMost(1_000.0)));
    Ok(())
}
