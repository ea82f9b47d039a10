//! The audit log: one line of JSON for each answer and each refusal, if an operator asks for it. Never waited for: what its disk
//! is too slow for is dropped, and counted. The members are described in docs/audit.md.

mod file;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use serde::Serialize;
use thiserror::Error;
use tracing::{error, info, warn};

use file::RotatingFile;

/// Records that wait to be written, at most: a few seconds of a busy node.
const MOST_WAITING: usize = 8_192;

/// How long the disk gets for what waits, when the agent ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Standard output, which holds nothing else.
    Stdout,
    /// A file, which is put aside when it has grown.
    File {
        /// Its path; files that were put aside have a number behind it.
        path: PathBuf,
        /// How long it may get, in bytes.
        longest: u64,
        /// How many files there are at most, that which is written to included.
        files: u32,
    },
}

/// The audit log cannot be begun.
#[derive(Debug, Error)]
#[error("the audit log {} cannot be opened: name a file that this process may write, or - for standard output", path.display())]
pub struct AuditError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What is told of one answer. A member that is not known is null.
#[derive(Debug, Default, Serialize)]
pub struct Record<'a> {
    /// When it was given, RFC 3339 with fractions.
    pub time: String,
    /// `issued`, or `refused`.
    pub decision: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Why it was refused: the code of the body.
    pub reason: Option<&'a str>,
    /// Where credentials came from: `session` or `exchange`.
    pub source: Option<&'static str>,
    /// Who asked: address and port.
    pub client: String,
    /// The first 16 hexadecimal digits of the token's SHA-256.
    pub token_id: Option<String>,
    /// `confirmed` by EKS Auth, or only `claimed` by the token: whether what follows is so.
    pub identity: Option<&'static str>,
    /// The pod's namespace.
    pub namespace: Option<&'a str>,
    /// Its service account.
    pub service_account: Option<&'a str>,
    /// Its name.
    pub pod: Option<&'a str>,
    /// Its uid.
    pub pod_uid: Option<&'a str>,
    /// The association that named the role.
    pub association_id: Option<&'a str>,
    /// The ARN of the role session.
    pub role_session: Option<&'a str>,
    /// The id of the access key.
    pub access_key_id: Option<&'a str>,
    /// When the credentials end, RFC 3339.
    pub expiration: Option<String>,
}

/// An audit log that is written. Clones write to the same one; when the last of them is gone it is complete, unless its disk stands still.
#[derive(Clone)]
pub struct AuditLog(Arc<Shared>);

struct Shared {
    /// Taken only when the log ends.
    lines: Option<SyncSender<Vec<u8>>>,
    /// Ends when the writer does.
    writer: Mutex<Receiver<()>>,
    patience: Duration,
    metrics: AuditMetrics,
}

impl AuditLog {
    /// Opens the target, and a thread that writes to it: what writes to disks waits for them.
    ///
    /// # Errors
    /// When the file cannot be opened, or no thread can be had.
    pub fn open(target: &AuditTarget, metrics: AuditMetrics) -> Result<Self, AuditError> {
        let out: Box<dyn Write + Send> = match target {
            AuditTarget::Stdout => Box::new(io::stdout()),
            AuditTarget::File { path, longest, files } => {
                let file = RotatingFile::open(path.clone(), *longest, *files);
                Box::new(file.map_err(|source| AuditError { path: path.clone(), source })?)
            }
        };
        Self::write_to(out, metrics, PATIENCE)
            .map_err(|source| AuditError { path: PathBuf::from("-"), source })
    }

    fn write_to(
        out: impl Write + Send + 'static,
        metrics: AuditMetrics,
        patience: Duration,
    ) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(MOST_WAITING);
        let (done, writer) = sync_channel(0);
        let of_writer = metrics.clone();
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            write_all(&waiting, out, &of_writer);
            drop(done);
        })?;
        let shared = Shared { lines: Some(lines), writer: Mutex::new(writer), patience, metrics };
        Ok(Self(Arc::new(shared)))
    }

    /// Writes a record, in a moment. Waits for nothing.
    pub fn record(&self, record: &Record<'_>) {
        let mut line = serde_json::to_vec(record).expect("a record can be written to a vector");
        line.push(b'\n');
        let lines = self.0.lines.as_ref().expect("the log has not ended");
        if lines.try_send(line).is_err() {
            self.0.metrics.dropped.inc();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.lines = None;
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What waits is written yet, if the disk takes it; an agent that was told to end does not wait for one that stands still.
        if writer.recv_timeout(self.patience) == Err(RecvTimeoutError::Timeout) {
            warn!("the audit log ends before all of it is written: its disk is too slow");
        }
    }
}

