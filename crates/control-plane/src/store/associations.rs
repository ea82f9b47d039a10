//! Associations in the embedded database.
//!
//! Reads run where they are called: redb answers from memory without waiting for a writer, in microseconds, which is less
//! than handing them to another thread costs. Changes wait for the disk, so they run on tokio's blocking threads.

use std::time::SystemTime;

use eks_auth::{AssociationLookupError, Associations};
use futures_util::future::BoxFuture;
use identity::{Association, AssociationId, RoleArn, from_epoch_seconds, to_epoch_seconds};
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::schema::{ASSOCIATIONS, BY_SERVICE_ACCOUNT};
use super::{Store, StoreError};

/// What an association gives to its service account: the part of it that may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role_arn: RoleArn,
    /// The role behind it, if any.
    pub target_role_arn: Option<RoleArn>,
    /// Whether the session tags are left out.
    pub disable_session_tags: bool,
}

/// An association that is to be created.
#[derive(Clone, Debug)]
pub struct NewAssociation {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// What its pods get.
    pub grant: Grant,
}

/// An association as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The association.
    pub association: Association,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it was last changed.
    pub modified_at: SystemTime,
}

/// An association was not created.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The service account has one already. AWS names the id in its 409, so it is kept.
    #[error("Association already exists: {0}")]
    Taken(AssociationId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Creates an association under a new id.
    ///
    /// # Errors
    /// When the service account has one, or the database fails; then nothing has changed.
    pub async fn create(&self, new: NewAssociation, now: SystemTime) -> Result<Stored, CreateError> {
        self.blocking(move |store| store.create_now(new, now)).await
    }

    /// Gives the association of that id another grant; `None` when there is no such association.
    ///
    /// # Errors
    /// When the database fails; then nothing has changed.
    pub async fn change(
        &self,
        id: AssociationId,
        grant: Grant,
        now: SystemTime,
    ) -> Result<Option<Stored>, StoreError> {
        self.blocking(move |store| store.change_now(&id, grant, now)).await
    }

    /// Deletes the association of that id and gives what it was; `None` when there is no such association.
    ///
    /// # Errors
    /// When the database fails; then nothing has changed.
    pub async fn delete(&self, id: AssociationId) -> Result<Option<Stored>, StoreError> {
        self.blocking(move |store| store.delete_now(&id)).await
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
        let NewAssociation { namespace, service_account, grant } = new;
        if let Some(taken) = id_of(&transaction, &namespace, &service_account)? {
            return Err(CreateError::Taken(taken));
        }
        let Grant { role_arn, target_role_arn, disable_session_tags } = grant;
        let id = unused_id(&transaction)?;
        let association =
            Association { id, namespace, service_account, role_arn, target_role_arn, disable_session_tags };
        let stored = Stored { association, created_at: now, modified_at: now };
        write(&transaction, &stored)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(stored)
    }

    fn change_now(
        &self,
        id: &AssociationId,
        grant: Grant,
        now: SystemTime,
    ) -> Result<Option<Stored>, StoreError> {
        let transaction = self.database.begin_write()?;
        let Some(mut stored) = read(&transaction.open_table(ASSOCIATIONS)?, id.as_str())? else {
            return Ok(None);
        };
        let Grant { role_arn, target_role_arn, disable_session_tags } = grant;
        stored.association =
            Association { role_arn, target_role_arn, disable_session_tags, ..stored.association };
        stored.modified_at = now;
        write(&transaction, &stored)?;
        transaction.commit()?;
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
        Ok(Some(stored))
    }
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

/// A record on disk. Members are only ever added, each with a default, within one schema version.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    association: Association,
    created_at: f64,
    modified_at: f64,
}

fn read(
    records: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &str,
) -> Result<Option<Stored>, StoreError> {
    let Some(json) = records.get(id)? else { return Ok(None) };
    let damaged = |what: &dyn std::fmt::Display| {
        StoreError::from(redb::Error::Corrupted(format!("association {id}: {what}")))
    };
    let record: Record = serde_json::from_slice(json.value()).map_err(|error| damaged(&error))?;
    let instant = |seconds| from_epoch_seconds(seconds).ok_or_else(|| damaged(&"its times are no times"));
    let (created_at, modified_at) = (instant(record.created_at)?, instant(record.modified_at)?);
    Ok(Some(Stored { association: record.association, created_at, modified_at }))
}

fn write(transaction: &WriteTransaction, stored: &Stored) -> Result<(), StoreError> {
    let Stored { association, created_at, modified_at } = stored;
    let record = Record {
        association: association.clone(),
        created_at: to_epoch_seconds(*created_at),
        modified_at: to_epoch_seconds(*modified_at),
    };
    let json = serde_json::to_vec(&record).expect("a record has only members that JSON can hold");
    let id = association.id.as_str();
    transaction.open_table(ASSOCIATIONS)?.insert(id, json.as_slice())?;
    let key = (association.namespace.as_str(), association.service_account.as_str());
    transaction.open_table(BY_SERVICE_ACCOUNT)?.insert(key, id)?;
    Ok(())
}

fn id_of(
    transaction: &WriteTransaction,
    namespace: &str,
    service_account: &str,
) -> Result<Option<AssociationId>, StoreError> {
    let ids = transaction.open_table(BY_SERVICE_ACCOUNT)?;
    let Some(id) = ids.get((namespace, service_account))? else { return Ok(None) };
    let text = id.value();
    let id = text.parse().map_err(|_| redb::Error::Corrupted(format!("\"{text}\" is no association id")))?;
    Ok(Some(id))
}

/// An id nobody has. 36^17 are enough that the second try is for proofs, not for practice.
fn unused_id(transaction: &WriteTransaction) -> Result<AssociationId, StoreError> {
    let records = transaction.open_table(ASSOCIATIONS)?;
    loop {
        let id = random_id();
        if records.get(id.as_str())?.is_none() {
            return Ok(id);
        }
    }
}

fn random_id() -> AssociationId {
    // 252 is the largest multiple of 36 in a byte: bytes above it would favour the first four letters.
    const FAIR: u8 = 252;
    let mut fair = rand::random_iter::<u8>().filter(|byte| *byte < FAIR);
    AssociationId::from_choices(std::array::from_fn(|_| fair.next().expect("random bytes do not end")))
}
