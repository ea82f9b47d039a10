//! The shape of a request, and the token in it. What no SDK sends is refused before anything is done for it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use hyper::body::Body;
use identity::{ServiceAccountToken, TokenError};

use super::{CREDENTIALS_PATH, OurHosts};
use crate::refusal::Refusal;

/// The bytes of the token, if the request is one for credentials and has the shape that SDKs give it.
pub(super) fn token<'a, B: Body>(request: &'a Request<B>, hosts: &OurHosts) -> Result<&'a [u8], Refusal> {
    let headers = request.headers();
    // Paths before hosts: probes of all kinds ask for / by any name and rely on the 404.
    if request.uri().path() != CREDENTIALS_PATH {
        return Err(Refusal::UnknownPath);
    }
    if request.method() != Method::GET {
        return Err(Refusal::MethodNotAllowed);
    }
    if request.uri().authority().is_some() {
        return Err(Refusal::OddRequest(
            "its target is a whole URL, as for a proxy; keep proxies out with NO_PROXY",
        ));
    }
    let host =
        only(headers, header::HOST).map_err(|_| Refusal::OddRequest("it has more than one Host header"))?;
    let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
    if !hosts.include(host) {
        return Err(Refusal::HostNotOurs { host: printable(host) });
    }
    if !request.body().is_end_stream() {
        return Err(Refusal::OddRequest("it has a body; a GET for credentials has none"));
    }
    let authorization = only(headers, header::AUTHORIZATION)
        .map_err(|_| Refusal::OddRequest("it has more than one Authorization header; send the token once"))?;
    match authorization.map(HeaderValue::as_bytes) {
        None | Some([]) => Err(TokenError::Empty.into()),
        Some(token) => Ok(token),
    }
}

/// The token, parsed.
pub(super) fn parse(token: &[u8]) -> Result<ServiceAccountToken, Refusal> {
    let text = std::str::from_utf8(token).map_err(|_| TokenError::Malformed("it is not plain text"))?;
    Ok(ServiceAccountToken::parse(text)?)
}

struct MoreThanOne;

fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, MoreThanOne> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(MoreThanOne) } else { Ok(first) }
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).take(80).collect()
}
