//! Durations as Go writes them, since AWS's agent takes its flags in that form: `3h`, `1h30m`, `1.5s`, `0`.

use std::time::Duration;

use thiserror::Error;

/// The text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a duration such as 90s, 1h30m or 0: numbers with the units h, m, s, ms, us or ns, not negative")]
pub struct GoDurationError;

/// Reads what Go's `time.ParseDuration` reads, without negative values.
///
/// # Errors
/// When the text is no such duration, or too long for one.
pub fn parse(text: &str) -> Result<Duration, GoDurationError> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(GoDurationError);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(GoDurationError)?;
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        let nanoseconds_per_unit: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return Err(GoDurationError),
        };
        total = total.checked_add(amount(number, nanoseconds_per_unit)?).ok_or(GoDurationError)?;
        rest = tail;
    }
    // Go keeps durations in 63 bits of nanoseconds.
    if total.as_nanos() > i64::MAX as u128 { Err(GoDurationError) } else { Ok(total) }
}

fn amount(number: &str, nanoseconds_per_unit: u64) -> Result<Duration, GoDurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(GoDurationError);
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| GoDurationError)? };
    let whole = whole.checked_mul(nanoseconds_per_unit).ok_or(GoDurationError)?;
    let share: f64 = if fraction.is_empty() {
        0.0
    } else {
        format!("0.{fraction}").parse().map_err(|_| GoDurationError)?
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share below one of at most an hour"
    )]
    let share = (share * nanoseconds_per_unit as f64) as u64;
    whole.checked_add(share).map(Duration::from_nanos).ok_or(GoDurationError)
}

/// Writes a duration as Go does in its own messages, in hours, minutes and seconds: `3h0m0s`, `1m30s`, `0s`.
pub fn to_text(duration: Duration) -> String {
    let seconds = duration.as_secs_f64() % 60.0;
    match (duration.as_secs() / 3_600, duration.as_secs() / 60 % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("3h", 10_800_000),
            ("1h30m", 5_400_000),
            ("90s", 90_000),
            ("0", 0),
            ("0s", 0),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("+2m", 120_000),
            ("1h1ms", 3_600_001),
            ("2500us", 2),
        ] {
            assert_eq!(parse(text).map(|duration| duration.as_millis()), Ok(milliseconds), "{text}");
        }
    }

    #[test]
    fn texts_that_go_refuses_are_refused() {
        for text in ["", "3", "3x", "-1s", "h", ".s", "1..2s", "1h 30m", "99999999999h", "3d", "ten"] {
            assert_eq!(parse(text), Err(GoDurationError), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (text, written) in [("3h", "3h0m0s"), ("90s", "1m30s"), ("1500ms", "1.5s"), ("0", "0s")] {
            assert_eq!(to_text(parse(text).unwrap()), written);
        }
    }
}
