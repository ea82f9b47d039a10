//! `eks-pod-identity-agent`: a drop-in for AWS's node agent of the same name.

use std::alloc::System;
use std::process::ExitCode;

use agent::command::{self, Asked};
use agent::{Agent, EksAuthUpstream, Settings, World};
use anyhow::Context;
use prometheus::Registry;
use runtime::environment::ProcessEnvironment;
use runtime::process::{self, StopSignals};
use runtime::{Chance, Clock, Drain, log};
use tracing::warn;
use zeroizing_alloc::ZeroAlloc;

/// Tokens and keys pass through buffers of HTTP, TLS and JSON that are not ours. So whatever is freed is wiped, whoever held
/// it.
#[global_allocator]
static WIPED_WHEN_FREED: ZeroAlloc<System> = ZeroAlloc(System);

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where a person at a terminal is spoken to"
)]
fn main() -> ExitCode {
    let outcome = match command::read(std::env::args()) {
        Ok(Asked::Version) => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(Asked::Serve(flags)) => {
            Settings::read(&flags, &ProcessEnvironment).map_err(Into::into).and_then(serve)
        }
        Err(error) => error.exit(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

// One thread: a node's load fits many times over, and every answer costs less without the traffic between threads.
#[tokio::main(flavor = "current_thread")]
async fn serve(settings: Settings) -> anyhow::Result<()> {
    process::harden();
    process::open_many_files();
    let clock = Clock::system();
    log::start(settings.verbosity, clock, std::io::stderr());
    settings.warnings().iter().for_each(|warning| warn!("{warning}"));
    let signals = StopSignals::listen().context("signals cannot be handled")?;
    let upstream = EksAuthUpstream::new(settings.upstream(), clock);
    let agent = Agent::open(
        &settings,
        World { clock, chance: Chance::system(), upstream, tokens: None, registry: Registry::new() },
    )?;
    let (drain, readiness) = (Drain::new(), agent.readiness());
    let work = agent.serve(drain.watch());
    process::run_until_stopped(signals, &drain, settings.drain_patience, || readiness.revoke(), work).await;
    anyhow::ensure!(drain.has_started(), "the agent ended without being told to, its log says why");
    Ok(())
}
