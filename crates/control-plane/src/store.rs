//! Where the associations of one cluster are kept: a trait, and the two stores of one machine.
//!
//! Whatever a store acknowledges is kept as durably as that store keeps anything; a call that fails has changed nothing, or
//! says that it cannot know. All of them pass the same tests, `contract`.

mod embedded;
mod errors;
mod grant;
mod ledger;
mod listing;
mod memory;
mod requests;

use std::sync::Arc;
use std::time::SystemTime;

use eks_auth::{AssociationLookupError, Associations};
use futures_util::future::BoxFuture;
use identity::{Association, AssociationId};
use uuid::Uuid;

pub use embedded::{EmbeddedStore, Holder, OpenError, holder_of};
pub use errors::{ChangeError, CreateError, Source, StoreError, TagError};
pub use grant::{Change, Grant, MOST_TAGS, NewAssociation, PolicyWithTags, Tags};
pub use listing::{Filter, Page, Position};
pub use memory::MemoryStore;
pub use requests::TokenReused;

/// How many associations EKS allows a cluster (its user guide; one cannot ask for more there).
pub const DEFAULT_LIMIT: u64 = 5_000;

/// An association as a store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The association.
    pub association: Association,
    /// Its tags.
    pub tags: Tags,
    /// When it was created.
    pub created_at: SystemTime,
    /// When what it gives was last changed.
    pub modified_at: SystemTime,
}

/// The associations of one cluster.
///
/// A namespace and service account have one association at most, whoever asks at the same time. Whoever got an answer finds
/// what it says with the next call, and so does everybody who asks this store after that. A change that is begun is
/// finished, also when its caller has gone.
pub trait AssociationStore: Send + Sync {
    /// The uid of the cluster whose associations these are. It stays as long as they do.
    fn cluster_uid(&self) -> Uuid;

    /// Creates an association under a new id.
    ///
    /// # Errors
    /// See [`CreateError`].
    fn create(&self, new: NewAssociation, now: SystemTime) -> BoxFuture<'_, Result<Stored, CreateError>>;

    /// Changes what the association of that id gives; `None` when there is no such association.
    ///
    /// # Errors
    /// See [`ChangeError`].
    fn change(
        &self,
        id: AssociationId,
        change: Change,
        now: SystemTime,
    ) -> BoxFuture<'_, Result<Option<Stored>, ChangeError>>;

    /// Adds tags to the association of that id, over those of the same keys; `None` when there is no such association.
    ///
    /// # Errors
    /// See [`TagError`].
    fn tag(&self, id: AssociationId, tags: Tags) -> BoxFuture<'_, Result<Option<Stored>, TagError>>;

    /// Takes the tags of these keys from the association of that id; `None` when there is no such association.
    ///
    /// # Errors
    /// When the store fails.
    fn untag(
        &self,
        id: AssociationId,
        keys: Vec<String>,
    ) -> BoxFuture<'_, Result<Option<Stored>, StoreError>>;

    /// Deletes the association of that id and gives what it was; `None` when there is no such association.
    ///
    /// # Errors
    /// When the store fails.
    fn delete(&self, id: AssociationId) -> BoxFuture<'_, Result<Option<Stored>, StoreError>>;

    /// The association of that id.
    ///
    /// # Errors
    /// When the store fails.
    fn get<'a>(&'a self, id: &'a AssociationId) -> BoxFuture<'a, Result<Option<Stored>, StoreError>>;

    /// The association of exactly this namespace and service account.
    ///
    /// # Errors
    /// When the store fails.
    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Stored>, StoreError>>;

    /// At most `longest` of the associations that the filter lets through, from after a position.
    ///
    /// # Errors
    /// When the store fails.
    fn page<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Position>,
        longest: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// From now on tells `listener` of each association that is created, changed or deleted: after that is kept and, where it
    /// happened through this store, before its caller is answered. There is one listener; the first stays. It must not wait
    /// for a change of the same store.
    fn on_change(&self, listener: ChangeListener);
}

/// Told of an association that was created, changed or deleted. May be told more often than that, never less.
pub type ChangeListener = Box<dyn Fn(&AssociationId) + Send + Sync>;

/// All associations of a store, by namespace and then service account.
///
/// # Errors
/// When the store fails.
pub async fn everything(store: &dyn AssociationStore) -> Result<Vec<Stored>, StoreError> {
    Ok(store.page(&Filter::default(), None, usize::MAX).await?.associations)
}

/// A store as the place where EKS Auth looks associations up.
pub struct Lookup(pub Arc<dyn AssociationStore>);

impl Associations for Lookup {
    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Association>, AssociationLookupError>> {
        Box::pin(async move {
            match self.0.find(namespace, service_account).await {
                Ok(found) => Ok(found.map(|stored| stored.association)),
                Err(error) => Err(AssociationLookupError(error.into())),
            }
        })
    }
}

#[cfg(test)]
mod contract;
