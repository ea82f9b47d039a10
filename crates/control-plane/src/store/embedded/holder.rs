//! Who has a database open: for the text that tells somebody else.
//!
//! The holder locks a file beside the database, and the kernel names the process that has a lock. So the answer is never an
//! old one, whatever the process died of; what the file holds does not matter.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// How much of a command is shown.
const LONGEST_COMMAND: usize = 120;

/// A process that has a database open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pid: i32,
    command: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "process {} ({command})", self.pid),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// The other process that has the database in that file open; `None` also when that cannot be found out.
pub fn holder_of(database: &Path) -> Option<Holder> {
    let file = File::open(beside(database)).ok()?;
    let lock = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()??;
    let pid = lock.pid?.as_raw_pid();
    Some(Holder { pid, command: command(pid) })
}

/// Tells others that it is this process, until the file that it gives is dropped. Without that only a text is poorer, so it
/// may fail.
pub(super) fn mark(database: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(beside(database)).ok()?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// The holder, or who it must be when nobody knows.
pub(super) fn name(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), ToString::to_string)
}

fn beside(database: &Path) -> PathBuf {
    database.with_extension("holder")
}

/// The command line of a process, fit to be printed.
fn command(pid: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let shown: String =
        line.trim_end().chars().filter(|shown| !shown.is_control()).take(LONGEST_COMMAND).collect();
    (!shown.is_empty()).then_some(shown)
}
