//! The cluster's API server, as a pod reaches it. Everything that asks it is optional: the agent starts and serves without.
//!
//! On the HTTP client that calls AWS, not on `kube`: see docs/decisions/0013-api-server-without-kube.md.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use bytes::Bytes;
use eks_auth::TransportSettings;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use identity::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::Environment;
use serde::Deserialize;
use thiserror::Error;

/// Where kubelet puts what a pod needs to reach the API server.
pub const SERVICE_ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long connecting may take, and how long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// No document that is asked for comes near.
const LONGEST_DOCUMENT: usize = 1024 * 1024;

/// Where the API server is, and how to be known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServerSettings {
    /// Its URL.
    pub url: String,
    /// Where `token` and `ca.crt` are.
    pub directory: PathBuf,
}

impl ApiServerSettings {
    /// What the environment of a pod says: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`. `None` outside a cluster.
    pub fn read(environment: &impl Environment, directory: &Path) -> Option<Self> {
        let variable = |name| environment.get(name).filter(|value: &String| !value.is_empty());
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Some(Self { url: format!("https://{host}:{port}"), directory: directory.to_owned() })
    }
}

/// The API server could not be asked.
#[derive(Debug, Error)]
pub enum ApiServerError {
    /// What kubelet should have put there is not there.
    #[error("{path} cannot be read: the pod needs automountServiceAccountToken: true")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It cannot be reached.
    #[error("the API server cannot be reached for {path}")]
    Unreachable {
        /// What was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It refused, for lack of permission.
    #[error("the API server does not let this service account read {path}: {message}")]
    Forbidden {
        /// What was asked for.
        path: String,
        /// Its words.
        message: String,
    },
    /// It refused for another reason.
    #[error("the API server does not give {path}: status {status}, {message}")]
    Refused {
        /// What was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It gave more than anything we ask for has.
    #[error("the API server gave more than 1 MiB for {0}")]
    TooLong(String),
}

/// A client of the API server. Clones share its connection.
#[derive(Clone)]
pub struct ApiServer {
    url: Arc<str>,
    token_file: Arc<Path>,
    connector: SharedHttpConnector,
}

impl ApiServer {
    /// A client; connects when it is asked for something.
    ///
    /// # Errors
    /// When kubelet has not put the files there.
    pub fn new(settings: &ApiServerSettings) -> Result<Self, ApiServerError> {
        let authority = settings.directory.join("ca.crt");
        // No proxy: it is on the cluster's own network, whatever proxy leads to AWS.
        let transport = TransportSettings::default()
            .with_ca_bundle(&authority.display().to_string())
            .map_err(|source| unreadable(&authority, source.into()))?;
        let token_file = settings.directory.join("token");
        std::fs::metadata(&token_file).map_err(|source| unreadable(&token_file, source.into()))?;
        Ok(Self {
            url: settings.url.as_str().into(),
            token_file: token_file.into(),
            connector: transport.connector(PATIENCE),
        })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The document at `path`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, ApiServerError> {
        let body = self.open(path).await?;
        match Limited::new(body, LONGEST_DOCUMENT).collect().await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Err(ApiServerError::TooLong(path.to_owned())),
            Err(error) => Err(unreachable(path, error)),
        }
    }

    /// Changes what is at `path` by a JSON Patch (RFC 6902).
    ///
    /// # Errors
    /// When it is refused; 422 if a test of the patch fails.
    pub async fn patch(&self, path: &str, patch: String) -> Result<(), ApiServerError> {
        let mut request = self.request(path)?;
        request.set_method("PATCH").map_err(|source| unreachable(path, source.into()))?;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/json-patch+json");
        headers.insert("content-length", patch.len().to_string());
        *request.body_mut() = patch.into();
        self.send(path, request).await.map(drop)
    }

    /// What is at `path`, as it comes: for watches, which do not end by themselves.
    ///
    /// # Errors
    /// When it does not begin to come.
    pub async fn open(
        &self,
        path: &str,
    ) -> Result<
        impl http_body::Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin + use<>,
        ApiServerError,
    > {
        self.send(path, self.request(path)?).await
    }

    fn request(&self, path: &str) -> Result<HttpRequest, ApiServerError> {
        // Read each time: kubelet renews it in place.
        let token = Secret::from(
            std::fs::read_to_string(&*self.token_file)
                .map_err(|source| unreadable(&self.token_file, source.into()))?,
        );
        let mut request = HttpRequest::get(format!("{}{path}", self.url))
            .map_err(|source| unreachable(path, source.into()))?;
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", token.expose_str().trim()));
        headers.insert("accept", "application/json");
        headers.insert("user-agent", concat!("eks-pod-identity-agent/", env!("CARGO_PKG_VERSION")));
        Ok(request)
    }

    async fn send(
        &self,
        path: &str,
        request: HttpRequest,
    ) -> Result<
        impl http_body::Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin + use<>,
        ApiServerError,
    > {
        let response =
            self.connector.call(request).await.map_err(|source| unreachable(path, source.into()))?;
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        let text = Limited::new(body, LONGEST_DOCUMENT).collect().await.map(|body| body.to_bytes());
        Err(refused(path, status.as_u16(), &text.unwrap_or_default()))
    }
}

/// Where a node is.
pub fn node_path(node: &str) -> String {
    format!("/api/v1/nodes/{}", utf8_percent_encode(node, NON_ALPHANUMERIC))
}

/// Kubernetes tells in a `Status` object why it refuses.
fn refused(path: &str, status: u16, body: &[u8]) -> ApiServerError {
    #[derive(Default, Deserialize)]
    struct Status {
        #[serde(default)]
        message: String,
    }
    let Status { message } = serde_json::from_slice(body).unwrap_or_default();
    let message = message.chars().filter(|character| !character.is_control()).take(300).collect();
    let path = path.to_owned();
    match status {
        401 | 403 => ApiServerError::Forbidden { path, message },
        status => ApiServerError::Refused { path, status, message },
    }
}

fn unreadable(path: &Path, source: Box<dyn Error + Send + Sync>) -> ApiServerError {
    ApiServerError::Unreadable { path: path.display().to_string(), source }
}

fn unreachable(path: &str, source: Box<dyn Error + Send + Sync>) -> ApiServerError {
    ApiServerError::Unreachable { path: path.to_owned(), source }
}
