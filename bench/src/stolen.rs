//! Time that the host takes from our virtual CPUs. Many hosts do not report it as steal time, so it is observed: on each
//! core a thread of real-time priority, which nothing in this machine can hold up, sleeps for a fixed time again and again.
//! Where it oversleeps, the core was not running. What the measured server does has no influence on that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::machine::{self, LOAD_CORE, SERVER_CORE};

const SLEEP: Duration = Duration::from_micros(500);
/// Oversleeping by less is the kernel's own doing.
const NOTICED: Duration = Duration::from_micros(300);

/// A time in which a core did not run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Pause {
    fn length(self) -> Duration {
        self.until - self.from
    }

    /// Whether something that took from `from` until `until` was held up: by the pause, or by what had piled up in it.
    fn touches(self, from: Instant, until: Instant) -> bool {
        from <= self.until + self.length() / 4 && until >= self.from
    }
}

/// All pauses since the start. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Pauses(Arc<Mutex<Vec<Pause>>>);

impl Pauses {
    fn all(&self) -> MutexGuard<'_, Vec<Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pauses that touch this time.
    pub(crate) fn between(&self, from: Instant, until: Instant) -> Vec<Pause> {
        self.all().iter().copied().filter(|pause| pause.touches(from, until)).collect()
    }

    /// How long both cores together did not run since then.
    pub(crate) fn since(&self, from: Instant) -> Duration {
        let all = self.all();
        all.iter().filter(|pause| pause.until >= from).map(|pause| pause.until - pause.from.max(from)).sum()
    }
}

/// Whether any of `pauses` held up what took from `from` until `until`.
pub(crate) fn held_up(pauses: &[Pause], from: Instant, until: Instant) -> bool {
    pauses.iter().any(|pause| pause.touches(from, until))
}

/// The threads that observe.
pub(crate) struct Watch {
    pub(crate) pauses: Pauses,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Starts them.
    pub(crate) fn start() -> Result<Self> {
        let mut watch = Self { pauses: Pauses::default(), over: Arc::default(), threads: Vec::new() };
        for core in [SERVER_CORE, LOAD_CORE] {
            let (pauses, over) = (watch.pauses.clone(), Arc::clone(&watch.over));
            let (told, hears) = std::sync::mpsc::channel();
            watch.threads.push(thread::spawn(move || {
                machine::own_this_core(core)?;
                told.send(()).context("nobody waits for this thread")?;
                observe(&pauses, &over);
                Ok(())
            }));
            hears.recv().context("a core cannot be watched: real-time priority is needed, as root has it")?;
        }
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that could not start has said so in `start`.
            let _ = thread.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, whose sleep is what it measures")]
fn observe(pauses: &Pauses, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let from = Instant::now();
        thread::sleep(SLEEP);
        let until = Instant::now();
        if until - from > SLEEP + NOTICED {
            pauses.all().push(Pause { from, until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_holds_up_what_overlaps_it_and_what_comes_while_the_rest_is_caught_up() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let pauses = [Pause { from: at(100), until: at(108) }];
        for (from, until, wanted) in
            [(90, 99, false), (90, 101, true), (103, 104, true), (109, 110, true), (111, 112, false)]
        {
            assert_eq!(held_up(&pauses, at(from), at(until)), wanted, "{from} to {until}");
        }
    }

    #[test]
    fn only_the_part_of_a_pause_after_the_beginning_counts() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let pauses = Pauses::default();
        pauses.all().push(Pause { from: at(10), until: at(20) });
        pauses.all().push(Pause { from: at(30), until: at(31) });
        assert_eq!(pauses.since(at(15)), Duration::from_millis(6));
    }
}
