//! A pod in a loop: 5,000 requests a second, whatever is answered. Batches on some connections, and of the answers nothing but
//! the status is looked at: the flood runs beside the load whose latencies count, and must not hold that up.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Requests a second.
pub(super) const RATE: u32 = 5_000;
const CONNECTIONS: u32 = 10;
/// Requests sent at once on one connection.
const BATCH: u32 = 5;
const BUFFER: usize = 16 * 1024;
/// What may come after the last request was sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// A flood under way.
pub(super) struct Flood(JoinSet<Result<Answers>>);

impl Flood {
    /// Asks the same again and again, for so long.
    pub(super) fn start(address: SocketAddr, request: &[u8], begin: Instant, seconds: u64) -> Self {
        let every = Duration::from_secs(1) * CONNECTIONS * BATCH / RATE;
        let batches = u64::from(RATE / CONNECTIONS / BATCH) * seconds;
        let mut connections = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let first = begin + every * connection / CONNECTIONS;
            let batch = request.repeat(BATCH as usize);
            connections.spawn(one(address, batch, batches, first, every));
        }
        Self(connections)
    }

    /// What was answered, once everything is.
    pub(super) async fn end(mut self) -> Result<Answers> {
        let mut answers = Answers::default();
        while let Some(done) = self.0.join_next().await {
            let done = done??;
            answers.granted += done.granted;
            answers.refused += done.refused;
        }
        Ok(answers)
    }
}

async fn one(
    address: SocketAddr,
    batch: Vec<u8>,
    batches: u64,
    first: Instant,
    every: Duration,
) -> Result<Answers> {
    let mut stream = TcpStream::connect(address).await.context("the flood cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut from, mut to) = stream.split();
    let send = async {
        let mut due = first;
        for _ in 0..batches {
            sleep_until(due).await;
            to.write_all(&batch).await.context("the flood cannot be sent")?;
            due += every;
        }
        Ok(())
    };
    let receive = async {
        let (mut answers, mut buffer) = (Answers::default(), vec![0; BUFFER]);
        while answers.answers() < batches * u64::from(BATCH) {
            let read = from.read(&mut buffer).await.context("the flood's answers cannot be read")?;
            ensure!(read > 0, "the agent closed the flood's connection");
            answers.read(&buffer[..read]);
        }
        Ok(answers)
    };
    let end = first + every * u32::try_from(batches)? + PATIENCE;
    let flooded = async { tokio::try_join!(send, receive) };
    timeout_at(end, flooded).await.context("the flood is not answered in time")?.map(|((), answers)| answers)
}

/// The answers in a stream of bytes, by their status.
#[derive(Default)]
pub(super) struct Answers {
    /// Credentials.
    pub(super) granted: u64,
    /// Anything else.
    pub(super) refused: u64,
    /// How much of [`START`] was seen last.
    seen: usize,
}

/// How an answer starts, up to its status. Only its first letter is an H, so nothing else can be a beginning.
const START: &[u8] = b"HTTP/1.1 ";

impl Answers {
    /// All of them.
    pub(super) fn answers(&self) -> u64 {
        self.granted + self.refused
    }

    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match START.get(self.seen) {
                Some(next) if next == byte => self.seen += 1,
                Some(_) => self.seen = usize::from(*byte == START[0]),
                None => {
                    *if *byte == b'2' { &mut self.granted } else { &mut self.refused } += 1;
                    self.seen = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_wherever_the_stream_is_cut() {
        let stream =
            b"HTTP/1.1 200 OK\r\nHost: HTTP/1.0\r\n\r\nHHTTP/1.1 503 no\r\n\r\n\x00HTTP/1.1 200 OK\r\n\r\n";
        for cut in 0..stream.len() {
            let mut answers = Answers::default();
            answers.read(&stream[..cut]);
            answers.read(&stream[cut..]);
            assert_eq!((answers.granted, answers.refused), (2, 1), "cut at {cut}");
        }
    }
}
