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

pub use directory::{DirectoryError, HandoverDirectory};
pub use predecessor::Predecessor;
pub use socket::SocketError;
pub use successors::Successors;
