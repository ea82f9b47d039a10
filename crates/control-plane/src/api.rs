//! The control plane over HTTP: the EKS Auth API and the part of the EKS API that is about pod identity, as AWS's SDKs call
//! them, and the issuer's two public documents.
//!
//! Requests are answered from head and body alone, so that every rule can be tested without a socket. Each answer to an
//! API call has a request id, each refusal AWS's name in `x-amzn-ErrorType` and a text that says what to change.

mod answer;
mod eks;
mod exchange;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use runtime::{Clock, Handler};
use tracing::info;
use uuid::Uuid;

use crate::issuer::{DISCOVERY_PATH, KEY_SET_PATH, TokenIssuer};
use crate::sigv4::{AccessKeys, SignatureCheck};
use crate::store::AssociationStore;
use answer::{Answer, ApiError};
use eks::Operation;

/// No request comes near: a token has one or two kilobytes, fifty of the longest tags have twenty.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a body may take to arrive. SDKs send it with the head.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// EKS Auth's signing name.
const SIGNING_NAME: &str = "eks-auth";

/// The control plane's HTTP API. Clones share everything.
#[derive(Clone)]
pub struct Api(Arc<Rooms>);

struct Rooms {
    service: eks_auth::Service,
    eks: eks::Room,
    signatures: SignatureCheck,
    discovery: Bytes,
    key_set: Bytes,
    clock: Clock,
}

impl Api {
    /// The API of `service` and of the associations in `store`, for callers who sign with one of `keys`, with the
    /// documents of `issuer` beside it.
    pub fn new(
        service: eks_auth::Service,
        store: Arc<dyn AssociationStore>,
        issuer: &TokenIssuer,
        keys: AccessKeys,
        clock: Clock,
    ) -> Self {
        let cluster = service.cluster().clone();
        let signatures = SignatureCheck::new(keys.clone(), &cluster.region, SIGNING_NAME);
        let eks = eks::Room {
            signatures: SignatureCheck::new(keys, &cluster.region, eks::SIGNING_NAME),
            cluster,
            issuer: issuer.url().to_owned(),
            store,
        };
        let (discovery, key_set) = (issuer.discovery().into(), issuer.key_set().into());
        Self(Arc::new(Rooms { service, eks, signatures, discovery, key_set, clock }))
    }

    /// Answers a request whose body has arrived.
    pub async fn answer(&self, head: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        self.finish(head, self.route(head, body).await)
    }

    async fn route(&self, head: &Parts, body: &[u8]) -> Result<Answer, ApiError> {
        if let Some(operation) = Operation::of(&head.method, head.uri.path()) {
            return eks::answer(&self.0.eks, operation, head, body, self.0.clock.now()).await;
        }
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        match (&head.method, &path[..]) {
            (&Method::POST, ["clusters", cluster, "assume-role-for-pod-identity"]) => {
                exchange::answer(&self.0, head, body, cluster).await
            }
            (&Method::GET | &Method::HEAD, _) => self.document(head.uri.path()).ok_or_else(|| unknown(head)),
            _ => Err(unknown(head)),
        }
    }

    /// The issuer's documents, for anybody: that is what they are for.
    fn document(&self, path: &str) -> Option<Answer> {
        let Rooms { discovery, key_set, .. } = &*self.0;
        // Types and paths are those of Kubernetes' API server.
        match path {
            DISCOVERY_PATH => Some(Answer::document("application/json", discovery.clone())),
            KEY_SET_PATH => Some(Answer::document("application/jwk-set+json", key_set.clone())),
            _ => None,
        }
    }

    fn finish(&self, head: &Parts, answer: Result<Answer, ApiError>) -> Response<Full<Bytes>> {
        let request_id = Uuid::new_v4().to_string();
        let (status, error) = match &answer {
            Ok(_) => (200, None),
            Err(error) => (error.status, Some(error)),
        };
        info!(
            target: "access", method = %head.method, path = head.uri.path(), status, request_id,
            error = error.map(|error| error.name), reason = error.map(|error| error.message.as_str()), "answered"
        );
        answer::response(answer, &request_id)
    }
}

impl Handler for Api {
    type Answer = BoxFuture<'static, Response<Full<Bytes>>>;

    fn handle(&self, request: Request<Incoming>, _: SocketAddr) -> Self::Answer {
        let api = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let arriving =
                tokio::time::timeout(BODY_PATIENCE, Limited::new(body, MAX_BODY_BYTES).collect()).await;
            match arriving {
                Ok(Ok(body)) => api.answer(&head, &body.to_bytes()).await,
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    api.finish(&head, Err(ApiError::too_long()))
                }
                Ok(Err(_)) => api.finish(&head, Err(ApiError::body_cut_off())),
                Err(_) => api.finish(&head, Err(ApiError::body_too_slow())),
            }
        })
    }
}

fn unknown(head: &Parts) -> ApiError {
    ApiError::unknown_operation(&head.method, head.uri.path())
}

#[cfg(test)]
mod tests;
