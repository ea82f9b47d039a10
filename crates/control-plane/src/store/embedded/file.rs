//! The database file: opened, written to, and opened again when it failed.
//!
//! redb answers nothing any more once a write has failed, so that nobody trusts half a write. Such a database is let go at
//! once, and the file is opened again with the next change: when there is room again, nobody needs to restart anything.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::{Association, AssociationId};
use redb::{
    Builder, Database, ReadOnlyDatabase, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    WriteTransaction,
};
use uuid::Uuid;

use super::super::ledger::{Ledger, Step, Write};
use super::super::requests::Remembered;
use super::super::{StoreError, Stored};
use super::failure::{FileError, SetUpError, damaged};
use super::record::{self, Record};
use super::schema::{self, ASSOCIATIONS, BY_SERVICE_ACCOUNT, REQUESTS, REQUESTS_BY_TIME};
use super::{OpenError, holder};

/// Everything is read once, at the start; what is cached is for changes, and for few of them. redb's own default would be a
/// gigabyte.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The file of a store.
pub(super) struct DatabaseFile {
    /// How it is opened.
    open: Box<dyn Fn() -> Result<Held, OpenError> + Send>,
    state: State,
    cluster_uid: Uuid,
}

enum State {
    Open(Held),
    /// A write failed. The association it was about is as before or as it should be; the file knows.
    Failed(AssociationId),
}

/// A database that nobody else uses.
pub(super) struct Held {
    pub(super) database: Database,
    /// What it is called when something is wrong with it.
    pub(super) path: PathBuf,
    /// Tells others who we are, as long as it is open.
    #[expect(dead_code, reason = "held for its lock")]
    pub(super) mark: Option<File>,
}

/// What was found in the file.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    pub(super) cluster_uid: Uuid,
}

impl DatabaseFile {
    /// Opens it as it is said, now and after failures.
    pub(super) fn open(
        open: impl Fn() -> Result<Held, OpenError> + Send + 'static,
    ) -> Result<(Self, Opened), OpenError> {
        let (held, opened) = set_up(&open)?;
        let cluster_uid = opened.cluster_uid;
        Ok((Self { open: Box::new(open), state: State::Open(held), cluster_uid }, opened))
    }

    /// Opens it again if it failed; then gives what was found in it, and what the failed write was about.
    pub(super) fn open_again(&mut self) -> Result<Option<(Opened, AssociationId)>, StoreError> {
        let State::Failed(unsettled) = &self.state else { return Ok(None) };
        let (held, opened) = set_up(&self.open).map_err(|error| match error {
            OpenError::Unusable { source, .. } => source,
            other => StoreError::Unavailable(other.into()),
        })?;
        // A disk that is gone leaves an empty folder, and what is made there must not pass for what was kept.
        if opened.cluster_uid != self.cluster_uid {
            return Err(StoreError::Unavailable("in the place of the database is another one".into()));
        }
        let unsettled = unsettled.clone();
        self.state = State::Open(held);
        Ok(Some((opened, unsettled)))
    }

    /// Has a change on disk before it returns.
    pub(super) fn keep(&mut self, write: &Write) -> Result<(), StoreError> {
        let State::Open(held) = &self.state else {
            return Err(StoreError::Unavailable("the database failed and is not open".into()));
        };
        keep_in(&held.database, write).map_err(|error| {
            self.state = State::Failed(write.id().clone());
            error.into()
        })
    }
}

/// Opens the file at that path, or creates it.
pub(super) fn open(file: &Path) -> Result<Held, OpenError> {
    // Opening for writing touches the file, so a newer version is first looked for without. A file that is not
    // there, or that a crash left to be repaired, gives no answer here and is asked again below.
    if let Ok(database) = ReadOnlyDatabase::open(file) {
        schema::refuse_newer(&database).map_err(|error| error.in_file(file))?;
    }
    let database = builder().create(file).map_err(|error| SetUpError::from(error).in_file(file))?;
    Ok(Held { database, path: file.to_owned(), mark: holder::mark(file) })
}

