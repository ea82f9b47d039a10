//! Many pods at once: with 200 tokens the exchanges must not wait for each other, with one token there must be one exchange.

use std::time::Duration;

use anyhow::Result;

use crate::agent::{self, Place};
use crate::burst;
use crate::figure::Aim;
use crate::open_loop::Connections;
use crate::quiet::{Host, Quiet};
use crate::results::Results;
use crate::settings::{AGENT, AGENT_PROBES, Settings, UPSTREAM};
use crate::start;
use crate::tally::Tally;
use crate::token::Tokens;
use crate::upstream::Upstream;
use crate::wire;

/// New pods at once, and how long their exchanges take.
const PODS: usize = 200;
const POD_DELAY: Duration = Duration::from_millis(50);
/// Requests with one token, and how long its exchange takes.
const HERD: usize = 100;
const HERD_DELAY: Duration = Duration::from_millis(300);

/// Both bursts, several times, each time with an agent that has just started and has never exchanged anything.
pub(crate) async fn measure(
    settings: &Settings,
    upstream: &Upstream,
    tokens: &mut Tokens,
    body: usize,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    let (mut cold, mut herd, mut direct) = (Flights::default(), Flights::default(), Flights::default());
    for _ in 0..settings.plan.bursts {
        upstream.set_delay(POD_DELAY).await?;
        let asked =
            quiet.round(Host::Calm, async || ask_upstream(upstream, &tokens.take(PODS)).await).await?;
        direct.add(asked, results);
        let flown =
            quiet.round(Host::Calm, async || fly(settings, upstream, &tokens.take(PODS), body).await).await?;
        cold.add(flown, results);
        upstream.set_delay(HERD_DELAY).await?;
        let flight = async || fly(settings, upstream, &vec![tokens.one(); HERD], body).await;
        herd.add(quiet.round(Host::Calm, flight).await?, results);
    }

    let (what, ideal) = ("200 new tokens at once, upstream 50 ms: all answered", ms(POD_DELAY));
    results.add(what, "ms", cold.last.clone(), ("ideal", vec![ideal]), Some(Aim::AtMost(120.0)));
    let what = "the same, beside the load asking the upstream itself";
    results.add(what, "ms", cold.last, ("no agent", direct.last), None);
    let each = Some(Aim::EachAtMost(PODS as f64));
    results.add("the same: upstream calls", "calls", cold.calls, ("ideal", vec![PODS as f64]), each);
    let (what, ideal) = ("100 × one new token at once, upstream 300 ms: all answered", ms(HERD_DELAY));
    results.add(what, "ms", herd.last, ("ideal", vec![ideal]), Some(Aim::AtMost(310.0)));
    let each = Some(Aim::EachAtMost(1.0));
    results.add("the same: upstream calls", "calls", herd.calls, ("ideal", vec![1.0]), each);
    Ok(())
}

/// When the last of a burst was answered, and what it cost.
#[derive(Default)]
struct Flights {
    last: Vec<f64>,
    calls: Vec<f64>,
}

impl Flights {
    fn add(&mut self, (tally, calls): (Tally, u64), results: &mut Results) {
        self.last.push(tally.last_ms());
        self.calls.push(calls as f64);
        results.faults.merge(tally.faults);
    }
}

async fn fly(
    settings: &Settings,
    upstream: &Upstream,
    tokens: &[String],
    body: usize,
) -> Result<(Tally, u64)> {
    let mut agent = agent::start(settings, Place::Pinned)?;
    start::healthy(&mut agent, AGENT_PROBES).await?;
    let before = upstream.calls().await?;
    let request = |token: &String| wire::credentials_request(AGENT, token, Connections::KeptAlive);
    let tally = burst::run(AGENT, tokens.iter().map(request).collect(), Some(body)).await?;
    agent.alive()?;
    Ok((tally, upstream.calls().await? - before))
}

/// The same without an agent: what load and upstream themselves take.
async fn ask_upstream(upstream: &Upstream, tokens: &[String]) -> Result<(Tally, u64)> {
    let before = upstream.calls().await?;
    let request = |token: &String| wire::exchange_request(UPSTREAM, token);
    let tally = burst::run(UPSTREAM, tokens.iter().map(request).collect(), None).await?;
    Ok((tally, upstream.calls().await? - before))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
