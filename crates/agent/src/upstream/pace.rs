//! How fast this node may call EKS Auth. As fast as it likes, until the account is throttled; then all its calls slow down
//! together: half as many at each refusal, a little more each second without one. Calls that pods wait for go first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{Gauge, IntCounter, Opts, Registry};
use runtime::Chance;
use tokio::sync::{Mutex as Lane, Notify};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

/// The pace never falls below one call in five seconds, less than a pod is held: something must find out when the account
/// has room again.
const SLOWEST: f64 = 0.2;

/// Beyond this the pace is no bound worth keeping.
const FREE: f64 = 1_000.0;

/// After halving, the old pace is reached again in so many seconds.
const SECONDS_TO_RECOVER: f64 = 4.0;

/// By how much the pace grows each second at least.
const LEAST_GROWTH: f64 = 0.1;

/// Over how long the rate of calls is measured when the first throttling asks how fast we were.
const WINDOW: Duration = Duration::from_secs(1);

/// Who waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A pod does.
    Foreground,
    /// Nobody yet: a renewal ahead of time.
    Background,
}

/// The pace of all calls of this node.
pub struct Pace {
    state: Mutex<State>,
    /// Held by the one who sleeps until the next call may start; fair, so first come, first served.
    next: Lane<()>,
    /// The same among renewals, who line up one at a time.
    next_renewal: Lane<()>,
    foreground: AtomicUsize,
    foreground_gone: Notify,
    chance: Chance,
    metrics: PaceMetrics,
}

struct State {
    /// Calls a second; `None` while nothing has been throttled.
    limit: Option<Limit>,
    /// When calls started, within [`WINDOW`]; kept only while there is no limit.
    started: VecDeque<Instant>,
}

struct Limit {
    rate: f64,
    /// How much the rate grows each second.
    growth: f64,
    grown: Instant,
    halved: Instant,
    next: Instant,
}

/// A call's permission to start, which knows when that was.
#[derive(Clone, Copy, Debug)]
pub struct Turn(Instant);

impl Pace {
    /// No bound yet.
    pub fn new(chance: Chance, metrics: PaceMetrics) -> Self {
        metrics.limit.set(f64::INFINITY);
        Self {
            state: Mutex::new(State { limit: None, started: VecDeque::new() }),
            next: Lane::default(),
            next_renewal: Lane::default(),
            foreground: AtomicUsize::new(0),
            foreground_gone: Notify::new(),
            chance,
            metrics,
        }
    }

    /// Waits until a call may start. Waiting can be given up at any time.
    pub async fn turn(&self, urgency: Urgency) -> Turn {
        if let Some(turn) = self.state().free_turn() {
            return turn;
        }
        match urgency {
            Urgency::Foreground => {
                let _waiting = Waiting::among(self);
                self.slot().await
            }
            Urgency::Background => {
                let _renewal = self.next_renewal.lock().await;
                self.until_pods_are_served().await;
                self.slot().await
            }
        }
    }

    /// Pods go first, but not for ever: a renewal that waits for ten calls of theirs is due.
    async fn until_pods_are_served(&self) {
        let ten_calls = Duration::from_secs_f64(10.0 / self.state().rate().max(SLOWEST));
        let served = async {
            loop {
                let gone = self.foreground_gone.notified();
                if self.foreground.load(Ordering::Relaxed) == 0 {
                    return;
                }
                gone.await;
            }
        };
        tokio::select! {
            () = served => {}
            () = sleep(ten_calls) => {}
        }
    }

    async fn slot(&self) -> Turn {
        let _lane = self.next.lock().await;
        let at = match self.state().reserve(self.chance.draw()) {
            Ok(turn) => return turn,
            Err(at) => at,
        };
        sleep_until(at).await;
        Turn(Instant::now())
    }

    /// EKS Auth asked to slow down, in answer to the call of this turn.
    pub fn throttled(&self, turn: Turn) {
        self.metrics.throttled.inc();
        let mut state = self.state();
        let was_free = state.limit.is_none();
        if let Some(rate) = state.slow_down(turn) {
            self.metrics.limit.set(rate);
            if was_free {
                drop(state);
                warn!(calls_per_second = rate, "EKS Auth throttles this account, calling it more slowly");
            }
        }
    }

