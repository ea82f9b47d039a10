//! The agent as it runs on this node: its flags and its environment.

use std::ffi::OsStr;
use std::path::Path;

use agent::command::{self, Asked, ServerFlags};

use crate::proc::{Variables, parts, variables};

/// A running agent.
#[derive(Clone, Debug)]
pub(super) struct AgentProcess {
    /// Its id.
    pub(super) pid: u32,
    /// Its command line, the program first.
    pub(super) line: Vec<String>,
    /// Its flags.
    pub(super) flags: ServerFlags,
    /// Its environment; `None` if we may not see it.
    pub(super) variables: Option<Variables>,
}

/// Why a process that was named is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotThatOne {
    /// There is none of that number.
    #[error("there is no process {0}")]
    Gone(u32),
    /// It is something else.
    #[error("process {0} is no eks-pod-identity-agent server")]
    NoAgent(u32),
    /// Its network is not this one, so what is found here says nothing of it.
    #[error(
        "process {0} has another network than this command: run it there, with nsenter --net=/proc/{0}/ns/net"
    )]
    Elsewhere(u32),
}

impl AgentProcess {
    /// The agent with this id.
    ///
    /// # Errors
    /// When it is none, or not here.
    pub(super) fn with_id(pid: u32) -> Result<Self, NotThatOne> {
        let line = read_line(pid).ok_or(NotThatOne::Gone(pid))?;
        let flags = flags_of(&line).ok_or(NotThatOne::NoAgent(pid))?;
        if !shares_network(pid) {
            return Err(NotThatOne::Elsewhere(pid));
        }
        Ok(Self { pid, line, flags, variables: variables(pid).ok() })
    }

    /// The agents of this network, the oldest first: two during a hand-over.
    pub(super) fn find() -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let mut pids: Vec<u32> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        pids.into_iter().filter_map(|pid| Self::with_id(pid).ok()).collect()
    }
}

/// The program and its arguments. A kernel thread has neither.
fn read_line(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(parts(&bytes).collect())
}

/// The flags of an agent's `server`, AWS's or ours: they take the same ones. Wrappers (AWS's image starts its agent with one)
/// have another program's name.
fn flags_of(line: &[String]) -> Option<ServerFlags> {
    let program = Path::new(line.first()?).file_name()?;
    if program != OsStr::new("eks-pod-identity-agent") {
        return None;
    }
    match command::read(line.iter().cloned()) {
        Ok(Asked::Serve(flags)) => Some(*flags),
        _ => None,
    }
}

fn shares_network(pid: u32) -> bool {
    let network = |whose: &str| std::fs::read_link(format!("/proc/{whose}/ns/net")).ok();
    // Who may not look at it cannot tell, and looks at the flags at least.
    network(&pid.to_string()).is_none_or(|theirs| network("self").is_none_or(|ours| ours == theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn an_agent_is_known_by_its_program_and_command() {
        let flags =
            flags_of(&line("/usr/bin/eks-pod-identity-agent server --port 8080 --rotate-credentials true"));
        assert_eq!(flags.unwrap().port.as_deref(), Some("8080"));
        for other in [
            "/go-runner --log-file=x /eks-pod-identity-agent server --port 80",
            "eks-pod-identity-agent initialize",
            "vi eks-pod-identity-agent",
            "eks-pod-identity-agent server --unknown-flag",
        ] {
            assert!(flags_of(&line(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn a_process_that_is_no_agent_is_not_taken_for_one() {
        let own = std::process::id();
        assert_eq!(AgentProcess::with_id(own).unwrap_err(), NotThatOne::NoAgent(own));
        assert_eq!(AgentProcess::with_id(u32::MAX).unwrap_err(), NotThatOne::Gone(u32::MAX));
    }
}
