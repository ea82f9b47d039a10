//! Memory of one agent without sessions, with 64, 2,000 and 20,000, each time after all connections of pods are closed. A
//! session's part is counted from 64 on, which begin at once, as the others do later: the first exchanges load code that an idle
//! agent never touches, and as many at once as ever leave room in the heap that the next ones use again.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

use super::subject::Subject;
use crate::figure::Aim;
use crate::procfs;
use crate::report::progress;
use crate::results::Results;
use crate::settings::Settings;
use crate::token::{self, Tokens};

/// How many sessions there are, and how that is written.
const FIRST: usize = super::subject::AT_ONCE;
const SIZES: [(usize, &str); 2] = [(2_000, "2,000"), (20_000, "20,000")];
/// Room for all of them, and connections that do not stay open for long.
const FLAGS: [&str; 4] = ["--max-cache-size", "20000", "--idle-timeout", "2s"];
const SETTLE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// What a session may take, in KiB.
const MOST: Aim = Aim::AtMost(3.0);

/// What sessions take.
pub(super) async fn measure(settings: &Settings, tokens: &mut Tokens, results: &mut Results) -> Result<()> {
    progress("memory");
    let flags = [crate::agent::UNSHARED.as_slice(), FLAGS.as_slice()].concat();
    let mut subject = Subject::start(settings, "memory", 0, &flags).await?;
    sleep(SETTLE).await;
    let empty = subject.process.memory()?;
    let mib = |kib: u64| vec![kib as f64 / 1024.0];
    let anonymous = ("its anonymous part", mib(empty.anonymous));
    results.add("memory without sessions", "MiB", mib(empty.resident), anonymous, None);
    subject.fill(tokens.take(FIRST)).await?;
    until_closed(&subject).await?;
    sleep(SETTLE).await;
    let first = subject.process.memory()?.resident;
    let reference = ("without", mib(empty.resident));
    results.add(format!("memory with {FIRST} sessions"), "MiB", mib(first), reference, None);
    for (size, name) in SIZES {
        subject.fill(tokens.take(size - subject.tokens.len())).await?;
        until_closed(&subject).await?;
        sleep(SETTLE).await;
        let resident = subject.process.memory()?.resident;
        let reference = ("without", mib(empty.resident));
        results.add(format!("memory with {name} sessions"), "MiB", mib(resident), reference, None);
        let body = subject.answer(&subject.tokens).await?.body;
        let bare = vec![(token::SIZE + body) as f64 / 1024.0];
        let each = resident.saturating_sub(first) as f64 / (size - FIRST) as f64;
        let reference = ("its token and its answer", bare);
        results.add(format!("a session of {name}"), "KiB", vec![each], reference, Some(MOST));
    }
    subject.process.alive()
}

async fn until_closed(subject: &Subject) -> Result<()> {
    let begun = Instant::now();
    while procfs::connections_at(subject.address.port())? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the agent does not close its connections");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
