//! What renewals in the background do to the latencies of hits: an agent that always has sessions to renew, beside one that
//! has none. Whichever is not asked is halted, so that it takes nothing of the core they share.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::subject::Subject;
use crate::agent::UNSHARED;
use crate::figure::Aim;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::steady::Pair;
use crate::stolen::Pause;
use crate::tally::Tally;
use crate::token::Tokens;
use crate::upstream::Upstream;

const SESSIONS: usize = 2_000;
/// Hits a second.
const RATE: u32 = 900;
/// How long credentials are kept before they are renewed: at either rate there are more due than renewed.
const RETENTION: (&str, Duration) = ("10s", Duration::from_secs(10));

/// At the default rate of renewals, and at one far above.
pub(super) async fn measure(
    settings: &Settings,
    upstream: &Upstream,
    tokens: &mut Tokens,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    let mut still = Subject::start(settings, "still", 3, &UNSHARED).await?;
    still.fill(tokens.take(SESSIONS)).await?;
    for (number, renewals, aim) in [(4, "3", Some(Aim::RatioAtMost(1.5))), (5, "50", None)] {
        progress(&format!("hits beside {renewals} renewals a second"));
        let flags = ["--max-credential-retention-before-renewal", RETENTION.0, "--max-service-qps", renewals];
        let flags = [UNSHARED.as_slice(), flags.as_slice()].concat();
        let mut renewing = Subject::start(settings, &format!("renewing-{renewals}"), number, &flags).await?;
        renewing.fill(tokens.take(SESSIONS)).await?;
        sleep(RETENTION.1).await;
        let found = beside(settings, upstream, &mut renewing, &mut still, quiet, results).await?;
        found.figures(renewals, aim, results)?;
    }
    Ok(())
}

async fn beside(
    settings: &Settings,
    upstream: &Upstream,
    renewing: &mut Subject,
    still: &mut Subject,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<Found> {
    let schedule = Schedule::lasting(RATE, settings.plan.open);
    let pauses = quiet.pauses();
    let mut found = Found::default();
    for round in 0..settings.plan.rounds {
        for is_renewing in Pair::order(round) {
            let (asked, halted) = if is_renewing { (&*renewing, &*still) } else { (&*still, &*renewing) };
            halted.process.halt()?;
            let measure = async || {
                let (begun, before) = (Instant::now(), upstream.calls().await?);
                let tally = asked.open(schedule, &asked.tokens).await?;
                let renewed = (upstream.calls().await? - before) as f64 / begun.elapsed().as_secs_f64();
                Ok((tally, renewed, pauses.between(begun, Instant::now())))
            };
            let measured = quiet.round(Host::Any, measure).await;
            halted.process.go_on()?;
            let (tally, renewed, pauses) = measured?;
            results.faults.merge(tally.faults.clone());
            if is_renewing {
                found.renewing.add(&tally, &pauses)?;
                found.renewals.push(renewed);
            } else {
                found.still.add(&tally, &pauses)?;
            }
        }
    }
    renewing.process.alive()?;
    still.process.alive()?;
    Ok(found)
}

#[derive(Default)]
struct Found {
    renewing: Latencies,
    still: Latencies,
    /// How many there really were a second.
    renewals: Vec<f64>,
}

impl Found {
    fn figures(self, renewals: &str, aim: Option<Aim>, results: &mut Results) -> Result<()> {
        let (with, without) = (self.renewing, self.still);
        let what = format!("{RATE} hits/s beside {renewals} renewals/s");
        results.add(format!("{what}: p50"), "µs", with.p50, ("none", without.p50), None);
        results.add(format!("{what}: p99"), "µs", with.p99, ("none", without.p99), aim);
        let what = "the same with the host's pauses: p99";
        results.add(what, "µs", with.p99_of_all, ("none", without.p99_of_all), None);
        let asked = ("asked for", vec![renewals.parse()?]);
        let all = Some(Aim::RatioAtLeast(0.9));
        results.add("the same: renewals a second", "/s", self.renewals, asked, all);
        Ok(())
    }
}

#[derive(Default)]
struct Latencies {
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// That of all answers, also of those that the host held up.
    p99_of_all: Vec<f64>,
}

impl Latencies {
    fn add(&mut self, tally: &Tally, pauses: &[Pause]) -> Result<()> {
        let (found, _) = tally.latencies_outside(pauses)?;
        self.p50.push(found.p50);
        self.p99.push(found.p99);
        self.p99_of_all.push(tally.latencies()?.p99);
        Ok(())
    }
}
