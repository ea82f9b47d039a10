//! Load at a steady rate. A request is due when the schedule says so, not when the one before was answered, and its latency
//! counts from then: a server that stalls is charged for everything that waited.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, timeout};

use crate::report;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::token::Tokens;
use crate::wire::{self, Connection};

/// Connections in a kept-alive pool, used in turn.
pub(crate) const POOL: usize = 64;
/// Requests under way at most, when each has its own connection.
const OPEN: usize = 1024;
/// An answer that takes longer is a fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Whether connections are used again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Connections {
    /// For many requests.
    KeptAlive,
    /// For one request each.
    NewEach,
}

/// `bench load`: one open loop by hand.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) rate: u32,
    pub(crate) seconds: u64,
    pub(crate) connections: Connections,
    pub(crate) tokens: usize,
}

impl Load {
    /// Runs it and prints what came back.
    pub(crate) async fn run(self) -> Result<()> {
        ensure!(self.rate > 0 && self.tokens > 0, "rate and tokens must be at least 1");
        let request = |token: &String| wire::credentials_request(self.address, token, self.connections);
        let open_loop = OpenLoop {
            address: self.address,
            requests: Tokens::new()?.take(self.tokens).iter().map(request).collect(),
            schedule: Schedule::lasting(self.rate, self.seconds),
            connections: self.connections,
            body: None,
        };
        let tally = open_loop.run().await?;
        report::print(&format!("{:#}", tally.to_json()?));
        ensure!(tally.faults.count == 0, "{} faults", tally.faults.count);
        Ok(())
    }
}

/// Load at a steady rate.
pub(crate) struct OpenLoop {
    /// Of whom.
    pub(crate) address: SocketAddr,
    /// What, in turn.
    pub(crate) requests: Vec<Vec<u8>>,
    /// When.
    pub(crate) schedule: Schedule,
    /// On what.
    pub(crate) connections: Connections,
    /// The size every body must have, where it is known.
    pub(crate) body: Option<usize>,
}

impl OpenLoop {
    /// Runs it. This keeps its core busy: timers are good to 1 ms only, so the wait for the next request is a spin.
    pub(crate) async fn run(self) -> Result<Tally> {
        let shared = Arc::new(Shared {
            seats: Semaphore::new(if self.connections == Connections::KeptAlive { POOL } else { OPEN }),
            idle: Mutex::new(self.connect().await?),
            tally: Mutex::new(Tally::new()?),
            open_loop: self,
        });
        let start = Instant::now() + Duration::from_millis(1);
        let mut asked = JoinSet::new();
        for (index, offset) in shared.open_loop.schedule.offsets().enumerate() {
            let due = start + offset;
            // At least once, or else a generator that is behind would never let its requests run.
            yield_now().await;
            while Instant::now() < due {
                yield_now().await;
            }
            asked.spawn(Arc::clone(&shared).request(index, due));
        }
        while let Some(done) = asked.join_next().await {
            done?;
        }
        let tally = std::mem::replace(&mut *lock(&shared.tally), Tally::new()?);
        Ok(tally)
    }

    async fn connect(&self) -> Result<VecDeque<Connection>> {
        let mut idle = VecDeque::new();
        while self.connections == Connections::KeptAlive && idle.len() < POOL {
            idle.push_back(Connection::open(self.address).await?);
        }
        Ok(idle)
    }
}

struct Shared {
    open_loop: OpenLoop,
    seats: Semaphore,
    idle: Mutex<VecDeque<Connection>>,
    tally: Mutex<Tally>,
}

impl Shared {
    async fn request(self: Arc<Self>, index: usize, due: Instant) {
        let asked = match timeout(PATIENCE, self.ask(index, due)).await {
            Ok(asked) => asked,
            Err(_) => Err(anyhow::anyhow!("no answer in time")),
        };
        let mut tally = lock(&self.tally);
        match asked {
            Ok(()) => tally.answered(due, due.elapsed()),
            Err(why) => tally.faults.add(format!("{}: {why:#}", self.open_loop.address)),
        }
    }

    async fn ask(&self, index: usize, due: Instant) -> Result<()> {
        let _seat = self.seats.acquire().await?;
        lock(&self.tally).sent(due.elapsed());
        let idle = lock(&self.idle).pop_front();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.open_loop.address).await?,
        };
        let requests = &self.open_loop.requests;
        let head = connection.ask(&requests[index % requests.len()]).await?;
        ensure!(head.status == 200, "status {}", head.status);
        if let Some(body) = self.open_loop.body {
            ensure!(head.body == body, "a body of {} bytes, not {body}", head.body);
        }
        if self.open_loop.connections == Connections::KeptAlive {
            lock(&self.idle).push_back(connection);
        }
        Ok(())
    }
}

/// What is behind these locks is whole after every statement, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
