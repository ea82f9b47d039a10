//! Cached answers at a steady rate: how long each takes from when it was due.

use anyhow::Result;
use tokio::time::Instant;

use crate::figure::Aim;
use crate::open_loop::Connections;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::steady::Pair;
use crate::stolen::Pause;
use crate::tally::Tally;

const RATES: [u32; 2] = [500, 900];
const MODES: [(Connections, &str); 2] =
    [(Connections::KeptAlive, "kept alive"), (Connections::NewEach, "new connection each")];

/// Both servers in turn, at both rates, in both modes.
pub(crate) async fn measure(
    settings: &Settings,
    pair: &Pair,
    token: &str,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    let pauses = quiet.pauses();
    for rate in RATES {
        for (connections, mode) in MODES {
            progress(&format!("{rate} requests/s, {mode}"));
            let schedule = Schedule::lasting(rate, settings.plan.open);
            let (mut agent, mut nginx) = (Latencies::default(), Latencies::default());
            for round in 0..settings.plan.rounds {
                for is_agent in Pair::order(round) {
                    let (server, latencies) =
                        if is_agent { (&pair.agent, &mut agent) } else { (&pair.nginx, &mut nginx) };
                    let measure = async || {
                        let begun = Instant::now();
                        let (tally, cpu) = server.open(schedule, token, connections).await?;
                        Ok((tally, cpu, pauses.between(begun, Instant::now())))
                    };
                    latencies.add(quiet.round(Host::Any, measure).await?, results)?;
                }
            }
            agent.beside(nginx, &format!("{rate} requests/s, {mode}"), results);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Latencies {
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
    /// The 99th percentile of all answers, also of those that the host held up.
    p99_of_all: Vec<f64>,
    /// The share of answers that the host held up, in percent.
    held_up: Vec<f64>,
    /// CPU seconds and answers of all rounds: one round takes too few clock ticks.
    cpu: (f64, u64),
}

impl Latencies {
    fn add(&mut self, (tally, cpu, pauses): (Tally, f64, Vec<Pause>), results: &mut Results) -> Result<()> {
        let (found, held_up) = tally.latencies_outside(&pauses)?;
        self.p50.push(found.p50);
        self.p99.push(found.p99);
        self.p999.push(found.p999);
        self.p99_of_all.push(tally.latencies()?.p99);
        self.held_up.push(held_up * 100.0);
        self.cpu = (self.cpu.0 + cpu, self.cpu.1 + tally.answers());
        results.faults.merge(tally.faults);
        Ok(())
    }

    fn cost(&self) -> Vec<f64> {
        vec![self.cpu.0 * 1e6 / self.cpu.1 as f64]
    }

    fn beside(self, nginx: Self, load: &str, results: &mut Results) {
        let (agent_cost, nginx_cost) = (self.cost(), nginx.cost());
        let aim = Some(Aim::RatioAtMost(1.5));
        results.add(format!("{load}: p50"), "µs", self.p50, ("nginx", nginx.p50), None);
        results.add(format!("{load}: p99"), "µs", self.p99, ("nginx", nginx.p99), aim);
        results.add(format!("{load}: p99.9"), "µs", self.p999, ("nginx", nginx.p999), None);
        let what = "the same with the host's pauses: p99";
        results.add(what, "µs", self.p99_of_all, ("nginx", nginx.p99_of_all), None);
        results.add("the same: held up by the host", "%", self.held_up, ("nginx", nginx.held_up), None);
        results.add("the same: CPU time an answer", "µs", agent_cost, ("nginx", nginx_cost), None);
    }
}
