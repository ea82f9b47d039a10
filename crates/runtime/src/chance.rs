//! Chance, as an argument: what spreads retries and renewals is drawn here, so that a test can draw the same again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Draws by chance. Clones draw from the same source.
#[derive(Clone, Debug)]
pub struct Chance(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Chance {
    /// Real chance.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same draws for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// One draw, evenly from all there are.
    pub fn draw(&self) -> u32 {
        match &self.0 {
            Source::System => rand::random(),
            Source::Seeded(source) => source.lock().unwrap_or_else(PoisonError::into_inner).random(),
        }
    }
}

/// The part of `whole` that a draw stands for: nothing for 0, all of it for the largest.
pub fn part(whole: Duration, draw: u32) -> Duration {
    whole.mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_clones_go_on_with_it() {
        let draws = |seed| {
            let chance = Chance::seeded(seed);
            [chance.draw(), chance.clone().draw(), chance.draw()]
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
        assert_ne!(draws(7)[0], draws(7)[1]);
    }

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        let whole = Duration::from_secs(10);
        assert_eq!((part(whole, 0), part(whole, u32::MAX)), (Duration::ZERO, whole));
        assert_eq!(part(whole, u32::MAX / 2).as_secs_f64().round(), 5.0);
    }
}
