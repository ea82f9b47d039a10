//! One HTTP/1 connection and its three clocks: idle, head, answer. hyper has one timeout for idle and head together;
//! we want seconds for a head that trickles in and tens of seconds for a client that keeps its connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::drain::DrainWatch;
use crate::listener::{Handler, Limits};

/// How long a client that was turned away may take to read why.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is read of a connection before there is more of it: a whole request with a token of usual size.
const FIRST_BYTES: usize = 2 * 1_024;

/// Serves one connection until either side ends it, a clock runs out, or the drain lets it finish.
pub(crate) async fn serve<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    handler: H,
    limits: Arc<Limits>,
    drain: DrainWatch,
) {
    // In a box of its own, made when it is needed: a silent client costs neither hyper's buffers nor room for its state.
    if let Some(first) = first_bytes(&stream, &limits, &drain).await {
        Box::pin(converse(stream, first, peer, handler, limits, drain)).await;
    }
}

async fn converse<H: Handler>(
    stream: TcpStream,
    first: Vec<u8>,
    peer: SocketAddr,
    handler: H,
    limits: Arc<Limits>,
    drain: DrainWatch,
) {
    let phase = Arc::new(Phase::default());
    let io = TokioIo::new(Timed { first, stream, phase: Arc::clone(&phase) });
    let service = Timekeeper { handler, peer, phase: Arc::clone(&phase) };
    let mut connection = http1::Builder::new()
        .max_buf_size(limits.max_head_bytes)
        .keep_alive(true)
        .serve_connection(io, service);
    let late = {
        let mut draining = pin!(drain.started());
        let mut drained = false;
        let mut lingering: Option<Pin<Box<Sleep>>> = None;
        let mut deadline = Deadline::new(&phase, &limits);
        poll_fn(|context| {
            if !drained && draining.as_mut().poll(context).is_ready() {
                drained = true;
                phase.is_last.store(true, Ordering::Relaxed);
                lingering = Some(Box::pin(tokio::time::sleep(limits.linger)));
            }
            if lingering.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready()) {
                lingering = None;
                Pin::new(&mut connection).graceful_shutdown();
            }
            // How a connection ends is between hyper and the client: it has answered what can be answered.
            if Pin::new(&mut connection).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            deadline.poll(context).map(Some)
        })
        .await
    };
    if let Some(Late::Head) = late {
        let stream = connection.into_parts().io.into_inner().stream;
        turn_away(stream, limits.head_too_slow.clone()).await;
    }
}

/// Waits for the first bytes of a client, if it sends any: thousands of clients may connect and say nothing. They are read, not
/// peeked at, since a system call is a tenth of what a short connection costs.
async fn first_bytes(stream: &TcpStream, limits: &Limits, drain: &DrainWatch) -> Option<Vec<u8>> {
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(limits.idle_timeout) => {}
            // A request may be on its way: it gets the time that its head would have.
            () = async { drain.started().await; tokio::time::sleep(limits.head_timeout).await } => {}
        }
    };
    let read = async {
        loop {
            stream.readable().await?;
            let mut first = Vec::with_capacity(FIRST_BYTES);
            match stream.try_read_buf(&mut first) {
                // A new connection may be called readable before anything has come.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| first),
            }
        }
    };
    tokio::select! {
        biased;
        first = read => first.ok().filter(|first| !first.is_empty()),
        () = patience => None,
    }
}

/// Tells a client why it is not served, gives it a moment to read that, and closes.
pub(crate) async fn turn_away(mut stream: TcpStream, answer: Bytes) {
    let farewell = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and could take the answer with it.
        let mut unread = [0; 256];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Which clock ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// No request came.
    Idle,
    /// A request began and did not end.
    Head,
}

/// What the connection is doing. Written on each request, so it is atomics and no lock, and no clock is read for it.
#[derive(Debug, Default)]
struct Phase {
    kind: AtomicU8,
    answers: AtomicU32,
    /// Whether the next answer is the connection's last.
    is_last: AtomicBool,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const ANSWER: u8 = 2;

impl Phase {
    fn head_begins(&self) {
        if self.kind.load(Ordering::Relaxed) == IDLE {
            self.kind.store(HEAD, Ordering::Relaxed);
        }
    }