    /// A call was answered in another way.
    pub fn not_throttled(&self) {
        let mut state = self.state();
        let was_free = state.limit.is_none();
        let rate = state.speed_up();
        self.metrics.limit.set(rate);
        if !was_free && state.limit.is_none() {
            drop(state);
            info!("EKS Auth no longer throttles this account, calling it as needed");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a turn on a pod's behalf.
struct Waiting<'a>(&'a Pace);

impl<'a> Waiting<'a> {
    fn among(pace: &'a Pace) -> Self {
        pace.foreground.fetch_add(1, Ordering::Relaxed);
        Self(pace)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.foreground.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.foreground_gone.notify_waiters();
        }
    }
}

impl State {
    /// A turn at once, while there is no bound.
    fn free_turn(&mut self) -> Option<Turn> {
        if self.limit.is_some() {
            return None;
        }
        let now = Instant::now();
        self.forget_before(now);
        self.started.push_back(now);
        Some(Turn(now))
    }

    fn forget_before(&mut self, now: Instant) {
        while self.started.front().is_some_and(|at| *at + WINDOW <= now) {
            self.started.pop_front();
        }
    }

    /// A turn at once, or the moment of the next one; `chance` moves it by up to a tenth, so that nodes which were
    /// throttled together do not stay in step.
    fn reserve(&mut self, chance: u32) -> Result<Turn, Instant> {
        self.speed_up();
        let now = Instant::now();
        let Some(limit) = &mut self.limit else { return Ok(Turn(now)) };
        let spread = 0.9 + 0.2 * f64::from(chance) / f64::from(u32::MAX);
        let at = limit.next.max(now);
        limit.next = at + Duration::from_secs_f64(spread / limit.rate);
        if at <= now { Ok(Turn(now)) } else { Err(at) }
    }

    fn rate(&self) -> f64 {
        self.limit.as_ref().map_or(f64::INFINITY, |limit| limit.rate)
    }

    /// Halves the rate, but for calls that started before it was last halved: they tell nothing new.
    fn slow_down(&mut self, turn: Turn) -> Option<f64> {
        let now = Instant::now();
        let before = match &self.limit {
            Some(limit) if turn.0 < limit.halved => return None,
            Some(limit) => limit.rate,
            None => {
                self.forget_before(now);
                let calls = u32::try_from(self.started.len()).unwrap_or(u32::MAX);
                self.started = VecDeque::new();
                f64::from(calls).max(1.0) / WINDOW.as_secs_f64()
            }
        };
        let rate = (before / 2.0).max(SLOWEST);
        let pause = Duration::from_secs_f64(1.0 / rate);
        self.limit = Some(Limit {
            rate,
            growth: (rate / SECONDS_TO_RECOVER).max(LEAST_GROWTH),
            grown: now,
            halved: now,
            next: now + pause,
        });
        Some(rate)
    }

    /// Lets the rate grow by the time that has passed; beyond [`FREE`] there is no bound any more.
    fn speed_up(&mut self) -> f64 {
        let Some(limit) = &mut self.limit else { return f64::INFINITY };
        let now = Instant::now();
        limit.rate += limit.growth * now.duration_since(limit.grown).as_secs_f64();
        limit.grown = now;
        if limit.rate >= FREE {
            self.limit = None;
        }
        self.rate()
    }
}

/// What the pace tells.
#[derive(Clone)]
pub struct PaceMetrics {
    limit: Gauge,
    throttled: IntCounter,
}

impl PaceMetrics {
    /// Metrics in this registry.
    ///
    /// # Errors
    /// When the registry has one of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let limit = Gauge::with_opts(Opts::new(
            "pod_identity_upstream_pace",
            "Calls a second that this node allows itself to EKS Auth; +Inf while the account is not throttled",
        ))?;
        let throttled = IntCounter::with_opts(Opts::new(
            "pod_identity_upstream_throttled_total",
            "Calls that EKS Auth refused because the account makes too many",
        ))?;
        registry.register(Box::new(limit.clone()))?;
        registry.register(Box::new(throttled.clone()))?;
        Ok(Self { limit, throttled })
    }
}

#[cfg(test)]
mod tests;