fn write_all(lines: &Receiver<Vec<u8>>, mut out: impl Write, metrics: &AuditMetrics) {
    let mut is_failing = false;
    while let Ok(line) = lines.recv() {
        match out.write_all(&line).and_then(|()| out.flush()) {
            Ok(()) => {
                metrics.written.inc();
                if is_failing {
                    is_failing = false;
                    info!("the audit log can be written again");
                }
            }
            Err(error) => {
                metrics.failed.inc();
                if !is_failing {
                    is_failing = true;
                    error!(
                        error = &error as &dyn std::error::Error,
                        "the audit log cannot be written, records are lost: see whether its disk is full"
                    );
                }
            }
        }
    }
}

/// What is counted of records.
#[derive(Clone)]
pub struct AuditMetrics {
    written: IntCounter,
    dropped: IntCounter,
    failed: IntCounter,
}

impl AuditMetrics {
    /// Counters in this registry.
    ///
    /// # Errors
    /// When the registry has the name already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(
            "pod_identity_audit_records_total",
            "Records of the audit log: written, dropped because the disk is too slow, failed to be written",
        );
        let records = IntCounterVec::new(options, &["outcome"])?;
        registry.register(Box::new(records.clone()))?;
        let of = |outcome| records.with_label_values(&[outcome]);
        Ok(Self { written: of("written"), dropped: of("dropped"), failed: of("failed") })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::MutexGuard;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn metrics() -> AuditMetrics {
        AuditMetrics::register(&Registry::new()).unwrap()
    }

    fn record(status: u16) -> Record<'static> {
        Record { status, decision: "issued", ..Record::default() }
    }

    /// A disk that takes nothing until it is let.
    struct SlowDisk(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for SlowDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            locked(&self.1).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn locked(page: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
        page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slow_disk() -> (Sender<()>, Arc<Mutex<Vec<u8>>>, SlowDisk) {
        let (let_it, waits) = channel();
        let page = Arc::default();
        (let_it, Arc::clone(&page), SlowDisk(waits, page))
    }

    #[test]
    fn a_disk_that_stands_still_holds_nobody_up_and_what_is_lost_is_counted() {
        let (let_it, page, disk) = slow_disk();
        let metrics = metrics();
        let log = AuditLog::write_to(disk, metrics.clone(), PATIENCE).unwrap();
        let many = MOST_WAITING + 100;
        (0..many).for_each(|_| log.record(&record(200)));
        let dropped = usize::try_from(metrics.dropped.get()).unwrap();
        drop(let_it);
        drop(log);
        // The writer may have taken one to write.
        assert!((99..=100).contains(&dropped), "{dropped}");
        let lines = locked(&page).iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines + dropped, many, "all others are written before the log ends");
        assert_eq!(metrics.written.get(), lines as u64);
    }

    #[test]
    fn a_disk_that_stands_still_does_not_keep_the_agent_from_ending() {
        let (let_it, _page, disk) = slow_disk();
        let log = AuditLog::write_to(disk, metrics(), Duration::ZERO).unwrap();
        log.record(&record(200));
        let (ended, hears) = channel();
        std::thread::spawn(move || {
            drop(log);
            ended.send(()).unwrap();
        });
        assert!(hears.recv_timeout(testkit::process::SOON).is_ok());
        drop(let_it);
    }

    #[test]
    fn a_disk_that_is_full_loses_records_and_counts_them() {
        let metrics = metrics();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let log = AuditLog::write_to(full, metrics.clone(), PATIENCE).unwrap();
        (0..3).for_each(|_| log.record(&record(200)));
        drop(log);
        assert_eq!((metrics.written.get(), metrics.failed.get(), metrics.dropped.get()), (0, 3, 0));
    }

    #[test]
    fn a_record_has_every_member_known_or_not() {
        let members = serde_json::to_value(record(404)).unwrap();
        let page = include_str!("../../../docs/audit.md");
        for name in members.as_object().unwrap().keys() {
            assert!(page.contains(&format!("| `{name}` |")), "docs/audit.md does not tell of {name}");
        }
        let told = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(told, members.as_object().unwrap().len());
    }
}
