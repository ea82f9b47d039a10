//! A TCP listener that serves HTTP/1 within bounds: connections in all and per peer, size and time of a request's head,
//! idle time. It never hangs a client: whoever is refused is told so.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::connection;
use crate::drain::DrainWatch;
use crate::peers::Peers;
use crate::steering;

/// How long a listener that is out of file descriptors waits before it tries again.
const PAUSE_AFTER_ACCEPT_FAILED: Duration = Duration::from_millis(50);

/// Clients that are told at the same time why they are turned away.
const MOST_FAREWELLS: usize = 1_024;

/// Connections the kernel may keep for us while we are busy (cut to `net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// Answers requests. Cloned once per connection, so cloning must be cheap.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The answer on its way; `BoxFuture<'static, _>` fits.
    type Answer: Future<Output = Response<Full<Bytes>>> + Send + Unpin + 'static;

    /// Answers one request of one peer.
    fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Self::Answer;
}

/// What a listener grants its clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long the head of a request may take from its first byte.
    pub head_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// How long an idle connection is kept when the drain starts: a request may be on its way, and gets its answer, with word
    /// that the connection ends. Zero closes at once.
    pub linger: Duration,
    /// How many bytes a request's head may have.
    pub max_head_bytes: usize,
    /// How many connections may be open.
    pub max_connections: usize,
    /// How many of them may be of one peer address.
    pub max_connections_per_peer: usize,
    /// What a client is told that comes when no connection is left: a whole HTTP/1.1 answer.
    pub refusal: Bytes,
    /// What a client is told whose head takes too long: a whole HTTP/1.1 answer.
    pub head_too_slow: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(20),
            linger: Duration::ZERO,
            max_head_bytes: 16 * 1024,
            max_connections: 10_000,
            max_connections_per_peer: 1_000,
            refusal: Bytes::from_static(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ),
            head_too_slow: Bytes::from_static(
                b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ),
        }
    }
}

/// An address could not be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {remedy}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    remedy: &'static str,
    #[source]
    source: io::Error,
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another port",
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address; add it first",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the capability NET_BIND_SERVICE; grant it or choose a higher port"
            }
            _ => "the operating system refused",
        };
        Self { address, remedy, source }
    }

    /// Whether the machine has no such address, or no such address family at all.
    pub fn is_address_missing(&self) -> bool {
        // EAFNOSUPPORT: the kernel runs without IPv6.
        self.source.kind() == io::ErrorKind::AddrNotAvailable
            || self.source.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
    }
}

/// Whether others may listen on the same address.
#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    Exclusive,
    Shared,
}

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    limits: Arc<Limits>,
}

impl Listener {
    /// Binds `address` (port 0: any free one) and lets the kernel queue connections from now on.
    ///
    /// # Errors
    /// When the address cannot be had; the text says what to do. Must be called inside a tokio runtime.
    pub fn bind(address: SocketAddr, limits: Limits) -> Result<Self, BindError> {
        Self::bind_as(address, limits, Sharing::Exclusive)
    }

    /// The same beside another process of the same user that listens there in this way too (`SO_REUSEPORT`): the one that this
    /// one takes the place of, or the one that takes its place.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_shared(address: SocketAddr, limits: Limits) -> Result<Self, BindError> {
        Self::bind_as(address, limits, Sharing::Shared)
    }

    fn bind_as(address: SocketAddr, limits: Limits, sharing: Sharing) -> Result<Self, BindError> {
        let bound = || -> io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            // A restarted process must not wait for old connections to be forgotten.
            socket.set_reuse_address(true)?;
            if sharing == Sharing::Shared {
                socket.set_reuse_port(true)?;
            }
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // Small answers must not wait for acknowledgements. Connections inherit it.
            socket.set_tcp_nodelay(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        };
        let refused = |source| BindError::new(address, source);
        let socket = bound().map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, address, limits: Arc::new(limits) })
    }

    /// Takes all new connections from now on, of two processes that share the address: this one, which came second, and the one
    /// before. When this one is gone, the other gets them again.
    ///
    /// # Errors
    /// When the operating system refuses. Then both get some of them.
    pub fn take_all(&self) -> io::Result<()> {
        steering::to_the_second(&self.socket)
    }

    /// The address it is really bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the drain starts, then takes what the kernel has queued, closes, and finishes what is open.
    pub async fn serve<H: Handler>(self, handler: H, drain: DrainWatch) {
        let peers = Peers::new(self.limits.max_connections, self.limits.max_connections_per_peer);
        let mut connections = JoinSet::new();
        let mut failing = false;
        let admit = |connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr| {
            match peers.admit(peer.ip()) {
                Some(place) => {
                    let connection = connection::serve(
                        stream,
                        peer,
                        handler.clone(),
                        Arc::clone(&self.limits),
                        drain.clone(),
                    );
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                // Whoever comes in such numbers learns nothing from one more explanation.
                None if connections.len() > self.limits.max_connections + MOST_FAREWELLS => {}
                None => {
                    debug!(%peer, "no connection left for this peer");
                    connections.spawn(connection::turn_away(stream, self.limits.refusal.clone()));
                }
            }
        };
        loop {
            tokio::select! {
                biased;
                () = drain.started() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failing = false;
                        admit(&mut connections, stream, peer);
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        if !failing {
                            warn!(error = &error as &dyn std::error::Error, address = %self.address, "cannot accept connections");
                            failing = true;
                        }
                        tokio::time::sleep(PAUSE_AFTER_ACCEPT_FAILED).await;
                    }
                },
            }
        }
        // A connection that the kernel has queued would be reset when the socket closes, so take them first.
        while let Some(Ok((stream, peer))) = futures_util::FutureExt::now_or_never(self.socket.accept()) {
            admit(&mut connections, stream, peer);
        }
        drop(self.socket);
        tokio::select! {
            () = drain.cut() => connections.shutdown().await,
            () = async { while connections.join_next().await.is_some() {} } => {}
        }
    }
}

/// Errors of `accept` that belong to the connection, not to the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
