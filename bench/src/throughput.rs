//! Cached answers, as many as one core can give.

use anyhow::Result;

use crate::closed_loop::Yield;
use crate::figure::Aim;
use crate::open_loop::Connections;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::settings::Settings;
use crate::steady::Pair;

/// How connections are used, its name, and the least ratio of rates aimed at.
const MODES: [(Connections, &str, f64); 2] =
    [(Connections::KeptAlive, "kept alive", 1.0), (Connections::NewEach, "new connection each", 0.9)];

/// Both servers in turn, in both modes.
pub(crate) async fn measure(
    settings: &Settings,
    pair: &Pair,
    token: &str,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    for (connections, mode, least) in MODES {
        progress(&format!("as many answers as possible, {mode}"));
        let (mut agent, mut nginx) = (Rates::default(), Rates::default());
        for round in 0..settings.plan.rounds {
            for is_agent in Pair::order(round) {
                let (server, rates) =
                    if is_agent { (&pair.agent, &mut agent) } else { (&pair.nginx, &mut nginx) };
                let measured = quiet
                    .round(Host::Fair, async || server.closed(settings, token, connections).await)
                    .await?;
                rates.add(measured, results);
            }
        }
        let aim = Some(Aim::RatioAtLeast(least));
        let what = format!("cached answers, 64 connections, {mode}");
        results.add(what, "/s", agent.wall, ("nginx", nginx.wall), aim);
        results.add("the same per second of its CPU time", "/s", agent.cpu, ("nginx", nginx.cpu), aim);
        results.add("the same: CPU time an answer", "µs", agent.cost, ("nginx", nginx.cost), None);
        results.add("the same: use of its core", "%", agent.busy, ("nginx", nginx.busy), None);
    }
    Ok(())
}

#[derive(Default)]
struct Rates {
    /// Answers a second.
    wall: Vec<f64>,
    /// Answers a second of CPU time.
    cpu: Vec<f64>,
    /// CPU time an answer, in µs.
    cost: Vec<f64>,
    /// How much of its core the server used, in percent. Far below 100, the load generator was the limit.
    busy: Vec<f64>,
}

impl Rates {
    fn add(&mut self, (got, cpu): (Yield, f64), results: &mut Results) {
        let answers = got.answers as f64;
        self.wall.push(answers / got.seconds);
        self.cpu.push(answers / cpu);
        self.cost.push(cpu * 1e6 / answers);
        self.busy.push(cpu * 100.0 / got.seconds);
        results.faults.merge(got.faults);
    }
}
