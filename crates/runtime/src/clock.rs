//! The time of day, as an argument. Waits use `tokio::time`; everything that compares dates asks a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Tells the time of day. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Anchored { at: SystemTime, instant: Instant, hand: Hand },
}

/// Sets an anchored clock forward and back, as time synchronisation and people do to real ones.
#[derive(Clone, Copy, Debug)]
pub struct Hand(&'static AtomicI64);

impl Hand {
    /// Moves the time of day by so many milliseconds.
    pub fn step(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }

    fn moved(&self, at: SystemTime) -> SystemTime {
        let milliseconds = self.0.load(Ordering::Relaxed);
        let step = Duration::from_millis(milliseconds.unsigned_abs());
        if milliseconds < 0 { at - step } else { at + step }
    }
}

impl Clock {
    /// The system's clock, asked each time: hosts step their clocks, and credentials expire by the stepped one.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `at` now and from then on moves with tokio's time, so that a paused test moves both.
    pub fn anchored(at: SystemTime) -> Self {
        Self::with_hand(at).0
    }

    /// The same, and the hand that sets it. For tests: the few bytes that both share are never freed.
    pub fn with_hand(at: SystemTime) -> (Self, Hand) {
        let hand = Hand(Box::leak(Box::default()));
        (Self(Source::Anchored { at, instant: Instant::now(), hand }), hand)
    }

    /// The time of day.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> SystemTime {
        match self.0 {
            Source::System => SystemTime::now(),
            Source::Anchored { at, instant, hand } => hand.moved(at + instant.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_anchored_clock_moves_with_paused_time() {
        let clock = Clock::anchored(UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(3_600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_goes_on_from_where_its_hand_was_set() {
        let (clock, hand) = Clock::with_hand(UNIX_EPOCH + Duration::from_secs(100));
        hand.step(-40_000);
        assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(60));
        hand.step(50_000);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(115));
    }
}
