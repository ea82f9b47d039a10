//! From an agent to the one that takes its place, so that a roll-out costs no call and no pod notices: live sessions and signing keys
//! go over a Unix socket, from memory to memory.
//!
//! ```text
//!   new                                old
//!    │ connects, says hello             │
//!    │ ◄── keys, sessions, "complete"   │ goes on answering and renewing
//!    │ listens, takes all new           │
//!    │ connections, says "serving" ──►  │ renews no more
//!    │ ◄── each session that changes    │ answers on connections that are open
//!    │     binds the socket's path      │ is told to stop, drains, ends
//! ```
//!
//! Either may be killed at any moment. Without the old one, the new one goes on with what it has. Without the new one, the old one
//! gets all connections again, since the kernel sends them to whoever is left, and renews again.

mod directory;
mod predecessor;
mod socket;
mod successors;
mod wire;

use std::path::PathBuf;

use runtime::DrainWatch;
use tracing::warn;

use crate::session::Sessions;
use crate::verification::Verification;
pub use directory::{DirectoryError, HandoverDirectory};
pub use predecessor::Predecessor;
pub use socket::SocketError;
use successors::Successors;

/// Hears the agent before to its end, and waits for the next.
pub(crate) async fn run(
    path: PathBuf,
    predecessor: Option<Predecessor>,
    sessions: Sessions,
    verification: Verification,
    drain: DrainWatch,
) {
    let successors = match Successors::open(&path) {
        Ok(successors) => Some(successors),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "the agent that takes this one's place will start without its sessions"
            );
            None
        }
    };
    let before = async {
        if let Some(predecessor) = predecessor {
            tokio::select! {
                () = drain.started() => {}
                () = predecessor.follow(&sessions) => {}
            }
        }
    };
    let after = async {
        match successors {
            Some(successors) => successors.serve(&sessions, &verification, &drain).await,
            None => drain.started().await,
        }
    };
    tokio::join!(before, after);
}
