//! What the kernel says of a process: CPU time and resident memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Memory {
    /// All of it (`VmRSS`): also pages of the binary, which other processes may share.
    pub(crate) resident: u64,
    /// The part no file backs (`RssAnon`): heap and stacks.
    pub(crate) anonymous: u64,
}

/// User and system time of a process, all its threads, in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let [user, system, ..] = parse_stat(&stat).context("/proc/PID/stat has an unknown form")?;
    Ok(user + system)
}

/// CPU time of the threads that a process has now. Finer than ticks, and blind to threads that have ended.
pub(crate) fn threads_cpu(pid: u32) -> Result<Duration> {
    let threads =
        fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    let mut nanoseconds = 0;
    for thread in threads {
        // A thread may end between the two steps.
        let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += parse_schedstat(&stat).context("/proc/PID/task/TID/schedstat has an unknown form")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The same as [`cpu_ticks`] with that of its children that have ended; `None` if it has ended itself.
pub(crate) fn cpu_ticks_with_reaped(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat).map(|times| times.iter().sum())
}

/// Time in which any core was busy, whoever made it so, in clock ticks.
pub(crate) fn machine_ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    parse_machine_stat(&stat).context("/proc/stat has an unknown form")
}

/// Resident memory of a process.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    parse_status(&status).context("/proc/PID/status has an unknown form")
}

/// Connections that whoever listens at that port, on IPv4, has not closed yet.
pub(crate) fn connections_at(port: u16) -> Result<usize> {
    let sockets = fs::read_to_string("/proc/net/tcp").context("/proc/net/tcp cannot be read")?;
    Ok(sockets.lines().skip(1).filter(|line| is_connection_at(port, line)).count())
}

/// A process's children, of all its threads.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    listed
        .flat_map(|listed| {
            listed.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// A process with its children, their children and so on.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut seen = 0;
    while let Some(parent) = family.get(seen) {
        family.extend(children(*parent));
        seen += 1;
    }
    family
}

/// User and system time, then those of its children that have ended. The command's name stands in parentheses and may itself
/// hold spaces and parentheses, so counting starts at the last one.
fn parse_stat(stat: &str) -> Option<[u64; 4]> {
    let after_name = stat.get(stat.rfind(')')? + 1..)?;
    let times: Vec<u64> =
        after_name.split_whitespace().skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    times.try_into().ok()
}

/// The sum of `user nice system … irq softirq`; `idle` and `iowait` stand in the middle, `steal` and what follows is not ours.
fn parse_machine_stat(stat: &str) -> Option<u64> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = all.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = times.as_slice() else { return None };
    Some(user + nice + system + irq + softirq)
}

/// `sl local remote st … inode`, addresses as `0100007F:46A0`. A listener is in state 0A, and what nobody holds has no inode.
fn is_connection_at(port: u16, line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return false };
    local.ends_with(&format!(":{port:04X}")) && *state != "0A" && *inode != "0"
}

/// The first field: nanoseconds on a core.
fn parse_schedstat(stat: &str) -> Option<u64> {
    stat.split_whitespace().next()?.parse().ok()
}

fn parse_status(status: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { resident: kib("VmRSS")?, anonymous: kib("RssAnon")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_whatever_the_name_of_the_command() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 731 269 5 6 20 0 3 0 1234 99 500 1844";
        assert_eq!(parse_stat(stat), Some([731, 269, 5, 6]));
        assert_eq!(parse_stat("42 (cut short) S 1"), None);
    }

    #[test]
    fn the_time_of_threads_is_the_first_field_in_nanoseconds() {
        assert_eq!(parse_schedstat("332015453 65052989 41\n"), Some(332_015_453));
        assert_eq!(parse_schedstat(""), None);
        assert!(threads_cpu(std::process::id()).unwrap() > Duration::ZERO);
    }

    #[test]
    fn the_machine_is_busy_when_it_is_neither_idle_nor_waiting() {
        assert_eq!(parse_machine_stat("cpu  100 20 30 9999 888 4 5 77 0 0\ncpu0 1 1 1 1\n"), Some(159));
        assert_eq!(parse_machine_stat("cpu  100 20\n"), None);
    }

    #[test]
    fn connections_are_those_of_the_port_that_somebody_holds() {
        let line = |local: &str, state: &str, inode: u32| {
            format!(
                "   0: {local} 0100007F:C350 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0"
            )
        };
        assert!(is_connection_at(18080, &line("0100007F:46A0", "01", 7)));
        assert!(!is_connection_at(18080, &line("0100007F:46A1", "01", 7)));
        assert!(!is_connection_at(18080, &line("0100007F:46A0", "0A", 7)));
        assert!(!is_connection_at(18080, &line("0100007F:46A0", "06", 0)));
        assert!(!is_connection_at(18080, "cut short"));
    }

    #[test]
    fn a_process_is_its_own_first_descendant() {
        assert_eq!(descendants(std::process::id()).first(), Some(&std::process::id()));
    }

    #[test]
    fn memory_is_read_by_name() {
        let status =
            "Name:\tx\nVmPeak:\t  9 kB\nVmRSS:\t    5120 kB\nRssAnon:\t    1024 kB\nRssFile:\t 4096 kB\n";
        assert_eq!(parse_status(status), Some(Memory { resident: 5120, anonymous: 1024 }));
        assert_eq!(parse_status("Name:\tx\nVmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(memory(std::process::id()).unwrap().resident > 0);
    }
}
