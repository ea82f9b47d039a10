//! Keeping the token file fresh, as kubelet does: a new token when four fifths of the old one's life are over.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use identity::Secret;
use runtime::Clock;

use super::TokenFile;
use crate::terminal;

/// Kubelet renews at 80 % of the lifetime, and after 24 hours in any case.
const AT_LATEST: Duration = Duration::from_secs(24 * 3_600);

/// How soon a renewal that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How often the clock is looked at: a laptop that slept has waited less than its clock says.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Re-writes the file with tokens from `issue` for as long as it is polled. What goes wrong is said once and tried again.
pub(super) async fn keep_fresh<E: Error + 'static>(
    file: &mut TokenFile,
    lifetime: Duration,
    clock: Clock,
    issue: impl AsyncFn() -> Result<Secret, E>,
) -> Infallible {
    let age = (lifetime * 4 / 5).min(AT_LATEST);
    let mut renew_at = clock.now() + age;
    let mut failing = false;
    loop {
        let left = renew_at.duration_since(clock.now()).unwrap_or_default();
        if !left.is_zero() {
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            continue;
        }
        // Counted from before the asking: the new token is no younger than that.
        let asked = clock.now();
        let renewed = match issue().await {
            Ok(token) => file.replace(&token).map_err(|error| Box::new(error) as Box<dyn Error>),
            Err(error) => Err(error.into()),
        };
        renew_at = match renewed {
            Ok(()) => {
                failing = false;
                asked + age
            }
            Err(error) => {
                if !failing {
                    terminal::note("the token file could not be renewed, trying on:");
                    terminal::complain(error.as_ref());
                }
                failing = true;
                clock.now() + TRY_AGAIN.min(age)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    /// Lets `keep_fresh` run for `time` with an issuer that numbers its tokens and fails for the numbers in `failing`.
    async fn after(time: Duration, lifetime: Duration, failing: &[u32]) -> (String, u32) {
        let mut file = TokenFile::create(&Secret::from("token 0")).unwrap();
        let path = file.path();
        let asked = Cell::new(0);
        let issue = async || {
            asked.set(asked.get() + 1);
            if failing.contains(&asked.get()) {
                return Err(std::io::Error::other("no luck"));
            }
            Ok(Secret::from(format!("token {}", asked.get())))
        };
        let clock = Clock::anchored(UNIX_EPOCH);
        let running = keep_fresh(&mut file, lifetime, clock, issue);
        let _ = tokio::time::timeout(time, running).await;
        (std::fs::read_to_string(path).unwrap(), asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_when_four_fifths_of_its_life_are_over() {
        let second = Duration::from_secs(1);
        assert_eq!(after(DAY * 4 / 5 - second, DAY, &[]).await, ("token 0".into(), 0));
        assert_eq!(after(DAY * 4 / 5 + second, DAY, &[]).await, ("token 1".into(), 1));
        assert_eq!(after(DAY * 2, DAY, &[]).await, ("token 2".into(), 2));
        assert_eq!(after(second * 9, second * 10, &[]).await, ("token 1".into(), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_fails_leaves_the_old_token_and_is_tried_again_soon() {
        let begin = DAY * 4 / 5;
        assert_eq!(after(begin + Duration::from_secs(1), DAY, &[1, 2]).await, ("token 0".into(), 1));
        assert_eq!(after(begin + Duration::from_secs(11), DAY, &[1, 2]).await, ("token 3".into(), 3));
    }
}
