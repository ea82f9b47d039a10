//! The listening end of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runtime::DrainWatch;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::{Desk, MAX_BODY_BYTES};

/// The path of a Unix socket has room for 107 bytes and a NUL in Linux' `sockaddr_un`.
const LONGEST_PATH: usize = 107;

/// The control socket could not be opened.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    /// The path does not fit.
    #[error(
        "the control socket {} has a path of {} bytes, the operating system allows {LONGEST_PATH}: \
         choose a folder with a shorter path with --data",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("the control socket {} cannot be opened", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A control socket that is bound. Its file is removed when it is dropped.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket. The caller holds the folder's lock, so a socket file that is there belongs to a dead process.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(SocketError::TooLong { path: path.to_owned() });
        }
        let bound = || -> io::Result<UnixListener> {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = bound().map_err(|source| SocketError::Io { path: path.to_owned(), source })?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until the drain starts, then finishes what is open.
    pub(crate) async fn serve(self, desk: Desk, drain: DrainWatch) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = drain.started() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        connections.spawn(serve_one(stream, desk.clone(), drain.clone()));
                    }
                    Ok(_) => warn!("another user tried the control socket"),
                    Err(error) => {
                        warn!(error = &error as &dyn std::error::Error, "the control socket cannot accept");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                },
            }
        }
        tokio::select! {
            () = drain.cut() => connections.shutdown().await,
            () = async { while connections.join_next().await.is_some() {} } => {}
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // What stays behind is replaced by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Between bind and the change of mode the socket was open to whoever may enter the folder, so each peer is asked too.
/// Root may do everything anyway.
fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

async fn serve_one(stream: UnixStream, desk: Desk, drain: DrainWatch) {
    let service = service_fn(move |request| respond(desk.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = &error as &dyn std::error::Error, "a connection of the control socket ended early");
    }
}

async fn respond(desk: Desk, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, http::Error> {
    let (head, body) = request.into_parts();
    let (status, content) = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => desk.answer(&head.method, head.uri.path(), &body.to_bytes()).await,
        Err(_) => (
            StatusCode::BAD_REQUEST,
            Bytes::from_static(br#"{"message":"the request did not arrive whole"}"#),
        ),
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(content))
}
