//! What a pod pays for a neighbour that floods the agent, whose fair shares are those it has unless told otherwise.

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::flood::{self, Flood};
use super::subject::Subject;
use crate::figure::Aim;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::steady::Pair;
use crate::token::Tokens;

/// Requests a second of the pod that is looked at.
const RATE: u32 = 100;
/// What its p99 may grow by, in ms.
const MOST: f64 = 5.0;
/// The default of `--source-request-rate`.
const SHARE: f64 = 2_000.0;

/// A modest pod alone, and beside the flood, in turn.
pub(super) async fn measure(
    settings: &Settings,
    tokens: &mut Tokens,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    progress("a pod beside one that floods the agent");
    let mut subject = Subject::start(settings, "fair", 6, &[]).await?;
    subject.fill(tokens.take(2)).await?;
    let (modest, flooding) = subject.tokens.split_at(1);
    let flooding = flooding.first().context("there are two")?;
    // Twice as long as elsewhere: so few requests have no 99th percentile else.
    let seconds = settings.plan.open * 2;
    let schedule = Schedule::lasting(RATE, seconds);
    let pauses = quiet.pauses();
    let (mut beside, mut alone) = (Pod::default(), Pod::default());
    let (mut answered, mut granted) = (Vec::new(), Vec::new());
    for round in 0..settings.plan.rounds {
        for is_flooded in Pair::order(round) {
            let measure = async || {
                let begun = Instant::now();
                let flood = is_flooded
                    .then(|| Flood::start(subject.address, &subject.request(flooding), begun, seconds));
                let tally = subject.open(schedule, modest).await?;
                let flooded = match flood {
                    Some(flood) => Some(flood.end().await?),
                    None => None,
                };
                Ok((tally, flooded, pauses.between(begun, Instant::now())))
            };
            let (tally, flooded, pauses) = quiet.round(Host::Any, measure).await?;
            let pod = if is_flooded { &mut beside } else { &mut alone };
            let (latencies, _) = tally.latencies_outside(&pauses)?;
            pod.p50.push(latencies.p50);
            pod.p99.push(latencies.p99);
            pod.refused.push(tally.faults.count as f64);
            if let Some(flooded) = flooded {
                answered.push(flooded.answers() as f64 / seconds as f64);
                granted.push(flooded.granted as f64 / seconds as f64);
            }
        }
    }
    subject.process.alive()?;
    let added = beside.p99.iter().zip(&alone.p99).map(|(beside, alone)| (beside - alone) / 1e3).collect();
    let what = format!("{RATE} requests/s beside a flood of {}/s", flood::RATE);
    results.add(format!("{what}: p50"), "µs", beside.p50, ("alone", alone.p50), None);
    results.add("the same: p99", "µs", beside.p99, ("alone", alone.p99), None);
    let aim = Some(Aim::AtMost(MOST));
    results.add("the same: what the flood adds to p99", "ms", added, ("allowed", vec![MOST]), aim);
    let none = Some(Aim::EachAtMost(0.0));
    results.add("the same: refusals", "refusals", beside.refused, ("alone", alone.refused), none);
    let asked = ("asked", vec![f64::from(flood::RATE)]);
    results.add("the flood: answers", "/s", answered, asked, Some(Aim::RatioAtLeast(0.95)));
    results.add("the flood: credentials", "/s", granted, ("its share", vec![SHARE]), None);
    Ok(())
}

#[derive(Default)]
struct Pod {
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Answers that were no credentials, or none at all.
    refused: Vec<f64>,
}
