//! Measures the agent beside nginx, in one run on one machine: the same answer, the same core, the same load.
//! `bench run` does all of it; `upstream`, `load` and `spin` are its parts, usable alone. `bench sessions` measures
//! what sessions, renewals and a neighbour's flood cost; `bench verification` what the check of tokens does; `bench associations` what calls to `pod-identity dev` cost at several
//! numbers of associations.

mod agent;
mod associations;
mod burst;
mod closed_loop;
mod figure;
mod flights;
mod latency;
mod machine;
mod moment;
mod nginx;
mod open_loop;
mod process;
mod procfs;
mod quiet;
mod report;
mod results;
mod run;
mod schedule;
mod server;
mod sessions;
mod settings;
mod start;
mod steady;
mod stolen;
mod tally;
mod throughput;
mod token;
mod upstream;
mod verification;
mod wire;

use anyhow::{Result, bail};
use settings::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        done = obey(settings::read()?) => done,
        _ = stop.recv() => bail!("stopped by a signal"),
        _ = tokio::signal::ctrl_c() => bail!("stopped by a signal"),
    }
}

async fn obey(command: Command) -> Result<()> {
    match command {
        Command::Run(settings) => run::run(&settings).await,
        Command::Sessions(settings) => sessions::run(&settings).await,
        Command::Verification(settings) => verification::run(&settings).await,
        Command::Associations(settings) => associations::run(&settings).await,
        Command::Upstream { port, delay } => upstream::serve(port, delay).await,
        Command::Load(load) => load.run().await,
        Command::Spin => machine::spin(),
    }
}
