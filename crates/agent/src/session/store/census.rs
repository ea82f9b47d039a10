//! How all sessions stand, counted.

use std::time::SystemTime;

use super::session::Session;

/// Sessions by what they are at; each is at one thing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct Census {
    /// Not due yet.
    pub(in crate::session) fresh: usize,
    /// To be renewed as soon as their turn comes.
    pub(in crate::session) due: usize,
    /// Their last renewal failed.
    pub(in crate::session) failing: usize,
    /// Their pod is over: they are not renewed.
    pub(in crate::session) abandoned: usize,
    /// When the first of them ends.
    pub(in crate::session) earliest_end: Option<SystemTime>,
}

impl Census {
    /// Counts a session.
    pub(super) fn add(&mut self, session: &Session, now: SystemTime) {
        let count = match () {
            () if session.is_abandoned() => &mut self.abandoned,
            () if session.failures() > 0 => &mut self.failing,
            () if session.due <= now => &mut self.due,
            () => &mut self.fresh,
        };
        *count += 1;
        let end = session.expires();
        self.earliest_end = Some(self.earliest_end.map_or(end, |earliest| earliest.min(end)));
    }
}
