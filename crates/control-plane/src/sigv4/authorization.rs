//! What a request says of its signature: the `Authorization` header of Signature Version 4, taken apart. The other form,
//! in the query, is read by [`super::presigned`] into the same type.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, HOST, HeaderName};
use http::request::Parts;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{SignatureRefused, presigned};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// `20261122T041032Z`, the form of `X-Amz-Date`.
pub(super) const ISO_BASIC: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// What a request says of its signature. Borrowed from the request.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub(super) access_key_id: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) time: SystemTime,
    pub(super) form: Form,
    /// Path and query as they were before the signature was added.
    pub(super) target: Cow<'a, str>,
    region: Cow<'a, str>,
    service: Cow<'a, str>,
    signed_headers: Vec<Cow<'a, str>>,
}

/// Where the signature was found.
#[derive(Debug)]
pub(super) enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query of a presigned URL.
    Query {
        /// How long it counts from the time of signing.
        lasts: Duration,
        /// The session token that was signed with it, if any.
        session_token: Option<String>,
    },
}

/// The parts of a signature as they stand in a request, wherever that is.
pub(super) struct Claims<'a> {
    pub(super) credential: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) date: Cow<'a, str>,
    pub(super) form: Form,
    pub(super) target: Cow<'a, str>,
}

impl<'a> Authorization<'a> {
    /// Reads the header, or the query of a presigned URL; says which part of it is missing.
    pub(super) fn of(head: &'a Parts) -> Result<Self, SignatureRefused> {
        let claims = match presigned::claims(head)? {
            Some(claims) => claims,
            None => Self::in_header(head)?,
        };
        Self::from_claims(claims, head)
    }

    fn in_header(head: &'a Parts) -> Result<Claims<'a>, SignatureRefused> {
        let header = only_value(head, &AUTHORIZATION)?.ok_or(SignatureRefused::Missing)?;
        let (algorithm, parameters) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(incomplete(format!(
                "The Authorization header must begin with {ALGORITHM}: this service takes Signature Version 4 only"
            )));
        }
        let parameter = |name: &str| {
            let mut values =
                parameters.split(',').filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
            values
                .next()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| incomplete(format!("Authorization header requires the \"{name}\" parameter")))
        };
        let (credential, signature) = (parameter("Credential")?, parameter("Signature")?);
        let signed_headers = parameter("SignedHeaders")?;
        let date = only_value(head, &AMZ_DATE)?.unwrap_or_default();
        Ok(Claims {
            credential: credential.into(),
            signature: signature.into(),
            signed_headers: signed_headers.into(),
            date: date.into(),
            form: Form::Header,
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()).into(),
        })
    }

    fn from_claims(claims: Claims<'a>, head: &Parts) -> Result<Self, SignatureRefused> {
        let scope: Vec<&str> = claims.credential.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = scope[..] else {
            return Err(incomplete("Credential must be KEY-ID/YYYYMMDD/REGION/SERVICE/aws4_request"));
        };
        let signed_headers: Vec<_> =
            claims.signed_headers.split(';').map(|name| Cow::from(name.to_owned())).collect();
        covers_what_it_must(&signed_headers, head)?;
        let (time, day) = time_of(&claims.date)?;
        if date != day {
            return Err(incomplete(format!("The date in Credential must be that of X-Amz-Date, {day}")));
        }
        let owned = |text: &str| Cow::from(text.to_owned());
        let (access_key_id, region, service) = (owned(access_key_id), owned(region), owned(service));
        let Claims { signature, form, target, .. } = claims;
        Ok(Self { access_key_id, signature, time, form, target, region, service, signed_headers })
    }

    /// Whether the signature is meant for this service in this region.
    pub(super) fn is_scoped_to(&self, region: &str, service: &str) -> Result<(), SignatureRefused> {
        let scope = |part, wanted: &str, given: &str, remedy| {
            let (wanted, given) = (wanted.to_owned(), given.chars().take(60).collect());
            Err(SignatureRefused::Scope { part, wanted, given, remedy })
        };
        if self.region != region {
            return scope("region", region, &self.region, "set the client's region, for example AWS_REGION");
        }
        if self.service != service {
            return scope(
                "service",
                service,
                &self.service,
                "this address serves another API than the one that was called",
            );
        }
        Ok(())
    }

    /// The headers that the signature covers, each with its values, in the order of the request.
    pub(super) fn signed_header_values(
        &self,
        head: &'a Parts,
    ) -> Result<Vec<(&str, &'a str)>, SignatureRefused> {
        let mut values = Vec::new();
        for name in &self.signed_headers {
            for value in head.headers.get_all(&**name) {
                let value = std::str::from_utf8(value.as_bytes())
                    .map_err(|_| incomplete("A signed header has a value that is not UTF-8"))?;
                values.push((&**name, value));
            }
        }
        Ok(values)
    }
}

/// AWS's rule: `host` and every `x-amz-…` header are signed; whatever else is, is there.
fn covers_what_it_must(signed: &[Cow<'_, str>], head: &Parts) -> Result<(), SignatureRefused> {
    let needed = head.headers.keys().filter(|name| name.as_str().starts_with("x-amz-"));
    for name in needed.chain([&HOST]) {
        if !signed.iter().any(|signed| signed == name.as_str()) {
            return Err(incomplete(format!("The header \"{name}\" must be one of the SignedHeaders")));
        }
    }
    match signed.iter().find(|name| !head.headers.contains_key(&***name)) {
        Some(absent) => {
            let absent: String = absent.chars().take(60).collect();
            Err(incomplete(format!(
                "The header \"{absent}\" is among the SignedHeaders, and the request has none"
            )))
        }
        None => Ok(()),
    }
}

/// When the request was signed, and the day of that.
fn time_of(text: &str) -> Result<(SystemTime, &str), SignatureRefused> {
    if text.is_empty() {
        return Err(incomplete(
            "The header X-Amz-Date is needed: send the time of signing in it, and sign it",
        ));
    }
    let time = PrimitiveDateTime::parse(text, ISO_BASIC)
        .map_err(|_| incomplete("X-Amz-Date must be a UTC time such as 20261122T041032Z"))?;
    let day = text.get(..8).unwrap_or_default();
    Ok((time.assume_utc().into(), day))
}

fn only_value<'a>(head: &'a Parts, name: &HeaderName) -> Result<Option<&'a str>, SignatureRefused> {
    let mut values = head.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(incomplete(format!("The header \"{name}\" must come once")));
    }
    let text = value.to_str().map_err(|_| incomplete(format!("The header \"{name}\" must be ASCII")))?;
    Ok(Some(text))
}

pub(super) fn incomplete(what: impl Into<String>) -> SignatureRefused {
    SignatureRefused::incomplete(what)
}
