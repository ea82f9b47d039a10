//! Stopping as a sequence: work that is under way holds a watch; the drain is complete when the last watch is dropped.

use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Starts and awaits the end of all work that holds a [`DrainWatch`].
#[derive(Clone, Debug, Default)]
pub struct Drain {
    started: CancellationToken,
    cut: CancellationToken,
    work: TaskTracker,
}

/// Held by work that must finish before the process ends.
#[derive(Debug)]
pub struct DrainWatch {
    started: CancellationToken,
    cut: CancellationToken,
    work: TaskTracker,
    _held: TaskTrackerToken,
}

/// The time for draining was over before the work was.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{unfinished} tasks were cut off: they did not finish in time")]
pub struct CutOff {
    /// How much work was left.
    pub unfinished: usize,
}

impl Drain {
    /// A drain nobody watches yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A watch for one piece of work. Dropping it says that the work is done.
    pub fn watch(&self) -> DrainWatch {
        DrainWatch {
            started: self.started.clone(),
            cut: self.cut.clone(),
            work: self.work.clone(),
            _held: self.work.token(),
        }
    }

    /// Tells everybody to finish, and waits until all have, but no longer than `patience`.
    ///
    /// # Errors
    /// [`CutOff`] when work was left; it has then been told to end at once.
    pub async fn within(&self, patience: Duration) -> Result<(), CutOff> {
        self.started.cancel();
        self.work.close();
        if tokio::time::timeout(patience, self.work.wait()).await.is_err() {
            let unfinished = self.work.len();
            self.cut_now();
            return Err(CutOff { unfinished });
        }
        Ok(())
    }

    /// Tells everybody to end at once.
    pub fn cut_now(&self) {
        self.started.cancel();
        self.cut.cancel();
    }

    /// Whether draining has begun.
    pub fn has_started(&self) -> bool {
        self.started.is_cancelled()
    }
}

impl DrainWatch {
    /// Completes when work should finish what it has and take no more.
    pub async fn started(&self) {
        self.started.cancelled().await;
    }

    /// Completes when work must end at once.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Whether draining has begun.
    pub fn has_started(&self) -> bool {
        self.started.is_cancelled()
    }
}

impl Clone for DrainWatch {
    fn clone(&self) -> Self {
        Self {
            started: self.started.clone(),
            cut: self.cut.clone(),
            work: self.work.clone(),
            _held: self.work.token(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_when_the_last_watch_is_dropped() {
        let drain = Drain::new();
        let watch = drain.watch();
        let other = watch.clone();
        tokio::spawn(async move {
            watch.started().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop((watch, other));
        });
        assert_eq!(drain.within(Duration::from_secs(5)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_finish_is_counted_and_cut() {
        let drain = Drain::new();
        let watch = drain.watch();
        assert_eq!(drain.within(Duration::from_secs(5)).await, Err(CutOff { unfinished: 1 }));
        watch.cut().await;
    }
}
