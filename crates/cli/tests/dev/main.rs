//! `pod-identity dev` from outside: real processes, real sockets, real signals.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod crash;
mod disk;
mod eks;
mod explain;
mod life;
mod roles;
mod run;
mod system;
mod use_it;
