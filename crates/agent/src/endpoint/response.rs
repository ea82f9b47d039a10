//! Answers on the wire: `application/json` without a charset, both spellings of an error's members.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::refusal::Refusal;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Lower case is read by the Java and Go SDKs, capitals by JavaScript's and Kotlin's.
#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(rename = "Code")]
    capital_code: &'a str,
    #[serde(rename = "Message")]
    capital_message: &'a str,
}

pub(super) fn credentials(answer: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A whole HTTP/1.1 answer for a connection that never gets as far as a request.
pub(super) fn on_the_wire(refusal: &Refusal) -> Bytes {
    let (status, body) = (status(refusal), error_body(refusal));
    let mut wire = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    wire.extend(body);
    wire.into()
}

fn error_body(refusal: &Refusal) -> Vec<u8> {
    let (code, message) = (refusal.code(), refusal.message());
    let body = ErrorBody { code, message: &message, capital_code: code, capital_message: &message };
    serde_json::to_vec(&body).expect("strings can be written to a vector")
}

/// The status of a refusal. What AWS answered and is none, is a gateway's trouble.
pub(super) fn status(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_GATEWAY)
}

pub(super) fn refusal(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(error_body(refusal).into()));
    *response.status_mut() = status(refusal);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    if let Some(after) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    if matches!(refusal, Refusal::MethodNotAllowed) {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    if matches!(refusal, Refusal::OddRequest(_)) {
        // What follows such a request on its connection is not worth guessing at.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
