//! The two cores: who runs where, and keeping them awake while latencies are measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process::{Ending, Process};

/// The core of the server that is measured.
pub(crate) const SERVER_CORE: usize = 0;
/// The core of everything else: the load, the upstream, this program.
pub(crate) const LOAD_CORE: usize = 1;

/// A command that runs on one core; its process id is the program's own.
pub(crate) fn pinned(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program);
    command
}

/// Moves this program's main thread, and all that it starts from now on, to the load's core.
pub(crate) fn pin_self() -> Result<()> {
    let id = std::process::id().to_string();
    done(Command::new("taskset").args(["--pid", "--cpu-list", &LOAD_CORE.to_string(), &id]))
}

/// The niceness of a whole session. Where the kernel shares out CPU time by session first, a process's own niceness counts
/// within its session only.
const SESSION: &str = "/proc/self/autogroup";

/// Puts this program, and all that it starts, before everything else in this machine, until dropped.
pub(crate) struct Precedence(());

impl Precedence {
    /// Takes it.
    pub(crate) fn take() -> Result<Self> {
        let id = std::process::id().to_string();
        done(Command::new("renice").args(["--priority", "-20", "--pid", &id]))?;
        if Path::new(SESSION).exists() {
            fs::write(SESSION, "-20").context("the session cannot be given precedence")?;
        }
        Ok(Self(()))
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        // Without sessions there is nothing to give back: niceness ends with this process.
        let _ = fs::write(SESSION, "0");
    }
}

/// Moves the calling thread to `core`, with a priority above all that runs there.
pub(crate) fn own_this_core(core: usize) -> Result<()> {
    let link = fs::read_link("/proc/thread-self")?;
    let thread = link.file_name().context("/proc/thread-self has an unknown form")?;
    done(Command::new("taskset").args(["--pid", "--cpu-list", &core.to_string()]).arg(thread))?;
    done(Command::new("chrt").args(["--fifo", "--pid", "50"]).arg(thread))
}

fn done(command: &mut Command) -> Result<()> {
    let output =
        command.output().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    ensure!(output.status.success(), "{:?} failed: {}", command, String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Spinners of the idle scheduling class on both cores. A virtual CPU that halts is woken by the host, which takes tens to
/// thousands of µs and would be counted as the server's. A spinner yields to anybody at once.
pub(crate) struct Awake(#[expect(dead_code, reason = "held for its Drop")] Vec<Process>);

impl Awake {
    /// Keeps both cores awake until dropped.
    pub(crate) fn keep(work: &Path) -> Result<Self> {
        let own = std::env::current_exe()?;
        let spinners = [SERVER_CORE, LOAD_CORE].map(|core| {
            let mut command = pinned(core, "nice");
            command.args(["-n", "19", "chrt", "--idle", "0"]).arg(&own).arg("spin");
            Process::spawn(command, &work.join("spin.log"), Ending::Kill)
        });
        Ok(Self(spinners.into_iter().collect::<Result<_>>()?))
    }
}

/// Spins until the parent process is another one than at the start, that is, until it ended.
pub(crate) fn spin() -> Result<()> {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        for _ in 0..100_000 {
            std::hint::spin_loop();
        }
    }
    Ok(())
}

/// Clock ticks a second, the unit of CPU times in `/proc`.
pub(crate) fn ticks_per_second() -> Result<f64> {
    let output = Command::new("getconf").arg("CLK_TCK").output().context("getconf cannot be started")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("getconf CLK_TCK gave no number")
}

/// An error if there are fewer than two cores.
pub(crate) fn check() -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > LOAD_CORE,
        "two cores are needed, one for the server and one for the load; there is {cores}"
    );
    Ok(())
}

/// What this machine is, for the results.
pub(crate) fn facts(binary: &Path) -> Value {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let nginx = Command::new("nginx").arg("-v").output().map(|output| output.stderr).unwrap_or_default();
    json!({
        "cpu": model,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": kernel.trim(),
        "nginx": String::from_utf8_lossy(&nginx).trim(),
        "binary_bytes": fs::metadata(binary).map_or(0, |file| file.len()),
    })
}
