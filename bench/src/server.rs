//! A running server under load: what it answers, and what CPU time that takes it.

use std::net::SocketAddr;

use anyhow::Result;

use crate::closed_loop::{ClosedLoop, Yield};
use crate::machine;
use crate::open_loop::{Connections, OpenLoop};
use crate::process::Process;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::start;
use crate::tally::Tally;
use crate::wire;

/// A running server, pinned to its core.
pub(crate) struct Server {
    /// Its process.
    pub(crate) process: Process,
    address: SocketAddr,
    body: usize,
}

impl Server {
    /// Waits until it is healthy. Every body it gives must have the size `body`.
    pub(crate) async fn new(
        mut process: Process,
        address: SocketAddr,
        probes: SocketAddr,
        body: usize,
    ) -> Result<Self> {
        start::healthy(&mut process, probes).await?;
        Ok(Self { process, address, body })
    }

    /// As many answers as possible; with the seconds of CPU time they took.
    pub(crate) async fn closed(
        &self,
        settings: &Settings,
        token: &str,
        connections: Connections,
    ) -> Result<(Yield, f64)> {
        let request = wire::credentials_request(self.address, token, connections);
        let (head, _) = wire::ask_once(self.address, &request).await?;
        let load = ClosedLoop {
            address: self.address,
            tokens: &[token],
            connections,
            seconds: settings.plan.closed,
            answer: head.size + self.body,
            work: &settings.work,
        };
        let before = self.process.cpu_ticks()?;
        let got = load.run().await?;
        Ok((got, self.cpu_since(before)?))
    }

    /// Answers at a steady rate; with the seconds of CPU time they took.
    pub(crate) async fn open(
        &self,
        schedule: Schedule,
        token: &str,
        connections: Connections,
    ) -> Result<(Tally, f64)> {
        let request = wire::credentials_request(self.address, token, connections);
        let load = OpenLoop {
            address: self.address,
            requests: vec![request],
            schedule,
            connections,
            body: Some(self.body),
        };
        let before = self.process.cpu_ticks()?;
        let tally = load.run().await?;
        Ok((tally, self.cpu_since(before)?))
    }

    fn cpu_since(&self, before: u64) -> Result<f64> {
        Ok((self.process.cpu_ticks()? - before) as f64 / machine::ticks_per_second()?)
    }
}
