//! `pod-identity doctor` on nodes that are broken in one way each, and on healthy ones: the real programs in network namespaces. Each
//! set-up says exactly which warnings and errors there are to be, so none may be missed and nothing healthy blamed.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod aws;
mod cluster;
mod examination;
mod firewall;
mod healthy;
mod node;
mod pod;
mod set_ups;
