//! Files that only their owner may read: private keys and secret access keys.
//!
//! They appear whole or not at all, and one that others can read is refused instead of quietly used: whoever could read
//! it may have taken the key.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use identity::Secret;
use thiserror::Error;

/// A private file could not be had.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// Others than the owner can read or write it.
    #[error(
        "{} is open to others (mode {mode:04o}) and holds a secret: delete it to have a new one made, \
         or if nobody else used this machine run: chmod 600 {}",
        file.display(), file.display()
    )]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refused.
    #[error("{} cannot be {verb}", file.display())]
    Io {
        /// What was tried: `read` or `written`.
        verb: &'static str,
        /// The file.
        file: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What the file holds; `None` when there is no such file.
///
/// # Errors
/// When it is open to others or cannot be read.
pub fn read(file: &Path) -> Result<Option<Secret>, PrivateFileError> {
    let failed = |source| PrivateFileError::Io { verb: "read", file: file.to_owned(), source };
    let mut opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Asked of the open file, not of the path: the file that is judged is the file that is read.
    let mode = opened.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Exposed { file: file.to_owned(), mode });
    }
    let mut content = String::new();
    opened.read_to_string(&mut content).map_err(failed)?;
    Ok(Some(Secret::from(content)))
}

/// Writes a file that is not there yet, and has it on disk before it returns.
///
/// # Errors
/// When the file exists or cannot be written; then nothing of it is there.
pub fn create(file: &Path, content: &Secret) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Io { verb: "written", file: file.to_owned(), source };
    let folder = file.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    // A temporary file is born with mode 0600, so there is no moment in which others could open it.
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    beside.write_all(content.expose()).map_err(failed)?;
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist_noclobber(file).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_created_file_is_its_owners_alone_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert_eq!(read(&file).unwrap(), None);
        create(&file, &Secret::from("hunter2")).unwrap();
        assert_eq!(read(&file).unwrap(), Some(Secret::from("hunter2")));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file stayed");
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        create(&file, &Secret::from("first")).unwrap();
        let error = create(&file, &Secret::from("second")).unwrap_err();
        assert!(error.to_string().contains("cannot be written"), "{error}");
        assert_eq!(read(&file).unwrap(), Some(Secret::from("first")));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        create(&file, &Secret::from("hunter2")).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644] {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")) && error.contains("chmod 600"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
