//! `bench run`: everything, in order, in one run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::agent::{self, Place};
use crate::machine::{self, Awake, Precedence};
use crate::open_loop::Connections;
use crate::quiet::Quiet;
use crate::report::{self, progress};
use crate::results::Results;
use crate::settings::{AGENT, AGENT_PROBES, NGINX, Settings};
use crate::token::Tokens;
use crate::upstream::Upstream;
use crate::wire::Head;
use crate::{flights, nginx, start, steady, wire};

/// Bodies of another size would be another measurement.
const BODY: std::ops::RangeInclusive<usize> = 1000..=1100;

/// Measures everything, writes the results and prints them. An error if any answer was not what it should be.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    prepare(&settings.work, &settings.agent, "AGENT_BIN")?;
    let _precedence = settings.precedence.then(Precedence::take).transpose()?;
    let upstream = Upstream::start(&settings.work).await?;
    let mut tokens = Tokens::new()?;
    let mut results = Results::default();

    progress("one answer, for nginx to repeat");
    let (of_agent, of_nginx) = repeat_in_nginx(settings, &tokens.one()).await?;
    let body = of_agent.body;
    progress("starts");
    let _awake = Awake::keep(&settings.work)?;
    let mut quiet = Quiet::new(Duration::from_secs(settings.plan.patience))?;
    start::measure(settings, &mut quiet, &mut results).await?;

    let mut machine = machine::facts(&settings.agent);
    machine::pin_self()?;
    steady::measure(settings, &mut tokens, body, &mut quiet, &mut results).await?;
    progress("many at once");
    flights::measure(settings, &upstream, &mut tokens, body, &mut quiet, &mut results).await?;

    machine["answer_bytes"] =
        json!({ "body": body, "agent_head": of_agent.size, "nginx_head": of_nginx.size });
    conclude(&results, "agent", &settings.work, machine, &quiet)
}

/// Writes and prints what was measured of `subject`. An error if any answer was not what it should be.
pub(crate) fn conclude(
    results: &Results,
    subject: &str,
    work: &Path,
    machine: Value,
    quiet: &Quiet,
) -> Result<()> {
    let file = work.join("results.json");
    results.write(&file, machine, quiet.to_json())?;
    report::print(&report::table(results, subject));
    report::print(&quiet.summary());
    progress(&format!("all of it is in {}", file.display()));
    let faults = &results.faults;
    ensure!(faults.count == 0, "{} answers were faulty; the first: {:?}", faults.count, faults.first);
    Ok(())
}

/// Makes sure that this machine and the binary, which the variable names, are there to be measured, and removes what an
/// earlier run left.
pub(crate) fn prepare(work: &Path, binary: &Path, variable: &str) -> Result<()> {
    machine::check()?;
    ensure!(binary.is_file(), "there is no binary at {}; {variable} names one", binary.display());
    if work.exists() {
        fs::remove_dir_all(work).context("the work folder cannot be emptied")?;
    }
    fs::create_dir_all(work).context("the work folder cannot be made")
}

/// Takes one answer of the agent and has nginx give the same body. Returns the heads of both answers.
async fn repeat_in_nginx(settings: &Settings, token: &str) -> Result<(Head, Head)> {
    let mut agent = agent::start(settings, Place::Pinned)?;
    start::healthy(&mut agent, AGENT_PROBES).await?;
    let request = |address| wire::credentials_request(address, token, Connections::KeptAlive);
    let (of_agent, body) = wire::ask_once(AGENT, &request(AGENT)).await?;
    ensure!(
        BODY.contains(&of_agent.body),
        "the agent's body has {} bytes, not {BODY:?}: {body}",
        of_agent.body
    );
    let credentials: serde_json::Value =
        serde_json::from_str(&body).context("the agent's body is not JSON")?;
    for member in ["AccessKeyId", "SecretAccessKey", "Token", "AccountId", "Expiration"] {
        ensure!(credentials[member].is_string(), "{member} is missing in the agent's body");
    }
    nginx::configure(&settings.work, &body)?;
    let mut nginx = nginx::start(settings, Place::Pinned)?;
    start::healthy(&mut nginx, NGINX).await?;
    let (of_nginx, repeated) = wire::ask_once(NGINX, &request(NGINX)).await?;
    ensure!(repeated == body, "nginx does not repeat the agent's body");
    Ok((of_agent, of_nginx))
}
