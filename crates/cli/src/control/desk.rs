//! What the control socket answers, from method, path and body alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane::access_key::AccessKey;
use control_plane::issuer::{Subject, TokenIssuer};
use control_plane::store::{AssociationStore, CreateError, everything};
use http::{Method, StatusCode};
use runtime::Clock;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::messages::{AccessKeyReplyOut, TokenReplyOut, path};
use super::{
    AssociateError, AssociateRequest, AssociationList, Failure, LONGEST_TOKEN, Status, TokenRequest,
    associate,
};

/// The desk behind the control socket. Clones share it.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    store: Arc<dyn AssociationStore>,
    issuer: Arc<TokenIssuer>,
    access_key: AccessKey,
    status: Status,
    clock: Clock,
}

/// Status and body of an answer.
pub(super) type Reply = (StatusCode, Bytes);

impl Desk {
    /// The desk of a system with these parts.
    pub(crate) fn new(
        store: Arc<dyn AssociationStore>,
        issuer: Arc<TokenIssuer>,
        access_key: AccessKey,
        status: Status,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner { store, issuer, access_key, status, clock }))
    }

    /// Answers one request.
    pub(super) async fn answer(&self, method: &Method, path: &str, body: &[u8]) -> Reply {
        let Inner { access_key, status, .. } = &*self.0;
        let answered = match (method, path) {
            (&Method::GET, path::STATUS) => Ok(reply(status)),
            (&Method::POST, path::TOKENS) => self.issue(body).await,
            (&Method::GET, path::ASSOCIATIONS) => self.list().await,
            (&Method::POST, path::ASSOCIATIONS) => self.associate(body).await,
            (&Method::DELETE, path) if path.starts_with(path::ASSOCIATIONS) => self.dissociate(path).await,
            (&Method::GET, path::ACCESS_KEY) => Ok(reply(&AccessKeyReplyOut {
                access_key_id: &access_key.id,
                secret_access_key: access_key.secret.expose_str(),
            })),
            // Both ends are of one program; this is what an older or newer one hears.
            _ => Err((
                StatusCode::NOT_FOUND,
                format!("this pod-identity knows no {method} {path}: use its own version"),
            )),
        };
        answered.unwrap_or_else(|(status, message)| (status, json(&Failure { message })))
    }

    async fn issue(&self, body: &[u8]) -> Result<Reply, Complaint> {
        let Inner { store, issuer, clock, .. } = &*self.0;
        let TokenRequest { namespace, service_account, pod, lifetime_seconds } = read(body)?;
        // Named like the first pod of a StatefulSet, so that the same command is the same pod every time.
        let pod = pod.unwrap_or_else(|| format!("{service_account}-0"));
        let node = Some("localhost");
        let subject =
            Subject::new(&namespace, &service_account, &pod, node).map_err(|error| complaint(&error))?;
        let lifetime = Duration::from_secs(lifetime_seconds);
        if lifetime.is_zero() || lifetime > LONGEST_TOKEN {
            return Err((StatusCode::BAD_REQUEST, "a token is good for 1 to 86400 seconds".to_owned()));
        }
        let issued = issuer.issue(&subject, lifetime, clock.now()).map_err(|error| broken(&error))?;
        let association = store.find(&namespace, &service_account).await.map_err(|error| broken(&error))?;
        let role_arn = association.map(|stored| stored.association.role_arn);
        Ok(reply(&TokenReplyOut { token: issued.token.expose_str(), role_arn }))
    }

    async fn list(&self) -> Result<Reply, Complaint> {
        let stored = everything(&*self.0.store).await.map_err(|error| broken(&error))?;
        Ok(reply(&AssociationList { associations: stored.into_iter().map(Into::into).collect() }))
    }

    async fn associate(&self, body: &[u8]) -> Result<Reply, Complaint> {
        let request: AssociateRequest = read(body)?;
        let done = associate(&*self.0.store, request, self.0.clock.now()).await;
        let done = done.map_err(|error| match &error {
            AssociateError::Name(_) | AssociateError::Create(CreateError::Full { .. }) => complaint(&error),
            AssociateError::Create(_) | AssociateError::Change(_) | AssociateError::Store(_) => {
                broken(&error)
            }
        })?;
        Ok(reply(&done))
    }

    /// `DELETE /v1/associations/NAMESPACE/SERVICE_ACCOUNT`: Kubernetes names need no encoding in a path.
    async fn dissociate(&self, path: &str) -> Result<Reply, Complaint> {
        let names =
            path.strip_prefix(path::ASSOCIATIONS).and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
        let (namespace, service_account) =
            names.ok_or((StatusCode::BAD_REQUEST, "name a namespace and a service account".to_owned()))?;
        let nothing = || {
            let text = format!(
                "{namespace}/{service_account} has no association: pod-identity dev associations lists them all"
            );
            (StatusCode::NOT_FOUND, text)
        };
        let found = self
            .0
            .store
            .find(namespace, service_account)
            .await
            .map_err(|error| broken(&error))?
            .ok_or_else(nothing)?;
        let deleted = self.0.store.delete(found.association.id).await.map_err(|error| broken(&error))?;
        Ok(reply(&super::AssociationView::from(deleted.ok_or_else(nothing)?)))
    }
}

type Complaint = (StatusCode, String);

fn complaint(error: &dyn std::error::Error) -> Complaint {
    (StatusCode::BAD_REQUEST, error.to_string())
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Complaint {
    tracing::error!(error, "the control socket could not do what it was asked to");
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Complaint> {
    serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("the request cannot be read: {error}")))
}

fn reply(body: &impl Serialize) -> Reply {
    (StatusCode::OK, json(body))
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("messages have only members that JSON can hold").into()
}

#[cfg(test)]
mod tests;
