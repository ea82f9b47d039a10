//! One exchange, with all its attempts: EKS Auth is asked again while what went wrong may pass and a pod waits for it.

use std::time::Duration;

use eks_auth::{Exchange, ExchangeError};
use identity::ServiceAccountToken;
use runtime::chance::part;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::flight::Pilot;
use crate::upstream::{Turn, Urgency};

/// The pause after the first failed attempt; it doubles with each, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Pods wait: whoever recovers shall be noticed soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long an exchange is kept up that fails because the account makes too many calls. Longer than a pod is held: it
/// comes back, and its place in the queue is worth keeping.
const THROTTLED_PATIENCE: Duration = Duration::from_secs(60);

/// Why an exchange is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A pod asked.
    Demand,
    /// A session has to be renewed: in a turn that was waited for, or in the next one of those that pods wait for.
    Renewal(Option<Turn>),
}

/// Exchanges a token. A renewal that no pod waits for has one attempt, since its session comes up again by itself.
pub(super) async fn make(
    shared: &Shared,
    token: &ServiceAccountToken,
    purpose: Purpose,
    pilot: &Pilot,
) -> Result<Exchange, ExchangeError> {
    let began = Instant::now();
    let mut turn = match purpose {
        Purpose::Renewal(Some(turn)) => turn,
        Purpose::Demand | Purpose::Renewal(None) => shared.pace.turn(Urgency::Foreground).await,
    };
    let mut attempts = 1;
    loop {
        let error = match attempt(shared, token, turn).await {
            Ok(exchange) => return Ok(exchange),
            Err(error) => error,
        };
        let is_wanted = matches!(purpose, Purpose::Demand) || pilot.is_wanted();
        if !is_wanted || !error.may_pass() {
            return Err(error);
        }
        let throttled = error.is_throttling();
        // Throttled calls are paced, which is pause enough.
        let pause = if throttled { Duration::ZERO } else { pause_after(attempts, shared.chance.draw()) };
        let patience =
            if throttled { THROTTLED_PATIENCE.max(shared.policy.hold) } else { shared.policy.hold };
        let out_of_attempts = !throttled && attempts >= shared.policy.attempts;
        if out_of_attempts || began.elapsed() + pause >= patience {
            return Err(error);
        }
        pilot.in_trouble(&error);
        sleep(pause).await;
        turn = shared.pace.turn(Urgency::Foreground).await;
        if !throttled {
            attempts += 1;
        }
    }
}

async fn attempt(
    shared: &Shared,
    token: &ServiceAccountToken,
    turn: Turn,
) -> Result<Exchange, ExchangeError> {
    let exchanged = shared.upstream.exchange(token).await;
    match &exchanged {
        Err(error) if error.is_throttling() => shared.pace.throttled(turn),
        Ok(_) | Err(_) => shared.pace.not_throttled(),
    }
    exchanged
}

/// Twice as long each time; `chance` takes up to half off, so that those which failed together do not come back together.
fn pause_after(attempts: u32, chance: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    whole - part(whole / 2, chance)
}
