//! A session as it goes from an agent to the one that takes its place. Holds secrets: it is written to memory and to a socket
//! whose other end is known, and nowhere else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::answer::Issued;

/// Everything that a session is, but for tokens that newer ones took the place of.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Handed {
    /// The uid of its pod, where that was verified.
    pub(super) pod: Option<String>,
    /// The token that renews it.
    pub(super) token: String,
    /// The association that its credentials came from.
    pub(super) association: String,
    /// The answer that its pod gets.
    pub(super) answer: String,
    /// What its credentials are, where answers are audited.
    #[serde(default)]
    #[zeroize(skip)]
    pub(super) issued: Option<Box<Issued>>,
    /// When its credentials came, in milliseconds since 1970, as are the others.
    pub(super) obtained: u64,
    /// When they end.
    pub(super) expires: u64,
    /// When they are due to be renewed.
    pub(super) due: u64,
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The same, back. `None` for what no clock shows.
pub(super) fn time(milliseconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}
