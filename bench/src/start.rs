//! From starting a server to its first healthy answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::agent::{self, Place};
use crate::figure::Aim;
use crate::nginx;
use crate::process::Process;
use crate::quiet::{Host, Quiet};
use crate::results::Results;
use crate::settings::{AGENT_PROBES, NGINX, Settings};
use crate::wire;

/// How often a server that starts is asked.
const POLL: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts both servers again and again, in turn. Neither is pinned: pinning takes a part of the time that is measured.
pub(crate) async fn measure(settings: &Settings, quiet: &mut Quiet, results: &mut Results) -> Result<()> {
    let starts = async || {
        let (mut agent, mut nginx) = (Vec::new(), Vec::new());
        for _ in 0..settings.plan.starts {
            agent.push(once(|| agent::start(settings, Place::Anywhere), AGENT_PROBES).await?);
            nginx.push(once(|| nginx::start(settings, Place::Anywhere), NGINX).await?);
        }
        Ok((agent, nginx))
    };
    let (agent, nginx) = quiet.round(Host::Any, starts).await?;
    results.add("start to first 200 of /healthz", "ms", agent, ("nginx", nginx), Some(Aim::AtMost(10.0)));
    Ok(())
}

async fn once(start: impl FnOnce() -> Result<Process>, probes: SocketAddr) -> Result<f64> {
    let begun = Instant::now();
    let mut process = start()?;
    healthy(&mut process, probes).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Waits for the first 200 of `/healthz`.
pub(crate) async fn healthy(process: &mut Process, probes: SocketAddr) -> Result<()> {
    let request = wire::plain_request(probes, "GET /healthz");
    let begun = Instant::now();
    let mut next = begun;
    loop {
        if wire::ask_once(probes, &request).await.is_ok() {
            return Ok(());
        }
        process.alive()?;
        ensure!(begun.elapsed() < PATIENCE, "{probes} is not healthy after {PATIENCE:?}");
        next += POLL;
        // Timers are good to 1 ms only.
        while Instant::now() < next {
            yield_now().await;
        }
    }
}
