//! Answers on the wire: rest-json's success, rest-json's errors, and plain documents.

use bytes::Bytes;
use eks_auth::{ErrorCode, Refusal};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::MAX_BODY_BYTES;
use crate::sigv4::SignatureRefused;

/// How long others may keep the issuer's documents; Kubernetes says the same of its own.
const DOCUMENT_LIFETIME: &str = "public, max-age=3600";

/// A good answer.
pub(super) enum Answer {
    /// A document that may be cached.
    Document { content_type: &'static str, content: Bytes },
    /// The result of an operation. It holds secrets: nobody on the way may keep it.
    Result(Bytes),
}

impl Answer {
    pub(super) fn document(content_type: &'static str, content: Bytes) -> Self {
        Self::Document { content_type, content }
    }

    pub(super) fn result(body: &impl Serialize) -> Self {
        Self::Result(json(body))
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: u16,
    /// What `x-amzn-ErrorType` says.
    pub(super) name: &'static str,
    /// What a person reads. Holds no secret.
    pub(super) message: String,
    /// The cluster it is about, where the model has a member for that.
    pub(super) cluster: Option<String>,
}

/// The body of an error; its name travels in the header.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'a str>,
}

impl ApiError {
    pub(super) fn too_long() -> Self {
        Refusal::new(
            ErrorCode::InvalidRequest,
            format!(
                "The body is longer than {MAX_BODY_BYTES} bytes: no operation here needs as much, send less."
            ),
        )
        .into()
    }

    pub(super) fn body_cut_off() -> Self {
        let text = "The body ended early: send as many bytes as Content-Length says.";
        Refusal::new(ErrorCode::InvalidRequest, text).into()
    }

    pub(super) fn body_too_slow() -> Self {
        let message = "The body did not arrive in time: send it together with the head.".to_owned();
        Self { status: 408, name: "RequestTimeoutException", message, cluster: None }
    }

    pub(super) fn unknown_operation(method: &Method, path: &str) -> Self {
        let path: String = path.chars().take(100).collect();
        let message = format!(
            "There is no operation {method} {path}: this address serves POST /clusters/NAME/assume-role-for-pod-identity, \
             /clusters, /clusters/NAME/pod-identity-associations and /tags/ARN as the EKS API has them, \
             GET /.well-known/openid-configuration and GET /openid/v1/jwks."
        );
        Self { status: 404, name: "UnknownOperationException", message, cluster: None }
    }
}

impl From<Refusal> for ApiError {
    fn from(Refusal { code, message }: Refusal) -> Self {
        Self { status: code.status(), name: code.as_str(), message, cluster: None }
    }
}

impl From<SignatureRefused> for ApiError {
    fn from(refused: SignatureRefused) -> Self {
        Self { status: refused.status(), name: refused.name(), message: refused.to_string(), cluster: None }
    }
}

/// The answer as HTTP.
pub(super) fn response(answer: Result<Answer, ApiError>, request_id: &str) -> Response<Full<Bytes>> {
    let (status, content_type, cache, content) = match &answer {
        Ok(Answer::Document { content_type, content }) => {
            (200, *content_type, DOCUMENT_LIFETIME, content.clone())
        }
        Ok(Answer::Result(content)) => (200, "application/json", "no-store", content.clone()),
        Err(error) => {
            let body = ErrorBody { message: &error.message, cluster_name: error.cluster.as_deref() };
            (error.status, "application/json", "no-store", json(&body))
        }
    };
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    if let Err(error) = &answer {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(error.name));
    }
    response
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("strings and numbers are always JSON").into()
}
