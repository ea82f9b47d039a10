//! The time of day, as an argument. Waits use `tokio::time`; everything that compares dates asks a [`Clock`].

use std::time::SystemTime;

use tokio::time::Instant;

/// Tells the time of day. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Anchored { at: SystemTime, instant: Instant },
}

impl Clock {
    /// The system's clock, asked each time: hosts step their clocks, and credentials expire by the stepped one.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `at` now and from then on moves with tokio's time, so that a paused test moves both.
    pub fn anchored(at: SystemTime) -> Self {
        Self(Source::Anchored { at, instant: Instant::now() })
    }

    /// The time of day.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> SystemTime {
        match self.0 {
            Source::System => SystemTime::now(),
            Source::Anchored { at, instant } => at + instant.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_anchored_clock_moves_with_paused_time() {
        let clock = Clock::anchored(UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(3_600));
    }
}
