//! The contract ring: the real agent as a process, asked byte for byte as clients ask, calling as AWS's tools call.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod audit;
mod metrics;
mod own_calls;
mod pods;
mod probes;
mod requests;
mod verification;

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");
