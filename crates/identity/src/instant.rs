//! Points in time as AWS's interfaces spell them: RFC 3339 in whole seconds with `Z`, and numbers of epoch seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The text is not an RFC 3339 point in time.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not an RFC 3339 time such as 2026-11-22T04:10:32Z")]
pub struct Rfc3339Error;

/// `YYYY-MM-DDTHH:MM:SSZ`: whole seconds, never a fraction, never an offset.
///
/// Swift and C++ SDKs misread fractions, and the JavaScript and Rust SDKs refuse offsets. Cutting the fraction makes the
/// credentials look up to a second shorter-lived than they are, which is the safe side.
pub fn to_rfc3339(at: SystemTime) -> String {
    let date = OffsetDateTime::from(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// Reads any RFC 3339 time, whatever its offset or fraction.
pub fn from_rfc3339(text: &str) -> Result<SystemTime, Rfc3339Error> {
    OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from).map_err(|_| Rfc3339Error)
}

/// Seconds since 1970 with their fraction, as AWS's rest-json protocol writes timestamps in bodies.
pub fn to_epoch_seconds(at: SystemTime) -> f64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// The point in time that a number of epoch seconds names; `None` before 1970, after the year 9999, or for no number.
pub fn from_epoch_seconds(seconds: f64) -> Option<SystemTime> {
    const LAST_SECOND_OF_9999: f64 = 253_402_300_799.0;
    if !(0.0..=LAST_SECOND_OF_9999).contains(&seconds) {
        return None;
    }
    Some(UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_whole_seconds_with_a_z() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_320_632_999);
        assert_eq!(to_rfc3339(at), "2026-11-22T04:10:32Z");
    }

    #[test]
    fn any_offset_or_fraction_is_read_as_the_same_instant() {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_320_632);
        for text in ["2026-11-22T04:10:32Z", "2026-11-22T05:10:32+01:00", "2026-11-22T04:10:32.000000Z"] {
            assert_eq!(from_rfc3339(text), Ok(at), "{text}");
        }
        assert_eq!(from_rfc3339("yesterday"), Err(Rfc3339Error));
    }

    #[test]
    fn numbers_that_name_no_instant_are_refused() {
        for wrong in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(from_epoch_seconds(wrong), None, "{wrong}");
        }
        assert_eq!(from_epoch_seconds(1.5), Some(UNIX_EPOCH + Duration::from_millis(1500)));
    }
}
