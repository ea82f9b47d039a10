//! The wall clock, asked in this one place. Durations are measured with `tokio::time::Instant`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, as signatures and tokens need it.
#[expect(clippy::disallowed_methods, reason = "a measurement has no clock but the machine's")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970.
pub(crate) fn epoch_seconds() -> u64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