/// How databases are opened here.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // Checked at every open: redb may panic on a page that something else wrote to, where the check says Corrupted.
    builder.set_check_integrity_on_open(true);
    builder
}

fn set_up(open: &dyn Fn() -> Result<Held, OpenError>) -> Result<(Held, Opened), OpenError> {
    let held = open()?;
    let opened = load(&held.database).map_err(|error| error.in_file(&held.path))?;
    Ok((held, opened))
}

/// Makes the tables where they are not there yet, and reads everything.
fn load(database: &Database) -> Result<Opened, SetUpError> {
    let cluster_uid = schema::prepare(database)?;
    Ok(Opened { ledger: read(database)?, cluster_uid })
}

/// Reads all associations and requests. A record that the index does not name, or the reverse, is damage.
fn read(database: &Database) -> Result<Ledger, FileError> {
    let transaction = database.begin_read()?;
    let mut ledger = Ledger::default();
    let ids = transaction.open_table(BY_SERVICE_ACCOUNT)?;
    let records = transaction.open_table(ASSOCIATIONS)?;
    for entry in records.iter()? {
        let (id, json) = entry?;
        let place = format!("association {}", id.value());
        let stored = record::read::<Record>(&place, json.value())?.stored()?;
        let Association { id: own, namespace, service_account, .. } = &stored.association;
        let indexed = ids.get((namespace.as_str(), service_account.as_str()))?;
        if own.as_str() != id.value() || indexed.is_none_or(|indexed| indexed.value() != id.value()) {
            return Err(damaged(&place, &"the index names another one"));
        }
        ledger.insert(Arc::new(stored));
    }
    if ids.len()? != records.len()? {
        return Err(damaged("the index", &"it names associations that are not there"));
    }
    for entry in transaction.open_table(REQUESTS)?.iter()? {
        let (token, json) = entry?;
        let done = record::read::<record::Done>("a remembered request", json.value())?.done()?;
        ledger.requests().insert(token.value().to_owned(), done);
    }
    Ok(ledger)
}

fn keep_in(database: &Database, write: &Write) -> Result<(), FileError> {
    let transaction = database.begin_write()?;
    match write.step {
        Step::Put | Step::Retag => put(&transaction, &write.stored)?,
        Step::Delete => delete(&transaction, &write.stored.association)?,
    }
    if let Some(remembered) = &write.remembered {
        remember(&transaction, remembered)?;
    }
    transaction.commit()?;
    Ok(())
}

pub(super) fn put(transaction: &WriteTransaction, stored: &Stored) -> Result<(), FileError> {
    let Association { id, namespace, service_account, .. } = &stored.association;
    let json = record::json(&Record::from(stored));
    transaction.open_table(ASSOCIATIONS)?.insert(id.as_str(), json.as_slice())?;
    let account = (namespace.as_str(), service_account.as_str());
    transaction.open_table(BY_SERVICE_ACCOUNT)?.insert(account, id.as_str())?;
    Ok(())
}

fn delete(transaction: &WriteTransaction, association: &Association) -> Result<(), FileError> {
    let Association { id, namespace, service_account, .. } = association;
    transaction.open_table(ASSOCIATIONS)?.remove(id.as_str())?;
    transaction.open_table(BY_SERVICE_ACCOUNT)?.remove((namespace.as_str(), service_account.as_str()))?;
    Ok(())
}

fn remember(transaction: &WriteTransaction, remembered: &Remembered) -> Result<(), FileError> {
    let Remembered { token, done, forgotten } = remembered;
    let mut requests = transaction.open_table(REQUESTS)?;
    let mut by_time = transaction.open_table(REQUESTS_BY_TIME)?;
    for (at, token) in forgotten {
        by_time.remove((*at, token.as_str()))?;
        requests.remove(token.as_str())?;
    }
    requests.insert(token.as_str(), record::json(&record::Done::from(done)).as_slice())?;
    by_time.insert((done.at, token.as_str()), ())?;
    Ok(())
}
