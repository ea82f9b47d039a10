//! Fakes that tests share: tokens to send, an EKS Auth that follows a script (in memory or behind a real socket), the
//! real agent as a process, and a canary that must never be seen.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test support fails by panicking")]

pub mod authority;
pub mod canary;
pub mod eks_auth_server;
pub mod issuer_server;
pub mod neighbours;
pub mod network;
pub mod pod_watch_server;
pub mod ports;
pub mod process;
pub mod rights;
pub mod script;
mod server;
pub mod signing;
pub mod token;
pub mod wire;

pub use script::{Allowance, Script, Step};
pub use signing::SigningKey;
pub use token::TokenBuilder;
