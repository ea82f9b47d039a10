//! `pod-identity`: pod identity for people, from a whole development system in one process to a single token.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// As in the agent: `dev` has the same secrets, and the keys that make them.
#[global_allocator]
static WIPED_WHEN_FREED: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    match cli::command::read(std::env::args_os()) {
        Ok(asked) => cli::carry_out(asked),
        Err(error) => error.exit(),
    }
}
