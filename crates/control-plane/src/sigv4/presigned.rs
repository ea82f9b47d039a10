//! The signature in the query of a presigned URL (Signature Version 4, query parameters).

use std::borrow::Cow;
use std::time::Duration;

use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::SignatureRefused;
use super::authorization::{ALGORITHM, Claims, Form, incomplete};

/// AWS's longest life of a presigned URL: a week.
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The parameters that the signature brings, beside the one that is asked for last. They are not part of what is signed
/// again: the signer adds its own.
const OURS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
];

/// What the query says of a signature; `None` when it says nothing.
pub(super) fn claims(head: &Parts) -> Result<Option<Claims<'_>>, SignatureRefused> {
    let query = head.uri.query().unwrap_or_default();
    let pairs = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    if !pairs().any(|(name, _)| name == "X-Amz-Signature") {
        return Ok(None);
    }
    let optional = |wanted: &str| {
        let mut values = pairs().filter(|(name, _)| *name == wanted).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            return Err(incomplete(format!("The query parameter \"{wanted}\" must come once")));
        }
        let decode = |value| percent_decode_str(value).decode_utf8();
        value.map(decode).transpose().map_err(|_| incomplete(format!("\"{wanted}\" must be UTF-8")))
    };
    let needed = |wanted: &str| {
        let value: Option<Cow<'_, str>> = optional(wanted)?;
        value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| incomplete(format!("A presigned URL needs the query parameter \"{wanted}\"")))
    };
    if needed("X-Amz-Algorithm")? != ALGORITHM {
        return Err(incomplete(format!("X-Amz-Algorithm must be {ALGORITHM}")));
    }
    let lasts = needed("X-Amz-Expires")?.parse().ok().map(Duration::from_secs);
    let lasts = lasts.filter(|lasts| *lasts <= LONGEST_LIFE).ok_or_else(|| {
        incomplete(format!("X-Amz-Expires must be a number of seconds up to {}", LONGEST_LIFE.as_secs()))
    })?;
    let rest: Vec<&str> =
        query.split('&').filter(|pair| !OURS.contains(&pair.split('=').next().unwrap_or_default())).collect();
    let path = head.uri.path();
    let target = if rest.is_empty() { Cow::from(path) } else { format!("{path}?{}", rest.join("&")).into() };
    let session_token = optional("X-Amz-Security-Token")?.map(Cow::into_owned);
    Ok(Some(Claims {
        credential: needed("X-Amz-Credential")?,
        signature: needed("X-Amz-Signature")?,
        signed_headers: needed("X-Amz-SignedHeaders")?,
        date: needed("X-Amz-Date")?,
        form: Form::Query { lasts, session_token },
        target,
    }))
}
