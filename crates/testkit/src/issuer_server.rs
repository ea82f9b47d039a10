//! Whoever publishes signing keys: an issuer, or an API server with TLS and a service account's files.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::server::{Connection, Server, read_request};

/// The server. It stops when dropped.
pub struct IssuerServer {
    server: Server,
    shared: Arc<Mutex<Publication>>,
}

struct Publication {
    issuer: String,
    key_set: String,
    minor: String,
    status: u16,
    calls: Vec<String>,
}

impl IssuerServer {
    /// Publishes `key_set` for the issuer that it is itself.
    pub async fn start(key_set: String) -> Self {
        let mut server = Self::serve(None, String::new(), key_set).await;
        server.publish_for(server.url());
        server
    }

    /// Publishes `key_set` for `issuer` as an API server does, behind TLS with a certificate of `authority`.
    pub async fn start_api_server(authority: &Authority, issuer: &str, key_set: String) -> Self {
        Self::serve(Some(authority.acceptor()), issuer.to_owned(), key_set).await
    }

    async fn serve(tls: Option<TlsAcceptor>, issuer: String, key_set: String) -> Self {
        let minor = "34".to_owned();
        let publication = Publication { issuer, key_set, minor, status: 200, calls: Vec::new() };
        let shared = Arc::new(Mutex::new(publication));
        let of_server = Arc::clone(&shared);
        let server = Server::start(tls, move |stream| answer(stream, Arc::clone(&of_server))).await;
        Self { server, shared }
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// From now on says that it is this issuer.
    pub fn publish_for(&mut self, issuer: String) {
        self.shared.lock().unwrap().issuer = issuer;
    }

    /// From now on publishes these keys.
    pub fn publish(&self, key_set: String) {
        self.shared.lock().unwrap().key_set = key_set;
    }

    /// From now on is of this minor version of Kubernetes.
    pub fn is_minor_version(&self, minor: &str) {
        self.shared.lock().unwrap().minor = minor.to_owned();
    }

    /// From now on answers everything with this status.
    pub fn fail_with(&self, status: u16) {
        self.shared.lock().unwrap().status = status;
    }

    /// How often the key set was asked for.
    pub fn fetches(&self) -> usize {
        self.shared.lock().unwrap().calls.iter().filter(|call| call.contains("/openid/v1/jwks")).count()
    }

    /// The head of each request so far.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().unwrap().calls.clone()
    }
}

async fn answer(mut stream: Box<dyn Connection>, shared: Arc<Mutex<Publication>>) {
    while let Some(request) = read_request(&mut stream).await {
        let (status, body) = {
            let mut publication = shared.lock().unwrap();
            publication.calls.push(request.head.clone());
            match request.target() {
                _ if publication.status != 200 => {
                    (publication.status, json!({ "message": "no" }).to_string())
                }
                "/.well-known/openid-configuration" => {
                    let issuer = &publication.issuer;
                    let keys = format!("{}/openid/v1/jwks", issuer.trim_end_matches('/'));
                    (200, json!({ "issuer": issuer, "jwks_uri": keys }).to_string())
                }
                "/openid/v1/jwks" => (200, publication.key_set.clone()),
                "/version" => (200, json!({ "major": "1", "minor": publication.minor }).to_string()),
                _ => (404, String::new()),
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The files that kubelet puts into a pod, for API servers with certificates of `authority`.
pub fn service_account_directory(authority: &Authority) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(authority.bundle(), directory.path().join("ca.crt")).unwrap();
    std::fs::write(directory.path().join("token"), "token-of-the-agent").unwrap();
    directory
}
