//! What the fakes behind sockets share: a port, TLS or none, a task for each connection, a death and a return.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ports::Port;

/// A connection, behind TLS or not.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// What is below it.
    fn tcp(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Connection for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;
type Converse = dyn Fn(Box<dyn Connection>) -> Conversation + Send + Sync;

/// A server. It stops when dropped.
pub(crate) struct Server {
    port: Port,
    tls: Option<TlsAcceptor>,
    converse: Arc<Converse>,
    task: JoinHandle<()>,
}

impl Server {
    /// Gives each connection to `converse`.
    pub(crate) async fn start<F>(
        tls: Option<TlsAcceptor>,
        converse: impl Fn(Box<dyn Connection>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let converse: Arc<Converse> = Arc::new(move |connection| Box::pin(converse(connection)));
        // Claimed, since one that died returns to its port.
        let port = Port::claim();
        let task = listen(&port, tls.clone(), Arc::clone(&converse)).await;
        Self { port, tls, converse, task }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The same as a URL, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address())
    }

    /// Is gone, with all its connections, until [`Self::revive`].
    pub(crate) async fn die(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Is there again, where it was.
    pub(crate) async fn revive(&mut self) {
        self.task = listen(&self.port, self.tls.clone(), Arc::clone(&self.converse)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(port: &Port, tls: Option<TlsAcceptor>, converse: Arc<Converse>) -> JoinHandle<()> {
    let listener = TcpListener::bind(port.address()).await.unwrap();
    tokio::spawn(async move {
        // Dropped with this task, so that a dead server's connections are dead too.
        let mut conversations = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, converse) = (tls.clone(), Arc::clone(&converse));
            conversations.spawn(async move {
                match tls {
                    None => converse(Box::new(stream)).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            converse(Box::new(stream)).await;
                        }
                    }
                }
            });
        }
    })
}

/// One request as it came.
pub(crate) struct Request {
    /// The head, without the empty line.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    /// Its target: path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Its first line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// The next request, read by its `Content-Length`; `None` when the connection ends first. What was sent beyond it is lost.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> Option<Request> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = text(&read[..end]);
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if let Some(body) = read.get(end + 4..end + 4 + length) {
                return Some(Request { head, body: text(body) });
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}
