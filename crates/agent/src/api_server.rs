//! The cluster's API server, as a pod reaches it. Everything that asks it is optional: the agent starts and serves without.

use std::error::Error;
use std::path::{Path, PathBuf};

use http::Request;
use kube::config::AuthInfo;
use kube::{Client, Config};
use runtime::Environment;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use thiserror::Error;

/// Where kubelet puts what a pod needs to reach the API server.
pub const SERVICE_ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

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
    /// The URL or the certificates make no client.
    #[error("no connection to the API server can be set up")]
    Unusable(#[source] Box<kube::Error>),
    /// It refused, for lack of permission.
    #[error("the API server does not let this service account read {path}: {message}")]
    Forbidden {
        /// What was asked for.
        path: String,
        /// Its words.
        message: String,
    },
    /// It cannot be reached, or refused for another reason.
    #[error("the API server does not give {path}")]
    Failed {
        /// What was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A client of the API server. Clones share its connections.
#[derive(Clone)]
pub struct ApiServer {
    url: String,
    client: Client,
}

impl ApiServer {
    /// A client; connects when it is asked for something. The token is read again as kubelet renews it.
    ///
    /// # Errors
    /// When kubelet has not put the files there. Must be called inside a tokio runtime.
    pub fn new(settings: &ApiServerSettings) -> Result<Self, ApiServerError> {
        let unreadable = |path: &Path, source: Box<dyn Error + Send + Sync>| ApiServerError::Unreadable {
            path: path.display().to_string(),
            source,
        };
        let authority = settings.directory.join("ca.crt");
        let roots: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&authority)
            .and_then(|roots| roots.map(|root| root.map(|root| root.to_vec())).collect());
        let token = settings.directory.join("token");
        std::fs::metadata(&token).map_err(|source| unreadable(&token, source.into()))?;
        let url = settings.url.parse().map_err(|source| {
            ApiServerError::Unusable(Box::new(kube::Error::HttpError(http::Error::from(source))))
        })?;
        let mut config = Config::new(url);
        config.root_cert = Some(roots.map_err(|source| unreadable(&authority, source.into()))?);
        config.auth_info = AuthInfo { token_file: Some(token.display().to_string()), ..AuthInfo::default() };
        // It is on the cluster's own network, whatever proxy leads to AWS.
        config.proxy_url = None;
        let client = Client::try_from(config).map_err(|error| ApiServerError::Unusable(Box::new(error)))?;
        Ok(Self { url: settings.url.clone(), client })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The document at `path`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, ApiServerError> {
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|source| failed(path, kube::Error::HttpError(source)))?;
        let text = self.client.request_text(request).await.map_err(|source| failed(path, source))?;
        Ok(text.into_bytes())
    }
}

fn failed(path: &str, source: kube::Error) -> ApiServerError {
    match source {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            ApiServerError::Forbidden { path: path.to_owned(), message: status.message.clone() }
        }
        source => ApiServerError::Failed { path: path.to_owned(), source: Box::new(source) },
    }
}
