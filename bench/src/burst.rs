//! Many requests at once, each on a new connection: what a node sees when it comes up.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::open_loop::PATIENCE;
use crate::tally::Tally;
use crate::wire::Connection;

/// Sends all requests now; latencies count from now, connecting included. Every body must have the size `body`, where it is
/// known.
pub(crate) async fn run(address: SocketAddr, requests: Vec<Vec<u8>>, body: Option<usize>) -> Result<Tally> {
    let start = Instant::now();
    let mut asked = JoinSet::new();
    for request in requests {
        asked.spawn(timeout(PATIENCE, async move { answer(address, &request, body, start).await }));
    }
    let mut tally = Tally::new()?;
    while let Some(done) = asked.join_next().await {
        match done? {
            Ok(Ok(latency)) => tally.answered(start, latency),
            Ok(Err(why)) => tally.faults.add(format!("{address}, one of many at once: {why:#}")),
            Err(_) => tally.faults.add(format!("{address}, one of many at once: no answer in time")),
        }
    }
    Ok(tally)
}

async fn answer(
    address: SocketAddr,
    request: &[u8],
    body: Option<usize>,
    start: Instant,
) -> Result<Duration> {
    let mut connection = Connection::open(address).await?;
    let head = connection.ask(request).await?;
    ensure!(head.status == 200, "status {}: {}", head.status, String::from_utf8_lossy(connection.body(head)));
    if let Some(body) = body {
        ensure!(head.body == body, "a body of {} bytes, not {body}", head.body);
    }
    Ok(start.elapsed())
}
