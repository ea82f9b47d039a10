//! Signature Version 4 from the receiving end: was this request signed with a key we know, for us, just now?
//!
//! In the Authorization header or in the query of a presigned URL. The received request is signed once more with AWS's own
//! signer, over the headers the caller says are signed, and the two signatures are compared. Nothing here canonicalises
//! anything by itself, so nothing can differ from the SDKs.

mod authorization;
mod presigned;
mod refusal;

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::request::Parts;
use identity::Secret;
use subtle::ConstantTimeEq;

pub use refusal::SignatureRefused;

use crate::access_key::AccessKey;
use authorization::{Authorization, Form, ISO_BASIC};

/// How far the clocks of caller and service may be apart (AWS allows five minutes both ways).
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The access keys that may sign.
#[derive(Clone, Debug, Default)]
pub struct AccessKeys(HashMap<String, Secret>);

impl FromIterator<AccessKey> for AccessKeys {
    fn from_iter<T: IntoIterator<Item = AccessKey>>(keys: T) -> Self {
        Self(keys.into_iter().map(|key| (key.id, key.secret)).collect())
    }
}

/// Checks the signatures of requests to one service in one region.
#[derive(Clone, Debug)]
pub struct SignatureCheck {
    keys: AccessKeys,
    region: String,
    service: &'static str,
}

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The id of the access key.
    pub access_key_id: String,
}

impl SignatureCheck {
    /// A check for requests to `service`, by its signing name.
    pub fn new(keys: AccessKeys, region: impl Into<String>, service: &'static str) -> Self {
        Self { keys, region: region.into(), service }
    }

    /// Who signed the request that arrived at `now`.
    ///
    /// # Errors
    /// A [`SignatureRefused`] with AWS's name for what is wrong.
    pub fn check(&self, head: &Parts, body: &[u8], now: SystemTime) -> Result<Signer, SignatureRefused> {
        let authorization = Authorization::of(head)?;
        authorization.is_scoped_to(&self.region, self.service)?;
        let Some(secret) = self.keys.0.get(&*authorization.access_key_id) else {
            return Err(SignatureRefused::UnknownKey { id: authorization.access_key_id.into_owned() });
        };
        is_current(&authorization, now)?;
        let expected = self.sign_again(head, body, &authorization, secret)?;
        // The time a comparison takes must not tell how much of a guessed signature was right.
        if bool::from(expected.as_bytes().ct_eq(authorization.signature.as_bytes())) {
            return Ok(Signer { access_key_id: authorization.access_key_id.into_owned() });
        }
        Err(SignatureRefused::Mismatch { id: authorization.access_key_id.into_owned() })
    }

    fn sign_again(
        &self,
        head: &Parts,
        body: &[u8],
        authorization: &Authorization<'_>,
        secret: &Secret,
    ) -> Result<String, SignatureRefused> {
        // In the header form, a session token is one of the signed headers; in a query, the signer puts it there.
        let token = match &authorization.form {
            Form::Header => None,
            Form::Query { session_token, .. } => session_token.clone(),
        };
        let cannot_be_signed =
            |_| SignatureRefused::incomplete("The request has parts that cannot be signed");
        let identity =
            Credentials::new(&*authorization.access_key_id, secret.expose_str(), token, None, "key ring")
                .into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(authorization.time)
            .settings(settings(&authorization.form))
            .build()
            .map_err(|_| SignatureRefused::incomplete("The request cannot be signed"))?
            .into();
        let headers = authorization.signed_header_values(head)?;
        let headers = headers.iter().map(|(name, value)| (*name, *value));
        let request = SignableRequest::new(
            head.method.as_str(),
            Cow::from(&*authorization.target),
            headers,
            SignableBody::Bytes(body),
        )
        .map_err(cannot_be_signed)?;
        Ok(sign(request, &parameters).map_err(cannot_be_signed)?.into_parts().1)
    }
}

fn settings(form: &Form) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if let Form::Query { lasts, .. } = form {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(*lasts);
    }
    // The signer leaves out headers that proxies rewrite. The caller has made that choice, in `SignedHeaders`.
    settings.excluded_headers = None;
    settings
}

fn is_current(authorization: &Authorization<'_>, now: SystemTime) -> Result<(), SignatureRefused> {
    let signed = authorization.time;
    match authorization.form {
        Form::Header if signed + CLOCK_SKEW < now => return Err(SignatureRefused::Expired { signed, now }),
        Form::Query { lasts, .. } if signed + lasts < now => {
            return Err(SignatureRefused::PresignedExpired { until: signed + lasts, now });
        }
        _ => {}
    }
    if signed > now + CLOCK_SKEW {
        return Err(SignatureRefused::NotYetCurrent { signed, now });
    }
    Ok(())
}

/// A point in time as `X-Amz-Date` writes it.
fn amz_date(at: SystemTime) -> String {
    time::OffsetDateTime::from(at).format(ISO_BASIC).unwrap_or_default()
}

#[cfg(test)]
mod tests;
