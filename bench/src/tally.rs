//! What a load brought back: latencies, how late the generator itself was, and faults.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stolen::{self, Pause};

/// The longest latency kept apart from longer ones.
const LONGEST: u64 = 60_000_000_000;

/// Answers that were none: not 200, of another length, late, or cut off.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// How many.
    pub(crate) count: u64,
    /// The first of them.
    pub(crate) first: Option<String>,
}

impl Faults {
    /// One more.
    pub(crate) fn add(&mut self, why: String) {
        self.merge(Self { count: 1, first: Some(why) });
    }

    /// Those of another part of the run.
    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

/// The percentiles we report, in µs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// What a load brought back.
pub(crate) struct Tally {
    answers: Vec<Answer>,
    lateness: Histogram<u64>,
    /// What went wrong.
    pub(crate) faults: Faults,
}

struct Answer {
    due: Instant,
    latency: Duration,
}

impl Tally {
    /// An empty one.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { answers: Vec::new(), lateness: histogram()?, faults: Faults::default() })
    }

    /// An answer, `latency` after it was due.
    pub(crate) fn answered(&mut self, due: Instant, latency: Duration) {
        self.answers.push(Answer { due, latency });
    }

    /// A request that the generator sent `lateness` after it was due.
    pub(crate) fn sent(&mut self, lateness: Duration) {
        self.lateness.saturating_record(nanoseconds(lateness));
    }

    /// How many answers there were.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.len() as u64
    }

    /// The latencies of all answers.
    pub(crate) fn latencies(&self) -> Result<Percentiles> {
        self.latencies_outside(&[]).map(|(latencies, _)| latencies)
    }

    /// The latencies of those that no pause held up, and the share of the others.
    pub(crate) fn latencies_outside(&self, pauses: &[Pause]) -> Result<(Percentiles, f64)> {
        let mut latencies = histogram()?;
        for Answer { due, latency } in &self.answers {
            if !stolen::held_up(pauses, *due, *due + *latency) {
                latencies.saturating_record(nanoseconds(*latency));
            }
        }
        let held_up = 1.0 - latencies.len() as f64 / self.answers() as f64;
        Ok((percentiles(&latencies), held_up))
    }

    /// The longest latency, in ms: when the last of a burst was answered.
    pub(crate) fn last_ms(&self) -> f64 {
        self.answers.iter().map(|answer| answer.latency).max().unwrap_or_default().as_secs_f64() * 1e3
    }

    /// All of it, for a reader.
    pub(crate) fn to_json(&self) -> Result<Value> {
        let (latency, lateness) = (self.latencies()?, percentiles(&self.lateness));
        Ok(json!({
            "answers": self.answers(),
            "faults": self.faults.count,
            "first_fault": self.faults.first,
            "latency_us": { "p50": latency.p50, "p99": latency.p99, "p99.9": latency.p999 },
            "generator_late_us": { "p50": lateness.p50, "p99": lateness.p99, "p99.9": lateness.p999 },
        }))
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST, 3).context("the bounds of a histogram")
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_values_below_which_so_many_answers_lie() {
        let mut tally = Tally::new().unwrap();
        for latency in 1..=1000 {
            tally.answered(Instant::now(), Duration::from_micros(latency));
        }
        let found = tally.latencies().unwrap();
        for (found, wanted) in [(found.p50, 500.0), (found.p99, 990.0), (found.p999, 999.0)] {
            assert!((found - wanted).abs() / wanted < 0.002, "{found} is not {wanted}");
        }
        assert!((tally.last_ms() - 1.0).abs() < 0.002);
    }

    #[test]
    fn answers_that_a_pause_held_up_are_set_aside() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut tally = Tally::new().unwrap();
        tally.answered(at(0), Duration::from_millis(1));
        tally.answered(at(10), Duration::from_millis(30));
        let (found, held_up) = tally.latencies_outside(&[Pause { from: at(20), until: at(39) }]).unwrap();
        assert!((found.p999 / 1000.0 - 1.0).abs() < 0.002);
        assert!((held_up - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_first_fault_is_the_one_kept() {
        let mut faults = Faults::default();
        faults.merge(Faults::default());
        faults.add("one".into());
        faults.add("two".into());
        assert_eq!(faults, Faults { count: 2, first: Some("one".into()) });
    }
}
