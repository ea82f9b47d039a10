//! The life of a process: hardened at its start, told to stop by signals.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::drain::Drain;

/// Keeps secrets out of core dumps, and other processes of the same user out of this one's memory.
pub fn harden() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Either may be forbidden where we run; then the other still helps.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Makes use of every capability that this process may have. A container that does not run as root gets its capabilities
/// from the program's file; there they are only permitted, since a file that insists on one cannot be started without it.
pub fn use_capabilities() {
    use rustix::thread::{CapabilitySets, capabilities, set_capabilities};
    // Where this is refused, what needs a capability fails later and says so.
    if let Ok(CapabilitySets { permitted, inheritable, .. }) = capabilities(None) {
        let _ = set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable });
    }
}

/// Lets this process have as many files and connections open as the machine allows it: the usual soft limit of 1,024 is
/// meant for programs that use `select`.
pub fn open_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused where we are confined; then the limits of the listeners still hold.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The signals that end a process.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// When the operating system refuses to register the handlers.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Completes at the next signal, with its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs `work` until it ends by itself or a signal comes; then drains for at most `patience`. A second signal cuts.
///
/// `on_stop` runs first, when the signal comes: the place to turn unready.
pub async fn run_until_stopped(
    mut signals: StopSignals,
    drain: &Drain,
    patience: Duration,
    on_stop: impl FnOnce(),
    work: impl Future<Output = ()>,
) {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        name = signals.next() => info!(signal = name, ?patience, "stopping: no new connections, finishing what is open"),
    }
    on_stop();
    let drained = async {
        let (drained, ()) = tokio::join!(drain.within(patience), work);
        drained
    };
    tokio::select! {
        drained = drained => match drained {
            Ok(()) => info!("stopped, everything was finished"),
            Err(cut) => warn!("stopped: {cut}"),
        },
        name = signals.next() => {
            warn!(signal = name, "second signal: stopping at once");
            drain.cut_now();
        }
    }
}
