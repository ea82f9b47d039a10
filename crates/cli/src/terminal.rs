//! Speaking to the person at the terminal: results on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use runtime::Environment;

/// This program as the person called it, so that a line that names it can be copied as it is.
pub(crate) fn program() -> String {
    std::env::args()
        .next()
        .filter(|name| !name.contains(char::is_whitespace))
        .unwrap_or("pod-identity".to_owned())
}

/// A result. An error means that nobody listens any more.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Whether results may be coloured: for a person who has not asked for none (no-color.org).
pub(crate) fn has_colours(environment: &impl Environment) -> bool {
    io::stdout().is_terminal()
        && environment.get("NO_COLOR").is_none()
        && environment.get("TERM").as_deref() != Some("dumb")
}

/// A remark that is no result.
pub(crate) fn note(text: &str) {
    // Where nobody reads stderr, there is nobody to tell that to either.
    let _ = writeln!(io::stderr().lock(), "pod-identity: {text}");
}

/// Why something did not happen: the whole chain of reasons, on one line.
pub(crate) fn complain(error: &(dyn std::error::Error + 'static)) {
    note(&runtime::log::with_causes(error));
}
