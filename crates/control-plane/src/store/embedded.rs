//! The embedded store: one file that holds what one machine's control plane must remember.
//!
//! Nothing acknowledged is lost, whenever the process is killed: each change is one transaction, on disk before it is
//! answered. A file of a newer version of this program is refused and left as it is.
//!
//! What is kept is also in memory, and read there: a lookup takes well under a microsecond, waits for no disk, and answers
//! while the disk is full or gone.

mod failure;
mod file;
mod holder;
mod record;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use identity::AssociationId;
use thiserror::Error;
use uuid::Uuid;

use super::ledger::{Decision, Ledger};
use super::{
    AssociationStore, Change, ChangeError, ChangeListener, CreateError, DEFAULT_LIMIT, Filter, MemoryStore,
    NewAssociation, Page, Position, StoreError, Stored, TagError, Tags,
};
use file::{DatabaseFile, Opened};
pub use holder::{Holder, holder_of};

/// The database could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process holds the file.
    #[error("{} is open in {}: stop that process, or use another folder", file.display(), holder::name(holder.as_ref()))]
    InUse {
        /// The database file.
        file: PathBuf,
        /// The process, if it can be found out.
        holder: Option<Holder>,
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
        /// Why.
        source: StoreError,
    },
}

/// The store in a file. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    memory: Arc<MemoryStore>,
    file: Arc<Mutex<DatabaseFile>>,
    limit: u64,
}

impl EmbeddedStore {
    /// Opens the database file, or creates it.
    ///
    /// # Errors
    /// See [`OpenError`]; the file is not changed by any of them.
    pub fn open(file: &Path) -> Result<Self, OpenError> {
        let file = file.to_owned();
        Self::of(DatabaseFile::open(move || file::open(&file))?)
    }

    /// The same store, taking no more than `limit` associations. Those that are there stay.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    fn of((file, opened): (DatabaseFile, Opened)) -> Result<Self, OpenError> {
        let memory = Arc::new(MemoryStore::of(opened.ledger, opened.cluster_uid));
        Ok(Self { memory, file: Arc::new(Mutex::new(file)), limit: DEFAULT_LIMIT })
    }

    /// Changes wait for the disk, so they run on tokio's blocking threads, and to their end.
    async fn write<E: From<StoreError> + Send + 'static>(
        &self,
        decide: impl FnOnce(&Ledger) -> Result<Option<Decision>, E> + Send + 'static,
    ) -> Result<Option<Stored>, E> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || store.write_now(decide)).await;
        match done {
            Ok(outcome) => outcome,
            // Never cancelled: nobody holds its handle but us. What is left is a bug in `decide`, which is ours to show.
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    fn write_now<E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&Ledger) -> Result<Option<Decision>, E>,
    ) -> Result<Option<Stored>, E> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // After a failure the file alone knows whether the change that failed is in it.
        if let Some((opened, unsettled)) = file.open_again()? {
            self.memory.replace(opened.ledger);
            self.memory.tell(&unsettled);
        }
        self.memory.write(decide, |write| file.keep(write))
    }
}

impl AssociationStore for EmbeddedStore {
    fn cluster_uid(&self) -> Uuid {
        self.memory.cluster_uid()
    }

    fn create(&self, new: NewAssociation, now: SystemTime) -> BoxFuture<'_, Result<Stored, CreateError>> {
        let limit = self.limit;
        Box::pin(async move {
            let created = self.write(move |ledger| ledger.create(new, limit, now).map(Some)).await;
            Ok(created?.expect("a create decides on something"))
        })
    }

    fn change(
        &self,
        id: AssociationId,
        change: Change,
        now: SystemTime,
    ) -> BoxFuture<'_, Result<Option<Stored>, ChangeError>> {
        Box::pin(self.write(move |ledger| ledger.change(&id, change, now)))
    }

    fn tag(&self, id: AssociationId, tags: Tags) -> BoxFuture<'_, Result<Option<Stored>, TagError>> {
        Box::pin(self.write(move |ledger| ledger.tag(&id, tags)))
    }

    fn untag(
        &self,
        id: AssociationId,
        keys: Vec<String>,
    ) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        Box::pin(self.write(move |ledger| Ok(ledger.untag(&id, &keys))))
    }

    fn delete(&self, id: AssociationId) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        Box::pin(self.write(move |ledger| Ok(ledger.delete(&id))))
    }

    fn get<'a>(&'a self, id: &'a AssociationId) -> BoxFuture<'a, Result<Option<Stored>, StoreError>> {
        self.memory.get(id)
    }

    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Stored>, StoreError>> {
        self.memory.find(namespace, service_account)
    }

    fn page<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Position>,
        longest: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.memory.page(filter, after, longest)
    }

    fn on_change(&self, listener: ChangeListener) {
        self.memory.on_change(listener);
    }
}

#[cfg(test)]
mod tests;
