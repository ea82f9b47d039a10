//! What `/proc` tells of another process of this machine: its variables and its files, as it sees them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use runtime::Environment;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

/// The largest file of another process that is read. CA bundles are a few hundred kilobytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// An environment by name, as a process has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(pub(crate) HashMap<String, String>);

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }
}

/// The environment that a process was started with.
///
/// # Errors
/// When we may not see it.
pub(crate) fn variables(pid: u32) -> io::Result<Variables> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ"))?;
    let pairs = parts(&bytes).filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    Ok(Variables(pairs.collect()))
}

/// Who a process is to the file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    /// Its user.
    pub(crate) uid: u32,
    groups: Vec<u32>,
    /// Whether it reads what it likes (`CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`).
    reads_all: bool,
}

/// Who a process is; `None` if it is gone.
pub(crate) fn user(pid: u32) -> Option<User> {
    user_of(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn user_of(status: &str) -> Option<User> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    // The last of four ids is the one that files are opened with.
    let id = |name| line(name)?.split_whitespace().nth(3)?.parse().ok();
    let supplementary = line("Groups")?.split_whitespace().filter_map(|group| group.parse().ok());
    let capabilities = u64::from_str_radix(line("CapEff")?.trim(), 16).ok()?;
    let (dac_override, dac_read_search) = (1 << 1, 1 << 2);
    Some(User {
        uid: id("Uid")?,
        groups: [id("Gid")?].into_iter().chain(supplementary).collect(),
        reads_all: capabilities & (dac_override | dac_read_search) != 0,
    })
}

impl User {
    /// Whether the mode of a file lets it read. Of a list of finer rights (ACL) it knows nothing.
    pub(crate) fn may_read(&self, owner: u32, group: u32, mode: u32) -> bool {
        let bit = if self.uid == owner {
            0o400
        } else if self.groups.contains(&group) {
            0o040
        } else {
            0o004
        };
        self.reads_all || mode & bit != 0
    }
}

/// A file's owner, group and mode, as a process sees it.
///
/// # Errors
/// When there is none.
pub(crate) fn owner_below_root(pid: u32, path: &Path) -> io::Result<(u32, u32, u32)> {
    let metadata = open_below_root(pid, path)?.metadata()?;
    Ok((metadata.uid(), metadata.gid(), metadata.mode()))
}

/// Reads a file as a process sees it. No link, absolute or not, leads out of its root.
///
/// # Errors
/// When there is none, we may not read it, or it is larger than anything we look for.
pub(crate) fn read_below_root(pid: u32, path: &Path) -> io::Result<Vec<u8>> {
    let file = open_below_root(pid, path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("it has more than 4 MiB"));
    }
    Ok(content)
}

fn open_below_root(pid: u32, path: &Path) -> io::Result<File> {
    let absolute = if path.is_absolute() {
        path.to_owned()
    } else {
        std::fs::read_link(format!("/proc/{pid}/cwd"))?.join(path)
    };
    let root = openat(
        CWD,
        PathBuf::from(format!("/proc/{pid}/root")),
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // A named pipe would keep us waiting for who writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(&root, &absolute, flags, Mode::empty(), resolve)?))
}

/// The strings of a list that each end with a zero byte.
pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    text.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_a_file_is_told_by_its_mode() {
        let status = |uid: u32, capabilities: &str| {
            format!(
                "Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t7\t7\t7\t8\nGroups:\t9 10 \nCapEff:\t{capabilities}\n"
            )
        };
        let user = |uid, capabilities| user_of(&status(uid, capabilities)).unwrap();
        let nobody = user(65_534, "0000000000000000");
        for (owner, group, mode, wanted) in [
            (0, 0, 0o600, false),
            (0, 0, 0o644, true),
            (0, 8, 0o640, true),
            (0, 10, 0o640, true),
            (0, 7, 0o640, false),
            (65_534, 0, 0o400, true),
            (65_534, 0, 0o044, false),
        ] {
            assert_eq!(nobody.may_read(owner, group, mode), wanted, "{owner} {group} {mode:o}");
        }
        assert!(user(0, "0000000000000002").may_read(5, 5, 0o600));
        assert!(!user(0, "0000000000000001").may_read(5, 5, 0o600));
        assert_eq!(user_of("Name:\tx\n"), None);
    }

    #[test]
    fn files_are_read_by_their_owner_s_names_and_special_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "abc").unwrap();
        let own = std::process::id();
        assert_eq!(read_below_root(own, &path).unwrap(), b"abc");
        assert!(read_below_root(own, folder.path()).unwrap_err().to_string().contains("no file"));
        assert!(read_below_root(own, Path::new("/dev/zero")).is_err());
        assert!(read_below_root(own, Path::new("/proc/self/exe/x")).is_err());
    }
}
