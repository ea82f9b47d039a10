//! Associations in the embedded database.
//!
//! Reads run where they are called: redb answers from memory without waiting for a writer, in microseconds, which is less
//! than handing them to another thread costs. Changes wait for the disk, so they run on tokio's blocking threads.

use std::time::SystemTime;

use eks_auth::{AssociationLookupError, Associations};
use futures_util::future::BoxFuture;
use identity::{Association, AssociationId};
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
use thiserror::Error;

use super::record::{id_of, read, unused_id, write};
use super::requests::Request;
use super::schema::{ASSOCIATIONS, BY_SERVICE_ACCOUNT};
use super::{Change, Grant, NewAssociation, PolicyWithTags, Store, StoreError, Stored, Tags, TokenReused};

/// How many tags one association may have (the EKS API's `TagMap`).
pub const MOST_TAGS: usize = 50;

/// An association was not created.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The service account has one already. AWS names the id in its 409, so it is kept.
    #[error("Association already exists: {0}")]
    Taken(AssociationId),
    /// The cluster has as many as it may have.
    #[error("the cluster has {limit} associations, and that is the limit: delete some that are not needed")]
    Full {
        /// The limit.
        limit: u64,
    },
    /// What it should give cannot be given.
    #[error(transparent)]
    Policy(#[from] PolicyWithTags),
    /// Another request had this name.
    #[error(transparent)]
    TokenReused(#[from] TokenReused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An association was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// What it should give cannot be given.
    #[error(transparent)]
    Policy(#[from] PolicyWithTags),
    /// Another request had this name.
    #[error(transparent)]
    TokenReused(#[from] TokenReused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An association was not tagged.
#[derive(Debug, Error)]
pub enum TagError {
    /// It would have too many tags.
    #[error("the association would have {would_be} tags, and {MOST_TAGS} are the limit: remove some first")]
    TooMany {
        /// How many it would have.
        would_be: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Creates an association under a new id.
    ///
    /// # Errors
    /// See [`CreateError`]; then nothing has changed.
    pub async fn create(&self, new: NewAssociation, now: SystemTime) -> Result<Stored, CreateError> {
        self.blocking(move |store| store.create_now(new, now)).await
    }

    /// Changes what the association of that id gives; `None` when there is no such association.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub async fn change(
        &self,
        id: AssociationId,
        change: Change,
        now: SystemTime,
    ) -> Result<Option<Stored>, ChangeError> {
        self.blocking(move |store| store.change_now(&id, change, now)).await
    }

    /// Adds tags to the association of that id, over those of the same keys; `None` when there is no such association.
    ///
    /// # Errors
    /// See [`TagError`]; then nothing has changed.
    pub async fn tag(&self, id: AssociationId, tags: Tags) -> Result<Option<Stored>, TagError> {
        let add = |mut before: Tags| {
            before.extend(tags);
            match before.len() {
                would_be if would_be > MOST_TAGS => Err(TagError::TooMany { would_be }),
                _ => Ok(before),
            }
        };
        self.blocking(move |store| store.retag_now(&id, add)).await
    }

    /// Takes the tags of these keys from the association of that id; `None` when there is no such association.
    ///
    /// # Errors
    /// When the database fails; then nothing has changed.
    pub async fn untag(&self, id: AssociationId, keys: Vec<String>) -> Result<Option<Stored>, StoreError> {
        let take = move |mut before: Tags| {
            before.retain(|key, _| !keys.contains(key));
            Ok(before)
        };
        self.blocking(move |store| store.retag_now(&id, take)).await
    }

    /// Deletes the association of that id and gives what it was; `None` when there is no such association.
    ///
    /// # Errors
    /// When the database fails; then nothing has changed.
    pub async fn delete(&self, id: AssociationId) -> Result<Option<Stored>, StoreError> {
        self.blocking(move |store| store.delete_now(&id)).await
    }

    /// The association of that id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, id: &AssociationId) -> Result<Option<Stored>, StoreError> {
        read(&self.database.begin_read()?.open_table(ASSOCIATIONS)?, id.as_str())
    }

    /// The association of exactly this namespace and service account.
    ///
    /// # Errors
    /// When the database fails.
    pub fn find(&self, namespace: &str, service_account: &str) -> Result<Option<Stored>, StoreError> {
        let transaction = self.database.begin_read()?;
        let Some(id) = transaction.open_table(BY_SERVICE_ACCOUNT)?.get((namespace, service_account))? else {
            return Ok(None);
        };
        read(&transaction.open_table(ASSOCIATIONS)?, id.value())
    }

    /// All associations, by namespace and then service account.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let transaction = self.database.begin_read()?;
        let records = transaction.open_table(ASSOCIATIONS)?;
        let mut all = Vec::new();
        for entry in transaction.open_table(BY_SERVICE_ACCOUNT)?.iter()? {
            all.extend(read(&records, entry?.1.value())?);
        }
        Ok(all)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        match done {
            Ok(outcome) => outcome,
            // Never cancelled: nobody holds its handle but us. What is left is a bug in `work`, which is ours to show.
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    fn create_now(&self, new: NewAssociation, now: SystemTime) -> Result<Stored, CreateError> {
        let transaction = self.database.begin_write().map_err(StoreError::from)?;
        let request = Request::named(new.request_token.clone(), "create", &new);
        if let Some(request) = &request
            && let Some(first) = request.first_answer(&transaction, now)?
        {
            let first = first?;
            // Deleted since: then the answer would name something that is not there, and there is room for a new one.
            let id = first.association.id.as_str();
            if read(&transaction.open_table(ASSOCIATIONS).map_err(StoreError::from)?, id)?.is_some() {
                return Ok(first);
            }
        }
        let NewAssociation { namespace, service_account, grant, tags, request_token: _ } = new;
        if let Some(taken) = id_of(&transaction, &namespace, &service_account)? {
            return Err(CreateError::Taken(taken));
        }
        let grant = grant.checked()?;
        if count(&transaction)? >= self.limit {
            return Err(CreateError::Full { limit: self.limit });
        }
        let association = grant.to(unused_id(&transaction)?, namespace, service_account);
        let stored = Stored { association, tags, created_at: now, modified_at: now };
        write(&transaction, &stored)?;
        if let Some(request) = request {
            request.remember(&transaction, &stored, now)?;
        }
        transaction.commit().map_err(StoreError::from)?;
        self.has_changed(&stored.association.id);
        Ok(stored)
    }

    fn change_now(
        &self,
        id: &AssociationId,
        change: Change,
        now: SystemTime,
    ) -> Result<Option<Stored>, ChangeError> {
        let transaction = self.database.begin_write().map_err(StoreError::from)?;
        let found = read(&transaction.open_table(ASSOCIATIONS).map_err(StoreError::from)?, id.as_str())?;
        let Some(before) = found else { return Ok(None) };
        let request = Request::named(change.request_token.clone(), "update", &(id, &change));
        if let Some(request) = &request
            && let Some(first) = request.first_answer(&transaction, now)?
        {
            return Ok(Some(first?));
        }
        let grant = change.of(Grant::of(&before.association)).checked()?;
        let Association { id, namespace, service_account, .. } = before.association;
        let association = grant.to(id, namespace, service_account);
        let stored = Stored { association, modified_at: now, ..before };
        write(&transaction, &stored)?;
        if let Some(request) = request {
            request.remember(&transaction, &stored, now)?;
        }
        transaction.commit().map_err(StoreError::from)?;
        self.has_changed(&stored.association.id);
        Ok(Some(stored))
    }

    fn retag_now<E: From<StoreError>>(
        &self,
        id: &AssociationId,
        retag: impl FnOnce(Tags) -> Result<Tags, E>,
    ) -> Result<Option<Stored>, E> {
        let transaction = self.database.begin_write().map_err(StoreError::from)?;
        let found = read(&transaction.open_table(ASSOCIATIONS).map_err(StoreError::from)?, id.as_str())?;
        let Some(mut stored) = found else { return Ok(None) };
        stored.tags = retag(stored.tags)?;
        write(&transaction, &stored)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(Some(stored))
    }

    fn delete_now(&self, id: &AssociationId) -> Result<Option<Stored>, StoreError> {
        let transaction = self.database.begin_write()?;
        let Some(stored) = read(&transaction.open_table(ASSOCIATIONS)?, id.as_str())? else {
            return Ok(None);
        };
        let Association { namespace, service_account, .. } = &stored.association;
        transaction.open_table(ASSOCIATIONS)?.remove(id.as_str())?;
        transaction.open_table(BY_SERVICE_ACCOUNT)?.remove((namespace.as_str(), service_account.as_str()))?;
        transaction.commit()?;
        self.has_changed(id);
        Ok(Some(stored))
    }
}

fn count(transaction: &redb::WriteTransaction) -> Result<u64, StoreError> {
    Ok(transaction.open_table(ASSOCIATIONS)?.len()?)
}

impl Associations for Store {
    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Association>, AssociationLookupError>> {
        let found = Self::find(self, namespace, service_account);
        let answer = match found {
            Ok(stored) => Ok(stored.map(|stored| stored.association)),
            Err(error) => Err(AssociationLookupError(error.into())),
        };
        Box::pin(std::future::ready(answer))
    }
}
