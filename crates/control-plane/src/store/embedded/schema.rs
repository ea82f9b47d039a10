//! The tables and the version they are of.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use uuid::Uuid;

use super::failure::{FileError, SetUpError};

/// Bumped whenever a record's meaning changes, so that an older program keeps its hands off.
pub(super) const VERSION: u64 = 1;

/// Facts about the database itself.
pub(super) const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// Association id → its record as JSON.
pub(super) const ASSOCIATIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("associations");

/// (namespace, service account) → association id: the lookup of every exchange, and what makes the pair unique.
pub(super) const BY_SERVICE_ACCOUNT: TableDefinition<(&str, &str), &str> =
    TableDefinition::new("associations-by-service-account");

/// A caller's name for a request → what was asked and answered, as JSON.
pub(super) const REQUESTS: TableDefinition<&str, &[u8]> = TableDefinition::new("requests");

/// (milliseconds since 1970, name of a request), to find the oldest.
pub(super) const REQUESTS_BY_TIME: TableDefinition<(u64, &str), ()> =
    TableDefinition::new("requests-by-time");

pub(super) const SCHEMA_VERSION: &str = "schema-version";
const CLUSTER_UID: &str = "cluster-uid";

/// Makes the tables of a new database, or checks those of an old one; gives the cluster's uid.
pub(super) fn prepare(database: &Database) -> Result<Uuid, SetUpError> {
    refuse_newer(database)?;
    create(database).map_err(SetUpError::Failed)
}

/// Refuses a database whose records this program might misread.
pub(super) fn refuse_newer(database: &impl ReadableDatabase) -> Result<(), SetUpError> {
    match version(database)? {
        Some(found) if found > VERSION => Err(SetUpError::Newer { found, known: VERSION }),
        _ => Ok(()),
    }
}

fn version(database: &impl ReadableDatabase) -> Result<Option<u64>, FileError> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(text) = meta.get(SCHEMA_VERSION)? else { return Ok(None) };
    // Something that is no number can only come from a later idea of versions.
    Ok(Some(text.value().parse().unwrap_or(u64::MAX)))
}

fn create(database: &Database) -> Result<Uuid, FileError> {
    let transaction = database.begin_write()?;
    let uid = {
        transaction.open_table(ASSOCIATIONS)?;
        transaction.open_table(BY_SERVICE_ACCOUNT)?;
        transaction.open_table(REQUESTS)?;
        transaction.open_table(REQUESTS_BY_TIME)?;
        let mut meta = transaction.open_table(META)?;
        meta.insert(SCHEMA_VERSION, VERSION.to_string().as_str())?;
        let known = meta.get(CLUSTER_UID)?.and_then(|text| Uuid::try_parse(text.value()).ok());
        match known {
            Some(uid) => uid,
            None => {
                let uid = Uuid::new_v4();
                meta.insert(CLUSTER_UID, uid.to_string().as_str())?;
                uid
            }
        }
    };
    transaction.commit()?;
    Ok(uid)
}
