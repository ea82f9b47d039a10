//! The embedded database: one file that holds what one machine's control plane must remember.
//!
//! Nothing acknowledged is lost, whenever the process is killed: each change is one transaction, on disk before it is
//! answered. A file of a newer version of this program is refused and left as it is.

mod associations;
mod grant;
mod listing;
mod record;
mod requests;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use identity::AssociationId;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, ReadOnlyDatabase};
use thiserror::Error;
use uuid::Uuid;

pub use associations::{ChangeError, CreateError, MOST_TAGS, TagError};
pub use grant::{Change, Grant, NewAssociation, PolicyWithTags, Tags};
pub use listing::{Filter, Page, Position};
pub use record::Stored;
pub use requests::TokenReused;

/// How many associations EKS allows a cluster (its user guide; one cannot ask for more there).
pub const DEFAULT_LIMIT: u64 = 5_000;

/// Reads are served from memory; 20,000 associations are a few megabytes. redb's own default would be a gigabyte.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The database could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process holds the file.
    #[error("{} is open in another process: stop that process, or use another folder", file.display())]
    InUse {
        /// The database file.
        file: PathBuf,
    },
    /// A newer version of this program wrote the file.
    #[error(
        "{} was written by a newer pod-identity (its schema is version {found}, this program knows versions up to {known}): \
         use that version or another folder; nothing in the file was changed",
        file.display()
    )]
    Newer {
        /// The database file.
        file: PathBuf,
        /// The version found in it.
        found: u64,
        /// The newest version that is understood.
        known: u64,
    },
    /// The file is there and cannot be used.
    #[error("{} cannot be used as the database of associations", file.display())]
    Unusable {
        /// The database file.
        file: PathBuf,
        /// What redb says.
        source: StoreError,
    },
}

/// The database failed at its work: disk full, disk gone, file damaged.
#[derive(Error)]
#[error("the embedded database failed: {0}")]
pub struct StoreError(Box<redb::Error>);

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    cluster_uid: Uuid,
    limit: u64,
    listener: Arc<OnceLock<ChangeListener>>,
}

/// Told of each association that was created, changed or deleted, after that is on disk.
type ChangeListener = Box<dyn Fn(&AssociationId) + Send + Sync>;

impl Store {
    /// Opens the database file, or creates it.
    ///
    /// # Errors
    /// See [`OpenError`]; the file is not changed by any of them.
    pub fn open(file: &Path) -> Result<Self, OpenError> {
        let in_file = |error: SetUpError| error.in_file(file);
        // Opening for writing touches the file, so a newer version is first looked for without. A file that is not
        // there, or that a crash left to be repaired, gives no answer here and is asked again below.
        if let Ok(database) = ReadOnlyDatabase::open(file) {
            schema::refuse_newer(&database).map_err(in_file)?;
        }
        // Checked at every open: redb may panic on a page that something else wrote to, where the check says Corrupted.
        let opened = builder().set_check_integrity_on_open(true).create(file);
        let database = opened.map_err(SetUpError::from).map_err(in_file)?;
        Self::set_up(database).map_err(in_file)
    }

    /// A database in memory, gone with the process.
    ///
    /// # Errors
    /// When memory is short; there is no other reason.
    pub fn in_memory() -> Result<Self, OpenError> {
        let in_file = |error: SetUpError| error.in_file(Path::new("memory"));
        let database = builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(SetUpError::from)
            .map_err(in_file)?;
        Self::set_up(database).map_err(in_file)
    }

    /// The uid of the cluster whose associations these are; it is made with the database and stays.
    pub fn cluster_uid(&self) -> Uuid {
        self.cluster_uid
    }

    /// The same database, taking no more than `limit` associations. Those that are there stay.
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// From now on tells `listener` of each association that is created, changed or deleted, after that is on disk and
    /// before the caller is answered. There is one listener; the first stays.
    pub fn on_change(&self, listener: impl Fn(&AssociationId) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    fn has_changed(&self, id: &AssociationId) {
        if let Some(listener) = self.listener.get() {
            listener(id);
        }
    }

    fn set_up(database: Database) -> Result<Self, SetUpError> {
        let cluster_uid = schema::prepare(&database)?;
        Ok(Self { database: Arc::new(database), cluster_uid, limit: DEFAULT_LIMIT, listener: Arc::default() })
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// An [`OpenError`] that does not know its file yet.
enum SetUpError {
    InUse,
    Newer { found: u64, known: u64 },
    Failed(StoreError),
}

impl SetUpError {
    fn in_file(self, file: &Path) -> OpenError {
        let file = file.to_owned();
        match self {
            Self::InUse => OpenError::InUse { file },
            Self::Newer { found, known } => OpenError::Newer { file, found, known },
            Self::Failed(source) => OpenError::Unusable { file, source },
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

impl From<StoreError> for SetUpError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests;
