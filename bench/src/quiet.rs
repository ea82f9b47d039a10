//! Repeats a round in which somebody else used this machine's cores. What counts as disturbed depends on others alone, never
//! on what was measured.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::machine;
use crate::procfs;
use crate::stolen::{Pauses, Watch};

/// CPU time of other processes that is let pass, in cores; clock ticks are too coarse for less.
const FOREIGN: f64 = 0.15;
/// Attempts at a round.
const ATTEMPTS: u32 = 4;
const REST: Duration = Duration::from_millis(500);

/// What share of a round's time the host may take, of one core, before the round is repeated.
#[derive(Clone, Copy)]
pub(crate) enum Host {
    /// Hardly any: a burst is one sample.
    Calm,
    /// Some: rates are lower by as much.
    Fair,
    /// Any: medians, or latencies that have the pauses taken out.
    Any,
}

impl Host {
    fn most(self) -> f64 {
        match self {
            Self::Calm => 0.005,
            Self::Fair => 0.03,
            Self::Any => f64::INFINITY,
        }
    }
}

/// Sees to it that rounds are undisturbed, as far as the time for repeating goes.
pub(crate) struct Quiet {
    watch: Watch,
    left: Duration,
    repeated: u32,
    disturbed: u32,
}

impl Quiet {
    /// Repeats rounds for at most `patience` in all.
    pub(crate) fn new(patience: Duration) -> Result<Self> {
        Ok(Self { watch: Watch::start()?, left: patience, repeated: 0, disturbed: 0 })
    }

    /// The host's pauses.
    pub(crate) fn pauses(&self) -> Pauses {
        self.watch.pauses.clone()
    }

    /// Measures until nobody disturbs it; failing that, the least disturbed attempt counts.
    pub(crate) async fn round<T>(
        &mut self,
        host: Host,
        mut measure: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let mut best: Option<(f64, T)> = None;
        for attempt in 1.. {
            let begun = Instant::now();
            let busy = foreign_ticks()?;
            let value = measure().await?;
            let took = begun.elapsed();
            let foreign = (foreign_ticks()? - busy) / machine::ticks_per_second()? / took.as_secs_f64();
            let stolen = self.watch.pauses.since(begun).as_secs_f64() / took.as_secs_f64();
            if foreign <= FOREIGN && stolen <= host.most() {
                return Ok(value);
            }
            let score = foreign.max(0.0) + if host.most().is_finite() { stolen } else { 0.0 };
            if best.as_ref().is_none_or(|(least, _)| score < *least) {
                best = Some((score, value));
            }
            if attempt == ATTEMPTS || self.left < took + REST {
                break;
            }
            self.left -= took + REST;
            self.repeated += 1;
            sleep(REST).await;
        }
        self.disturbed += 1;
        best.map(|(_, value)| value).context("there was at least one attempt")
    }

    /// How often it had to repeat, and how often in vain, in a sentence.
    pub(crate) fn summary(&self) -> String {
        format!(
            "Attempts repeated because somebody else used the cores: {}. Rounds disturbed all the same: {}.",
            self.repeated, self.disturbed
        )
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "attempts_repeated": self.repeated, "rounds_disturbed_all_the_same": self.disturbed })
    }
}

/// CPU time used in this machine by processes that are not ours.
fn foreign_ticks() -> Result<f64> {
    let ours: u64 =
        procfs::descendants(std::process::id()).into_iter().filter_map(procfs::cpu_ticks_with_reaped).sum();
    Ok(procfs::machine_ticks()? as f64 - ours as f64)
}
