//! What `/proc` tells of another process of this machine: its variables and its files, as it sees them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
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

/// Reads a file as a process sees it. No link, absolute or not, leads out of its root.
///
/// # Errors
/// When there is none, we may not read it, or it is larger than anything we look for.
pub(crate) fn read_below_root(pid: u32, path: &Path) -> io::Result<Vec<u8>> {
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
    let file = File::from(openat2(
        &root,
        &absolute,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?);
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

/// The strings of a list that each end with a zero byte.
pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    text.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
