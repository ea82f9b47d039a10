//! One agent beside one nginx on one core, for minutes: memory before, with a full cache, and after all the load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::{self, Place};
use crate::figure::Aim;
use crate::open_loop::{Connections, OpenLoop};
use crate::quiet::Quiet;
use crate::report::progress;
use crate::results::Results;
use crate::schedule::Schedule;
use crate::server::Server;
use crate::settings::{AGENT, AGENT_PROBES, NGINX, Settings};
use crate::token::Tokens;
use crate::{latency, nginx, throughput, wire};

/// Tokens in the agent's cache: the default bound of the cache.
const CACHED: usize = 2000;
/// How fast they come, in tokens a second: below the rate limit of AWS's agent.
const FILL_RATE: u32 = 400;
const SETTLE: Duration = Duration::from_secs(2);

/// The two that are compared.
pub(crate) struct Pair {
    pub(crate) agent: Server,
    pub(crate) nginx: Server,
}

impl Pair {
    /// Who is first in a round (`true` is the agent): each of them in every other round.
    pub(crate) fn order(round: usize) -> [bool; 2] {
        if round.is_multiple_of(2) { [true, false] } else { [false, true] }
    }

    fn memory(&self, when: &str, most: Option<f64>, results: &mut Results) -> Result<()> {
        let (agent, nginx) = (self.agent.process.memory()?, self.nginx.process.memory()?);
        let mib = |kib: u64| vec![kib as f64 / 1024.0];
        let reference = ("nginx, master and worker", mib(nginx.resident));
        results.add(format!("memory {when}"), "MiB", mib(agent.resident), reference, most.map(Aim::AtMost));
        let reference = ("nginx, master and worker", mib(nginx.anonymous));
        results.add("the anonymous part of it", "MiB", mib(agent.anonymous), reference, None);
        Ok(())
    }
}

/// All that is measured on it.
pub(crate) async fn measure(
    settings: &Settings,
    tokens: &mut Tokens,
    body: usize,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    let agent = agent::start(settings, Place::Pinned)?;
    let nginx = nginx::start(settings, Place::Pinned)?;
    let mut pair = Pair {
        agent: Server::new(agent, AGENT, AGENT_PROBES, body).await?,
        nginx: Server::new(nginx, NGINX, NGINX, body).await?,
    };
    tokio::time::sleep(SETTLE).await;
    pair.memory("idle", Some(8.0), results)?;

    progress("2,000 tokens");
    let tokens = tokens.take(CACHED);
    fill(&tokens, body, results).await?;
    pair.memory("with 2,000 tokens", Some(13.0), results)?;

    let token = tokens.last().context("there are tokens")?;
    throughput::measure(settings, &pair, token, quiet, results).await?;
    latency::measure(settings, &pair, token, quiet, results).await?;
    pair.memory("after all this load", None, results)?;
    pair.agent.process.alive()?;
    pair.nginx.process.alive()
}

async fn fill(tokens: &[String], body: usize, results: &mut Results) -> Result<()> {
    let connections = Connections::KeptAlive;
    let request = |token: &String| wire::credentials_request(AGENT, token, connections);
    let load = OpenLoop {
        address: AGENT,
        requests: tokens.iter().map(request).collect(),
        schedule: Schedule { rate: FILL_RATE, count: u32::try_from(tokens.len())? },
        connections,
        body: Some(body),
    };
    let tally = load.run().await?;
    results.faults.merge(tally.faults);
    ensure!(results.faults.count == 0, "the cache cannot be filled: {:?}", results.faults.first);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_first_in_every_other_round() {
        assert_eq!([0, 1, 2, 3].map(|round| Pair::order(round)[0]), [true, false, true, false]);
    }
}
