//! The signals that are meant for the program.

use std::fs::File;
use std::io;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

/// Signals that are passed on and do not end us: the program decides what they mean.
pub(super) struct Signals {
    terminate: Arrivals,
    interrupt: Arrivals,
    quit: Arrivals,
    hangup: Option<Arrivals>,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            // Under nohup the signal is ignored, and the program inherits that only from a parent that does not listen.
            hangup: if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// The next signal for the program.
    pub(super) async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = hangup => Signal::HUP,
        }
    }
}

/// Whether this process was started with SIGHUP ignored. Linux says so in a mask with bit N-1 for signal N; where there
/// is no such file, nobody has used nohup.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & 1 << (Signal::HUP.as_raw() - 1) != 0
}

/// Passes a signal on to the program, unless the terminal has sent it there too: many programs take a second Ctrl-C as
/// "at once".
pub(super) fn forward(signal: Signal, program: Option<u32>) {
    if matches!(signal, Signal::INT | Signal::QUIT) && is_in_foreground() {
        return;
    }
    let pid = program.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // A program that has just ended needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// Whether keys pressed at the terminal reach our process group, and with it the program.
fn is_in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
