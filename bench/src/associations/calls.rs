//! Calls one after the other on each of some connections: a closed loop, since an answer at a time is what is to be known.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::system::System;
use crate::open_loop::PATIENCE;
use crate::tally::{Faults, Tally};
use crate::wire::Connection;

/// What came of some calls.
pub(super) struct Called {
    pub(super) tally: Tally,
    /// When the first was sent.
    pub(super) begun: Instant,
    /// When the last was answered.
    pub(super) ended: Instant,
    /// What they took of the server's core.
    pub(super) cpu: Duration,
    /// The answers, in order on each connection.
    pub(super) bodies: Vec<Vec<u8>>,
}

impl Called {
    /// CPU time a call, in µs.
    pub(super) fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.tally.answers() as f64
    }

    /// Calls a second.
    pub(super) fn rate(&self) -> f64 {
        self.tally.answers() as f64 / (self.ended - self.begun).as_secs_f64()
    }

    /// An error if any of them failed, for those without which what follows would make no sense.
    pub(super) fn without_faults(self) -> Result<Self> {
        let Faults { count, first } = &self.tally.faults;
        ensure!(*count == 0, "{count} calls failed; the first: {first:?}");
        Ok(self)
    }
}

/// Makes the calls on `connections` connections, which are there before the first of them. Every answer must be a 200.
pub(super) async fn make(system: &System, requests: Vec<Vec<u8>>, connections: usize) -> Result<Called> {
    let mut hands = vec![Vec::new(); connections];
    for (index, request) in requests.into_iter().enumerate() {
        hands[index % connections].push(request);
    }
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(system.api).await?);
    }
    let before = system.process.threads_cpu()?;
    let begun = Instant::now();
    let mut working = JoinSet::new();
    for (connection, requests) in open.into_iter().zip(hands) {
        working.spawn(one_after_the_other(connection, requests));
    }
    let (mut tally, mut bodies) = (Tally::new()?, Vec::new());
    let mut ended = begun;
    while let Some(done) = working.join_next().await {
        let (answers, faults, until) = done?;
        ended = ended.max(until);
        for (sent, latency, body) in answers {
            tally.answered(sent, latency);
            bodies.push(body);
        }
        tally.faults.merge(faults);
    }
    let cpu = system.process.threads_cpu()?.saturating_sub(before);
    Ok(Called { tally, begun, ended, cpu, bodies })
}

type Answers = Vec<(Instant, Duration, Vec<u8>)>;

async fn one_after_the_other(
    mut connection: Connection,
    requests: Vec<Vec<u8>>,
) -> (Answers, Faults, Instant) {
    let (mut answers, mut faults) = (Vec::with_capacity(requests.len()), Faults::default());
    for request in requests {
        let sent = Instant::now();
        let asked = timeout(PATIENCE, connection.ask(&request)).await;
        let latency = sent.elapsed();
        match asked {
            Ok(Ok(head)) if head.status == 200 => {
                answers.push((sent, latency, connection.body(head).to_vec()));
            }
            Ok(Ok(head)) => {
                let said = String::from_utf8_lossy(connection.body(head)).into_owned();
                faults.add(format!("status {}: {said}", head.status));
            }
            // The connection is of no use any more.
            Ok(Err(why)) => {
                faults.add(format!("{why:#}"));
                break;
            }
            Err(_) => {
                faults.add("no answer in time".to_owned());
                break;
            }
        }
    }
    (answers, faults, Instant::now())
}
