//! Associations in memory, gone with the process.

use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use identity::AssociationId;
use uuid::Uuid;

use super::ledger::{Decision, Ledger, Step, Write};
use super::{
    AssociationStore, Change, ChangeError, ChangeListener, CreateError, DEFAULT_LIMIT, Filter,
    NewAssociation, Page, Position, StoreError, Stored, TagError, Tags,
};

/// A store that forgets.
pub struct MemoryStore {
    ledger: RwLock<Ledger>,
    /// Who holds it is the only one that changes anything. Not the ledger's own lock: nobody who reads waits for a disk.
    turn: Mutex<()>,
    cluster_uid: Uuid,
    limit: u64,
    listener: OnceLock<ChangeListener>,
}

impl MemoryStore {
    /// A store of a new cluster, that takes as many associations as EKS would.
    pub fn new() -> Self {
        Self::of(Ledger::default(), Uuid::new_v4())
    }

    /// The same store, taking no more than `limit` associations. Those that are there stay.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    pub(super) fn of(ledger: Ledger, cluster_uid: Uuid) -> Self {
        let (ledger, listener) = (RwLock::new(ledger), OnceLock::new());
        Self { ledger, turn: Mutex::default(), cluster_uid, limit: DEFAULT_LIMIT, listener }
    }

    /// Decides, keeps, shows and tells, while nobody else does. Gives the association that it is about.
    pub(super) fn write<E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&Ledger) -> Result<Option<Decision>, E>,
        keep: impl FnOnce(&Write) -> Result<(), StoreError>,
    ) -> Result<Option<Stored>, E> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let decision = decide(&self.ledger())?;
        let write = match decision {
            None => return Ok(None),
            Some(Decision::Repeated(first)) => return Ok(Some(Stored::clone(&first))),
            Some(Decision::Write(write)) => write,
        };
        keep(&write)?;
        let (step, stored) = (write.step, Stored::clone(&write.stored));
        self.ledger.write().unwrap_or_else(PoisonError::into_inner).apply(write);
        if step != Step::Retag {
            self.tell(&stored.association.id);
        }
        Ok(Some(stored))
    }

    /// Shows another ledger: what was found where it is kept.
    pub(super) fn replace(&self, ledger: Ledger) {
        *self.ledger.write().unwrap_or_else(PoisonError::into_inner) = ledger;
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, id: &AssociationId) {
        if let Some(listener) = self.listener.get() {
            listener(id);
        }
    }

    /// How many requests are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.ledger().remembered()
    }

    fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory keeps by itself.
fn kept(_: &Write) -> Result<(), StoreError> {
    Ok(())
}

impl AssociationStore for MemoryStore {
    fn cluster_uid(&self) -> Uuid {
        self.cluster_uid
    }

    fn create(&self, new: NewAssociation, now: SystemTime) -> BoxFuture<'_, Result<Stored, CreateError>> {
        Box::pin(async move {
            let created = self.write(|ledger| ledger.create(new, self.limit, now).map(Some), kept);
            Ok(created?.expect("a create decides on something"))
        })
    }

    fn change(
        &self,
        id: AssociationId,
        change: Change,
        now: SystemTime,
    ) -> BoxFuture<'_, Result<Option<Stored>, ChangeError>> {
        Box::pin(async move { self.write(|ledger| ledger.change(&id, change, now), kept) })
    }

    fn tag(&self, id: AssociationId, tags: Tags) -> BoxFuture<'_, Result<Option<Stored>, TagError>> {
        Box::pin(async move { self.write(|ledger| ledger.tag(&id, tags), kept) })
    }

    fn untag(
        &self,
        id: AssociationId,
        keys: Vec<String>,
    ) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        Box::pin(async move { self.write(|ledger| Ok(ledger.untag(&id, &keys)), kept) })
    }

    fn delete(&self, id: AssociationId) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        Box::pin(async move { self.write(|ledger| Ok(ledger.delete(&id)), kept) })
    }

    fn get<'a>(&'a self, id: &'a AssociationId) -> BoxFuture<'a, Result<Option<Stored>, StoreError>> {
        Box::pin(async move { Ok(self.ledger().get(id).cloned()) })
    }

    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Stored>, StoreError>> {
        Box::pin(async move { Ok(self.ledger().find(namespace, service_account).cloned()) })
    }

    fn page<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Position>,
        longest: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move { Ok(self.ledger().page(filter, after, longest)) })
    }

    fn on_change(&self, listener: ChangeListener) {
        let _ = self.listener.set(listener);
    }
}