    fn answer_begins(&self) {
        self.kind.store(ANSWER, Ordering::Relaxed);
    }

    fn answer_ends(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.kind.store(IDLE, Ordering::Relaxed);
    }

    /// Changes whenever a phase begins, even if others came and went in between.
    fn now(&self) -> (u8, u32) {
        (self.kind.load(Ordering::Relaxed), self.answers.load(Ordering::Relaxed))
    }
}

/// Completes when a phase takes too long. Polled after each step of the connection; it moves its alarm only when that
/// must ring earlier or has rung for nothing, so that a busy connection does not pay for a timer on each request.
struct Deadline<'a> {
    phase: &'a Phase,
    limits: &'a Limits,
    seen: (u8, u32),
    at: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<'a> Deadline<'a> {
    fn new(phase: &'a Phase, limits: &'a Limits) -> Self {
        let at = Instant::now() + limits.idle_timeout;
        Self { phase, limits, seen: phase.now(), at, alarm: Box::pin(tokio::time::sleep_until(at)) }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Late> {
        let present = self.phase.now();
        let (late, patience) = match present.0 {
            IDLE => (Late::Idle, self.limits.idle_timeout),
            HEAD => (Late::Head, self.limits.head_timeout),
            // How long an answer may take is for the handler to say.
            _ => return Poll::Pending,
        };
        if present != self.seen {
            self.seen = present;
            self.at = Instant::now() + patience;
            if self.at < self.alarm.deadline() {
                self.alarm.as_mut().reset(self.at);
            }
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            if self.at <= Instant::now() {
                return Poll::Ready(late);
            }
            self.alarm.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

/// Notices the first byte of a request.
struct Timed {
    /// What was read of the stream already, and has not been taken from here.
    first: Vec<u8>,
    stream: TcpStream,
    phase: Arc<Phase>,
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let (now, later) = self.first.split_at(buffer.remaining().min(self.first.len()));
            buffer.put_slice(now);
            self.first = later.to_vec();
            self.phase.head_begins();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.phase.head_begins();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Leaves it to the stream's end, which follows at once and tells the client the same with one system call less.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

/// Marks where an answer begins and ends.
struct Timekeeper<H> {
    handler: H,
    peer: SocketAddr,
    phase: Arc<Phase>,
}

impl<H: Handler> Service<Request<Incoming>> for Timekeeper<H> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Timekept<H::Answer>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.answer_begins();
        Timekept { answer: self.handler.handle(request, self.peer), phase: Arc::clone(&self.phase) }
    }
}

struct Timekept<A> {
    answer: A,
    phase: Arc<Phase>,
}

impl<A: Future<Output = Response<Full<Bytes>>> + Unpin> Future for Timekept<A> {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.answer).poll(context));
        self.phase.answer_ends();
        if self.phase.is_last.load(Ordering::Relaxed) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{Ready, ready};
    use tokio::net::TcpListener;

    use super::*;
    use crate::Drain;

    #[derive(Clone)]
    struct Nothing;

    impl Handler for Nothing {
        type Answer = Ready<Response<Full<Bytes>>>;

        fn handle(&self, _: Request<Incoming>, _: SocketAddr) -> Self::Answer {
            ready(Response::new(Full::default()))
        }
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_costs_less_than_a_kilobyte() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, peer) = accepted.unwrap();
        let connection = serve(stream, peer, Nothing, Arc::new(Limits::default()), Drain::new().watch());
        let size = std::mem::size_of_val(&connection);
        assert!(size < 1_024, "{size} bytes");
    }

    #[tokio::test]
    async fn a_client_speaks_with_its_first_byte_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, (stream, _)) = (client.unwrap(), accepted.unwrap());
        let (limits, drain) = (Limits::default(), Drain::new().watch());
        let silence =
            tokio::time::timeout(Duration::from_millis(50), first_bytes(&stream, &limits, &drain)).await;
        assert!(silence.is_err(), "it has said nothing yet");
        client.write_all(b"G").await.unwrap();
        assert_eq!(first_bytes(&stream, &limits, &drain).await.unwrap(), b"G");
        drop(client);
        assert_eq!(first_bytes(&stream, &limits, &drain).await, None, "it left without a word");
    }
}
