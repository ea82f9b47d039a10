//! The asking end of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use super::messages::path;
use super::{
    AccessKeyReply, AssociateReply, AssociateRequest, AssociationList, AssociationView, Failure, Status,
    TokenReply, TokenRequest,
};
use crate::command::ServiceAccount;

/// The running system did not do what it was asked to.
#[derive(Debug, Error)]
pub(crate) enum ControlError {
    /// There is none.
    #[error("dev is not running with {}: start it with pod-identity dev{}", folder.display(), flag(folder, *is_default))]
    NotRunning {
        /// Its folder.
        folder: PathBuf,
        /// Whether that is the one without `--data`.
        is_default: bool,
    },
    /// The socket is there and cannot be used.
    #[error("the control socket in {} cannot be used", folder.display())]
    Socket {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It stopped, or is no pod-identity.
    #[error("dev in {} did not answer: {what}", folder.display())]
    NoAnswer {
        /// Its folder.
        folder: PathBuf,
        /// What happened instead.
        what: String,
    },
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Talks to the system that runs with a folder.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    folder: PathBuf,
    socket: PathBuf,
    is_default: bool,
}

impl Client {
    /// A client for the system of `folder`. Connects with each call: systems come and go.
    pub(crate) fn new(folder: &Path, socket: &Path, is_default: bool) -> Self {
        Self { folder: folder.to_owned(), socket: socket.to_owned(), is_default }
    }

    /// The flag that names the same system once more: for lines that people copy.
    pub(crate) fn flag(&self) -> String {
        flag(&self.folder, self.is_default)
    }

    pub(crate) async fn status(&self) -> Result<Status, ControlError> {
        self.get(path::STATUS).await
    }

    pub(crate) async fn token(&self, request: &TokenRequest) -> Result<TokenReply, ControlError> {
        self.post(path::TOKENS, request).await
    }

    pub(crate) async fn associations(&self) -> Result<AssociationList, ControlError> {
        self.get(path::ASSOCIATIONS).await
    }

    pub(crate) async fn associate(&self, request: &AssociateRequest) -> Result<AssociateReply, ControlError> {
        self.post(path::ASSOCIATIONS, request).await
    }

    pub(crate) async fn dissociate(&self, account: &ServiceAccount) -> Result<AssociationView, ControlError> {
        let ServiceAccount { namespace, service_account } = account;
        self.call(
            Method::DELETE,
            &format!("{}/{namespace}/{service_account}", path::ASSOCIATIONS),
            Bytes::new(),
        )
        .await
    }

    pub(crate) async fn access_key(&self) -> Result<AccessKeyReply, ControlError> {
        self.get(path::ACCESS_KEY).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ControlError> {
        let body = serde_json::to_vec(body).expect("messages have only members that JSON can hold");
        self.call(Method::POST, path, body.into()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ControlError> {
        let no_answer = |what: &dyn ToString| ControlError::NoAnswer {
            folder: self.folder.clone(),
            what: what.to_string(),
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.not_connected(error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| no_answer(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| ControlError::Refused(format!("there is nothing called {path}")))?;
        let exchanged = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        tokio::pin!(exchanged);
        // The connection moves bytes only while it is polled. When it ends first, the answer is there or never comes.
        let (status, body) = tokio::select! {
            exchanged = &mut exchanged => exchanged,
            _ = connection => exchanged.await,
        }
        .map_err(|error| no_answer(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|_| no_answer(&"it speaks another version's language"));
        }
        let Failure { message } = serde_json::from_slice(&body).map_err(|_| no_answer(&status))?;
        Err(ControlError::Refused(message))
    }

    fn not_connected(&self, source: io::Error) -> ControlError {
        let folder = self.folder.clone();
        match source.kind() {
            // No socket, or one whose process was killed.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NotRunning { folder, is_default: self.is_default }
            }
            _ => ControlError::Socket { folder, source },
        }
    }
}

fn flag(folder: &Path, is_default: bool) -> String {
    if is_default { String::new() } else { format!(" --data {}", folder.display()) }
}
