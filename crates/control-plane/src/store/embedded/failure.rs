//! What goes wrong in the file, in redb's words, and what that means to those who use the store.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;

use redb::DatabaseError;

use super::super::StoreError;
use super::{OpenError, holder_of};

/// The database failed at its work: disk full, disk gone, file damaged.
pub(super) struct FileError(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for FileError {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl From<FileError> for StoreError {
    fn from(FileError(error): FileError) -> Self {
        match &*error {
            redb::Error::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                Self::NoRoom(error)
            }
            redb::Error::Corrupted(_) => Self::Damaged(error),
            _ => Self::Unavailable(error),
        }
    }
}

/// A place in the file holds what no version of this program writes.
pub(super) fn damaged(place: &str, what: &dyn Display) -> FileError {
    redb::Error::Corrupted(format!("{place}: {what}")).into()
}

/// An [`OpenError`] that does not know its file yet.
pub(super) enum SetUpError {
    InUse,
    Newer { found: u64, known: u64 },
    Failed(FileError),
}

impl SetUpError {
    pub(super) fn in_file(self, file: &Path) -> OpenError {
        let holder = || holder_of(file);
        match self {
            Self::InUse => OpenError::InUse { file: file.to_owned(), holder: holder() },
            Self::Newer { found, known } => OpenError::Newer { file: file.to_owned(), found, known },
            Self::Failed(source) => OpenError::Unusable { file: file.to_owned(), source: source.into() },
        }
    }
}

impl From<DatabaseError> for SetUpError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            other => Self::Failed(other.into()),
        }
    }
}

impl From<FileError> for SetUpError {
    fn from(error: FileError) -> Self {
        Self::Failed(error)
    }
}
