//! What every process of ours needs and what has nothing to do with identities: time, start and stop, listeners, probes,
//! logs.

pub mod admin;
pub mod chance;
pub mod clock;
mod connection;
pub mod drain;
pub mod environment;
pub mod go_duration;
pub mod listener;
pub mod log;
mod peers;
pub mod private_socket;
pub mod probe;
pub mod process;
pub mod readiness;
pub mod scraped;
mod steering;

pub use chance::Chance;
pub use clock::{Clock, Hand};
pub use drain::{Drain, DrainWatch};
pub use environment::Environment;
pub use listener::{BindError, Handler, Limits, Listener};
pub use readiness::Readiness;
