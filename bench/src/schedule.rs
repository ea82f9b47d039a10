//! When each request of an open loop is due, whatever became of those before it.

use std::time::Duration;

/// A steady rate for some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Requests a second.
    pub(crate) rate: u32,
    /// How many.
    pub(crate) count: u32,
}

impl Schedule {
    /// `rate` requests a second for `seconds`.
    pub(crate) fn lasting(rate: u32, seconds: u64) -> Self {
        Self { rate, count: rate.saturating_mul(u32::try_from(seconds).unwrap_or(u32::MAX)) }
    }

    /// The time of each request after the start. Computed from its index, so that rounding does not add up.
    pub(crate) fn offsets(self) -> impl Iterator<Item = Duration> {
        (0..self.count)
            .map(move |index| Duration::from_nanos(u64::from(index) * 1_000_000_000 / u64::from(self.rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_evenly_and_do_not_drift() {
        let offsets: Vec<Duration> = Schedule::lasting(900, 3).offsets().collect();
        assert_eq!(offsets.len(), 2700);
        assert_eq!(offsets[0], Duration::ZERO);
        assert_eq!(offsets[900], Duration::from_secs(1));
        assert_eq!(offsets[1800], Duration::from_secs(2));
        let steps = offsets.windows(2).map(|two| two[1] - two[0]);
        assert!(steps.into_iter().all(|step| step.as_nanos().abs_diff(1_111_111) <= 1));
    }
}
