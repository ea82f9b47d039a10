//! What a hit costs when there are more sessions.

use std::time::Duration;

use anyhow::Result;

use super::subject::Subject;
use crate::agent::UNSHARED;
use crate::closed_loop::Yield;
use crate::figure::Aim;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::settings::Settings;
use crate::token::Tokens;

const FEW: usize = 10;
const MANY: usize = 20_000;
/// What a hit may cost more.
const MOST: Aim = Aim::RatioAtMost(1.1);

/// Who is asked for what.
#[derive(Clone, Copy)]
enum Asked {
    /// An agent with few sessions, for all of them.
    Few,
    /// One with many, for as few of them: what the structures cost.
    FewOfMany,
    /// One with many, for all of them: what it costs besides that no cache of the CPU holds them.
    Many,
}

const ALL: [Asked; 3] = [Asked::Few, Asked::FewOfMany, Asked::Many];

/// Two agents on one core, asked in turn by the same load.
pub(super) async fn measure(
    settings: &Settings,
    tokens: &mut Tokens,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    progress("hits with 10 and with 20,000 sessions");
    let mut few = Subject::start(settings, "few", 1, &UNSHARED).await?;
    few.fill(tokens.take(FEW)).await?;
    let flags = [UNSHARED.as_slice(), &["--max-cache-size", "20000"]].concat();
    let mut many = Subject::start(settings, "many", 2, &flags).await?;
    many.fill(tokens.take(MANY)).await?;

    let mut hits = [Hits::default(), Hits::default(), Hits::default()];
    for round in 0..settings.plan.rounds {
        let mut order = ALL;
        order.rotate_left(round % ALL.len());
        for asked in order {
            let (subject, tokens) = match asked {
                Asked::Few => (&few, few.tokens.as_slice()),
                Asked::FewOfMany => (&many, &many.tokens[..FEW]),
                Asked::Many => (&many, many.tokens.as_slice()),
            };
            let got = quiet.round(Host::Fair, async || subject.closed(settings, tokens).await).await?;
            hits[asked as usize].add(got, results);
        }
    }
    few.process.alive()?;
    many.process.alive()?;
    let [few, few_of_many, many] = hits;
    let reference = || ("10 sessions", few.cost.clone());
    results.add("CPU time a hit, 20,000 sessions", "ns", many.cost, reference(), Some(MOST));
    let what = "the same, only 10 of the 20,000 asked for";
    results.add(what, "ns", few_of_many.cost, reference(), None);
    results.add("hits a second, 20,000 sessions", "/s", many.rate, ("10 sessions", few.rate), None);
    Ok(())
}

#[derive(Default)]
struct Hits {
    /// CPU time of one, in ns.
    cost: Vec<f64>,
    /// How many a second.
    rate: Vec<f64>,
}

impl Hits {
    fn add(&mut self, (got, cpu): (Yield, Duration), results: &mut Results) {
        self.cost.push(cpu.as_secs_f64() * 1e9 / got.answers as f64);
        self.rate.push(got.answers as f64 / got.seconds);
        results.faults.merge(got.faults);
    }
}
