//! Probes over a Unix socket, for those who share a file system with the process but should not have to share its ports: an exec
//! probe asks this very process, whoever else answers on the node's loopback.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{Admin, LOG_LEVEL_PATH};
use crate::drain::DrainWatch;
use crate::log::Verbosity;
use crate::private_socket;

/// How long one probe may take, asking and answering. Kubelet gives an exec probe as long as it is told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Probes at once. There is one kubelet.
const MOST: usize = 16;

/// What is asked of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it turns.
    Live,
    /// Whether it can do its work.
    Ready,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/healthz",
            Self::Ready => "/readyz",
        }
    }
}

/// The process does not say yes.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Nobody answers.
    #[error("no agent answers at {}: it has not started yet, or was not told this --probe-socket", path.display())]
    Nobody {
        /// Where it was asked.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not answer as it should.
    #[error("the agent at {} breaks off", .0.display())]
    Broken(PathBuf, #[source] hyper::Error),
    /// It does not answer in time.
    #[error("the agent at {} does not answer within {} s", .0.display(), PATIENCE.as_secs())]
    TooSlow(PathBuf),
    /// It says no, and why.
    #[error("{0}")]
    No(String),
}

/// Asks the process that listens at `path`.
///
/// # Errors
/// When it does not say yes; the text says what is missing.
pub async fn ask(path: &Path, question: Question) -> Result<(), ProbeError> {
    request(path, Method::GET, question.path()).await.map(drop)
}

/// How much the process that listens at `path` logs, after it is told so if it is.
///
/// # Errors
/// When it does not answer, or does not do it.
pub async fn log_level(path: &Path, wanted: Option<Verbosity>) -> Result<String, ProbeError> {
    match wanted {
        None => request(path, Method::GET, LOG_LEVEL_PATH).await,
        Some(verbosity) => request(path, Method::PUT, &format!("{LOG_LEVEL_PATH}/{verbosity}")).await,
    }
}

async fn request(path: &Path, method: Method, target: &str) -> Result<String, ProbeError> {
    match timeout(PATIENCE, request_at_length(path, method, target)).await {
        Ok(answered) => answered,
        Err(_) => Err(ProbeError::TooSlow(path.to_owned())),
    }
}

async fn request_at_length(path: &Path, method: Method, target: &str) -> Result<String, ProbeError> {
    let nobody = |source| ProbeError::Nobody { path: path.to_owned(), source };
    let broken = |source| ProbeError::Broken(path.to_owned(), source);
    let stream = UnixStream::connect(path).await.map_err(nobody)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())
        .expect("a path and a header make a request");
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 64 * 1024).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&body).trim_end().to_owned();
        if status == StatusCode::OK { Ok(text) } else { Err(ProbeError::No(text)) }
    };
    // The connection carries the answer, and ends without one only if it breaks.
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        _ = connection => answered.await,
    }
}

/// A socket that answers probes.
#[derive(Debug)]
pub struct ProbeSocket(UnixListener);

impl ProbeSocket {
    /// Listens at `path`.
    ///
    /// # Errors
    /// When the operating system refuses. Must be called inside a tokio runtime.
    pub fn bind(path: &Path) -> io::Result<Self> {
        private_socket::bind(path).map(Self)
    }

    /// Answers until the drain starts.
    pub async fn serve(self, admin: Admin, drain: DrainWatch) {
        let answer = async {
            let mut probes = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = self.0.accept(), if probes.len() < MOST => match accepted {
                        Ok((stream, _)) => {
                            probes.spawn(timeout(PATIENCE, answer(stream, admin.clone())));
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    },
                    Some(_) = probes.join_next() => {}
                }
            }
        };
        tokio::select! {
            () = drain.started() => {}
            () = answer => {}
        }
    }
}

async fn answer(stream: UnixStream, admin: Admin) {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = admin.clone();
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            Ok::<_, Infallible>(admin.answer(method, path).await)
        }
    });
    // How a probe's connection ends is its own matter.
    let _ = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Drain, Readiness};

    #[tokio::test]
    async fn a_probe_asks_this_very_process_and_is_told_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe.sock");
        let error = ask(&path, Question::Live).await.unwrap_err();
        assert!(matches!(error, ProbeError::Nobody { .. }), "{error}");

        let (readiness, drain) = (Readiness::default(), Drain::new());
        let socket = ProbeSocket::bind(&path).unwrap();
        let (admin, watch) = (Admin::probes(readiness.clone()), drain.watch());
        let serving = tokio::spawn(socket.serve(admin, watch));
        ask(&path, Question::Live).await.unwrap();
        ask(&path, Question::Ready).await.unwrap();
        readiness.revoke();
        ask(&path, Question::Live).await.unwrap();
        let error = ask(&path, Question::Ready).await.unwrap_err();
        assert_eq!(error.to_string(), "process: it is stopping");
        drain.cut_now();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn silent_clients_do_not_keep_a_probe_from_its_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe.sock");
        let drain = Drain::new();
        let socket = ProbeSocket::bind(&path).unwrap();
        let _serving = tokio::spawn(socket.serve(Admin::probes(Readiness::default()), drain.watch()));
        let mut silent = Vec::new();
        for _ in 0..MOST - 1 {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        ask(&path, Question::Ready).await.unwrap();
    }
}
