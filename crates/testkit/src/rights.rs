//! Tests that need more than an ordinary user may do.

use std::fmt::Display;

/// A right is missing: the test fails under `CI=true`, and is otherwise skipped, by name and on stderr.
///
/// # Panics
/// Under `CI=true`.
#[expect(clippy::print_stderr, reason = "a test that is skipped must not be silent about it")]
pub fn missing(test: &str, right: &str, error: &dyn Display) {
    assert!(!is_ci(), "{test} needs the right {right}: {error}");
    eprintln!("skipped without root: {test}: {error}");
}

#[expect(clippy::disallowed_methods, reason = "tests know from the environment alone where they run")]
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
