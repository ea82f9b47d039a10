//! `pod-identity`: pod identity for people, from a whole development system in one process to a single token.

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::command::read(std::env::args_os()) {
        Ok(asked) => cli::carry_out(asked),
        Err(error) => error.exit(),
    }
}
