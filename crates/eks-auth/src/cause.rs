//! What an error of AWS's SDK may tell: its causes in one line, and nothing of what was sent or answered.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;

/// The longest text of AWS's that is handed on to a pod or a log.
const LONGEST: usize = 600;

/// The error and its causes. Not by the SDK's own means, which print the answer's body too, and an answer that makes no
/// sense may hold credentials.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    shortened(&text)
}

/// The credential chain's own words when the failure is that no credentials were found for signing.
pub(crate) fn missing_credentials(error: &dyn Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if current.is::<CredentialsError>() {
            return Some(causes(current));
        }
        cause = current.source();
    }
    None
}

/// One line of printable characters, cut to a length a log line can bear.
pub(crate) fn shortened(text: &str) -> String {
    let clean = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    clean.take(LONGEST).collect()
}
