//! The human's way in. `dev` is a whole pod identity system in one process on loopback; the other commands talk to it
//! over its control socket.

pub mod command;
mod control;
mod dev;
mod dial;
mod doctor;
mod entry;
mod errand;
mod explain;
mod pod;
mod proc;
mod terminal;

pub use entry::carry_out;
