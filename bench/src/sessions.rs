//! `bench sessions`: what an agent pays for many sessions: memory, and CPU time of a hit; what a hit pays for the renewals of
//! the others; and what a pod pays for a neighbour that floods the agent.

mod fairness;
mod flood;
mod growth;
mod memory;
mod renewals;
mod subject;

use std::time::Duration;

use anyhow::Result;

use crate::machine::{self, Awake, Precedence};
use crate::quiet::Quiet;
use crate::results::Results;
use crate::run;
use crate::settings::Settings;
use crate::token::Tokens;
use crate::upstream::Upstream;
pub(crate) use subject::{AT_ONCE, Subject};

/// Measures everything, writes the results and prints them. An error if any answer was not what it should be.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    run::prepare(&settings.work, &settings.agent, "AGENT_BIN")?;
    let _precedence = settings.precedence.then(Precedence::take).transpose()?;
    let upstream = Upstream::start(&settings.work).await?;
    let _awake = Awake::keep(&settings.work)?;
    let machine = machine::facts(&settings.agent);
    machine::pin_self()?;
    let mut tokens = Tokens::new()?;
    let mut quiet = Quiet::new(Duration::from_secs(settings.plan.patience))?;
    let mut results = Results::default();

    memory::measure(settings, &mut tokens, &mut results).await?;
    growth::measure(settings, &mut tokens, &mut quiet, &mut results).await?;
    renewals::measure(settings, &upstream, &mut tokens, &mut quiet, &mut results).await?;
    fairness::measure(settings, &mut tokens, &mut quiet, &mut results).await?;
    run::conclude(&results, "agent", &settings.work, machine, &quiet)
}
