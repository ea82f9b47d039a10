//! `eks-pod-identity-agent`: a drop-in for AWS's node agent of the same name.

use std::alloc::System;
use std::process::ExitCode;

use agent::command::{self, Asked, InitializeFlags, LogLevelFlags, ProbeFlags};
use agent::handover::Predecessor;
use agent::settings::Cluster;
use agent::{Agent, EksAuthUpstream, Settings, World, cluster_name, link, pods, startup_taint, verification};
use anyhow::Context;
use eks_auth::InstanceMetadata;
use prometheus::Registry;
use runtime::environment::ProcessEnvironment;
use runtime::process::{self, StopSignals};
use runtime::{Chance, Clock, Drain, log};
use tracing::{info, warn};
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
    process::use_capabilities();
    let outcome = match command::read(std::env::args()) {
        Ok(Asked::Version) => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(Asked::Serve(flags)) => {
            Settings::read(&flags, &ProcessEnvironment).map_err(Into::into).and_then(serve)
        }
        Ok(Asked::Initialize(flags)) => initialize(&flags),
        Ok(Asked::Probe(flags)) => probe(&flags),
        Ok(Asked::LogLevel(flags)) => log_level(&flags),
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

#[tokio::main(flavor = "current_thread")]
async fn probe(flags: &ProbeFlags) -> anyhow::Result<()> {
    Ok(runtime::probe::ask(&flags.probe_socket, flags.question).await?)
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the level is the answer")]
async fn log_level(flags: &LogLevelFlags) -> anyhow::Result<()> {
    println!("{}", runtime::probe::log_level(&flags.probe_socket, flags.level).await?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "what a check finds is its answer")]
async fn initialize(flags: &InitializeFlags) -> anyhow::Result<()> {
    let directory = Settings::handover_directory(flags)?;
    if flags.check {
        let link::Report { steps, remarks } = link::check().await?;
        let mut steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        if let Some(directory) = &directory {
            steps.extend(directory.missing()?);
        }
        remarks.iter().for_each(|remark| println!("note: {remark}"));
        steps.iter().for_each(|step| println!("missing: {step}"));
        anyhow::ensure!(
            steps.is_empty(),
            "the node is not prepared for the agent: run initialize without --check"
        );
        println!("nothing is missing");
        return Ok(());
    }
    let verbosity = Settings::verbosity(flags.verbosity.as_deref())?;
    log::start(verbosity, Clock::system(), std::io::stderr());
    let link::Report { steps, remarks } = link::initialize().await?;
    let mut steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    if let Some(directory) = &directory {
        // The agent works without: a node is better served than not.
        match directory.prepare() {
            Ok(step) => steps.extend(step),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "agents will not hand over to each other")
            }
        }
    }
    remarks.iter().for_each(|remark| warn!("{remark}"));
    steps.iter().for_each(|step| info!("done: {step}"));
    info!(link = link::LINK, steps = steps.len(), "the node is prepared for the agent");
    Ok(())
}

// One thread: a node's load fits many times over, and every answer costs less without the traffic between threads.
#[tokio::main(flavor = "current_thread")]
async fn serve(settings: Settings) -> anyhow::Result<()> {
    process::harden();
    process::open_many_files();
    let clock = Clock::system();
    let log_level = log::start(settings.verbosity, clock, std::io::stderr());
    settings.warnings().iter().for_each(|warning| warn!("{warning}"));
    let signals = StopSignals::listen().context("signals cannot be handled")?;
    let cluster = match &settings.cluster {
        Cluster::Named(cluster) => cluster.clone(),
        Cluster::OfNode(informants) => {
            cluster_name::find(informants, &InstanceMetadata::new(&settings.transport)).await?
        }
    };
    let upstream = EksAuthUpstream::new(settings.upstream(cluster), clock);
    let key_sources = verification::sources(&settings.signing_keys, &settings.transport);
    let predecessor = match &settings.handover_socket {
        Some(path) => Predecessor::meet(path).await,
        None => None,
    };
    let pod_source = pods::source(&settings.pods);
    let agent = Agent::open(
        &settings,
        World {
            clock,
            chance: Chance::system(),
            upstream,
            key_sources,
            pod_source,
            node_taints: startup_taint::of_node(settings.startup_taint.as_ref()),
            predecessor,
            registry: Registry::new(),
            log_level: Some(log_level),
        },
    )?;
    let (drain, readiness) = (Drain::new(), agent.readiness());
    let work = agent.serve(drain.watch());
    process::run_until_stopped(signals, &drain, settings.drain_patience, || readiness.revoke(), work).await;
    anyhow::ensure!(drain.has_started(), "the agent ended without being told to, its log says why");
    Ok(())
}
