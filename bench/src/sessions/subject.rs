//! An agent with sessions, on the server's core, at addresses of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::{self, Place};
use crate::burst;
use crate::closed_loop::{ClosedLoop, Yield};
use crate::open_loop::{Connections, OpenLoop};
use crate::process::Process;
use crate::schedule::Schedule;
use crate::settings::{Settings, agent_addresses};
use crate::start;
use crate::tally::Tally;
use crate::token::Noise;
use crate::wire::{self, Head};

/// Sessions that begin at once. The next ones wait for them, however long exchanges take.
pub(crate) const AT_ONCE: usize = 64;

/// An agent with sessions.
pub(crate) struct Subject {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Those of its sessions, in no order.
    pub(crate) tokens: Vec<String>,
}

impl Subject {
    /// Starts one that has no sessions.
    pub(crate) async fn start(settings: &Settings, name: &str, number: u16, flags: &[&str]) -> Result<Self> {
        let addresses @ [address, probes, _] = agent_addresses(number);
        let mut process = agent::start_one(settings, Place::Pinned, name, addresses, flags)?;
        start::healthy(&mut process, probes).await?;
        Ok(Self { process, address, tokens: Vec::new() })
    }

    /// Begins a session for each of these tokens.
    pub(crate) async fn fill(&mut self, tokens: Vec<String>) -> Result<()> {
        for some in tokens.chunks(AT_ONCE) {
            let requests = some.iter().map(|token| self.request(token)).collect();
            let faults = burst::run(self.address, requests, None).await?.faults;
            ensure!(faults.count == 0, "{} sessions did not begin: {:?}", faults.count, faults.first);
        }
        self.tokens.extend(tokens);
        // In the order in which they began, they lie in memory: so no pods ask.
        Noise::new()?.shuffle(&mut self.tokens);
        Ok(())
    }

    /// As many answers as possible for these tokens in turn; with the CPU time they took.
    pub(crate) async fn closed(&self, settings: &Settings, tokens: &[String]) -> Result<(Yield, Duration)> {
        let head = self.answer(tokens).await?;
        let load = ClosedLoop {
            address: self.address,
            tokens: &tokens.iter().map(String::as_str).collect::<Vec<_>>(),
            connections: Connections::KeptAlive,
            seconds: settings.plan.closed,
            answer: head.size + head.body,
            work: &settings.work,
        };
        let before = self.process.threads_cpu()?;
        let got = load.run().await?;
        Ok((got, self.process.threads_cpu()?.saturating_sub(before)))
    }

    /// Answers for these tokens in turn, at a steady rate, on connections that are kept.
    pub(crate) async fn open(&self, schedule: Schedule, tokens: &[String]) -> Result<Tally> {
        let head = self.answer(tokens).await?;
        let load = OpenLoop {
            address: self.address,
            requests: tokens.iter().map(|token| self.request(token)).collect(),
            schedule,
            connections: Connections::KeptAlive,
            body: Some(head.body),
        };
        load.run().await
    }

    /// A pod's request.
    pub(crate) fn request(&self, token: &str) -> Vec<u8> {
        wire::credentials_request(self.address, token, Connections::KeptAlive)
    }

    /// How large an answer is: all have one size.
    pub(crate) async fn answer(&self, tokens: &[String]) -> Result<Head> {
        let token = tokens.first().context("nothing to ask")?;
        Ok(wire::ask_once(self.address, &self.request(token)).await?.0)
    }
}
