//! A marker in every secret of a test. Whoever prints it has leaked one.

/// Stands in tokens' signatures, secret access keys and session tokens.
pub const MARKER: &str = "C4n4ryS3cr3t";

/// Fails when `text` (a log, an error, a page of metrics) holds the marker. `place` names it in the failure.
#[track_caller]
pub fn assert_absent(place: &str, text: &str) {
    if let Some(at) = text.find(MARKER) {
        let from = text[..at].char_indices().rev().nth(60).map_or(0, |(index, _)| index);
        panic!("a secret is printed in {place}: …{}", &text[from..at + MARKER.len()]);
    }
}
