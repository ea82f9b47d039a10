//! A process we started, with its log. It ends with this value, however the run ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::procfs::{self, Memory};

/// How a process is ended.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// At once.
    Kill,
    /// Politely: a master that is killed would leave its workers behind.
    Terminate,
}

/// A process we started.
pub(crate) struct Process {
    child: Child,
    ending: Ending,
}

impl Process {
    /// Starts it with both outputs in `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path, ending: Ending) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("the log cannot be opened")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        Ok(Self { child, ending })
    }

    /// An error if it has ended by itself.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("process {} ended by itself: {status}", self.child.id()),
            None => Ok(()),
        }
    }

    /// CPU time so far, with its children's.
    pub(crate) fn cpu_ticks(&self) -> Result<u64> {
        self.family().map(procfs::cpu_ticks).sum()
    }

    /// CPU time so far of the threads it has now, without children, to the nanosecond.
    pub(crate) fn threads_cpu(&self) -> Result<Duration> {
        procfs::threads_cpu(self.child.id())
    }

    /// Resident memory, with its children's.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut sum = Memory { resident: 0, anonymous: 0 };
        for one in self.family().map(procfs::memory) {
            let one = one?;
            sum.resident += one.resident;
            sum.anonymous += one.anonymous;
        }
        Ok(sum)
    }

    /// Halts it until [`Self::go_on`].
    pub(crate) fn halt(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Goes on where it was halted.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "process {} cannot be sent {signal}", self.child.id());
        Ok(())
    }

    fn family(&self) -> impl Iterator<Item = u32> {
        let parent = self.child.id();
        std::iter::once(parent).chain(procfs::children(parent))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked = match self.ending {
            Ending::Kill => false,
            Ending::Terminate => Command::new("kill")
                .arg(self.child.id().to_string())
                .status()
                .is_ok_and(|status| status.success()),
        };
        if !asked {
            // It may have ended by itself; then there is nothing to kill.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
