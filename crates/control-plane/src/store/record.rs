//! An association as it lies on disk.

use std::fmt::Display;
use std::time::SystemTime;

use identity::{Association, AssociationId, from_epoch_seconds, to_epoch_seconds};
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::schema::{ASSOCIATIONS, BY_SERVICE_ACCOUNT};
use super::{StoreError, Tags};

/// An association as the database holds it.
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

/// A record on disk. Members are only ever added, each with a default, within one schema version.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    association: Association,
    #[serde(default)]
    tags: Tags,
    created_at: f64,
    modified_at: f64,
}

impl From<&Stored> for Record {
    fn from(stored: &Stored) -> Self {
        let Stored { association, tags, created_at, modified_at } = stored.clone();
        let (created_at, modified_at) = (to_epoch_seconds(created_at), to_epoch_seconds(modified_at));
        Self { association, tags, created_at, modified_at }
    }
}

impl Record {
    pub(super) fn stored(self) -> Result<Stored, StoreError> {
        let Self { association, tags, created_at, modified_at } = self;
        let id = &association.id;
        let instant = |seconds| {
            from_epoch_seconds(seconds)
                .ok_or_else(|| damaged(&format!("association {id}"), &"its times are no times"))
        };
        let (created_at, modified_at) = (instant(created_at)?, instant(modified_at)?);
        Ok(Stored { association, tags, created_at, modified_at })
    }
}

pub(super) fn read(
    records: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &str,
) -> Result<Option<Stored>, StoreError> {
    let Some(json) = records.get(id)? else { return Ok(None) };
    let record: Record = serde_json::from_slice(json.value())
        .map_err(|error| damaged(&format!("association {id}"), &error))?;
    record.stored().map(Some)
}

pub(super) fn write(transaction: &WriteTransaction, stored: &Stored) -> Result<(), StoreError> {
    let json =
        serde_json::to_vec(&Record::from(stored)).expect("a record has only members that JSON can hold");
    let association = &stored.association;
    let id = association.id.as_str();
    transaction.open_table(ASSOCIATIONS)?.insert(id, json.as_slice())?;
    let key = (association.namespace.as_str(), association.service_account.as_str());
    transaction.open_table(BY_SERVICE_ACCOUNT)?.insert(key, id)?;
    Ok(())
}

pub(super) fn id_of(
    transaction: &WriteTransaction,
    namespace: &str,
    service_account: &str,
) -> Result<Option<AssociationId>, StoreError> {
    let ids = transaction.open_table(BY_SERVICE_ACCOUNT)?;
    let Some(id) = ids.get((namespace, service_account))? else { return Ok(None) };
    let text = id.value();
    let id = text.parse().map_err(|error| damaged(&format!("\"{text}\""), &error))?;
    Ok(Some(id))
}

/// An id nobody has. 36^17 are enough that the second try is for proofs, not for practice.
pub(super) fn unused_id(transaction: &WriteTransaction) -> Result<AssociationId, StoreError> {
    let records = transaction.open_table(ASSOCIATIONS)?;
    loop {
        let id = random_id();
        if records.get(id.as_str())?.is_none() {
            return Ok(id);
        }
    }
}

pub(super) fn damaged(place: &str, what: &dyn Display) -> StoreError {
    redb::Error::Corrupted(format!("{place}: {what}")).into()
}

fn random_id() -> AssociationId {
    // 252 is the largest multiple of 36 in a byte: bytes above it would favour the first four letters.
    const FAIR: u8 = 252;
    let mut fair = rand::random_iter::<u8>().filter(|byte| *byte < FAIR);
    AssociationId::from_choices(std::array::from_fn(|_| fair.next().expect("random bytes do not end")))
}
