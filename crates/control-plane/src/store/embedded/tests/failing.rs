//! A disk that is full, and one that fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

use super::super::file::Held;
use super::*;

/// A file on a disk that fails as it is told to.
#[derive(Debug)]
struct Disk {
    file: File,
    faults: Arc<Faults>,
}

/// What is wrong with a disk.
#[derive(Debug, Default)]
struct Faults {
    /// How many more writes it takes.
    writes: AtomicU64,
    /// How many more times it brings what was written to where it is safe.
    syncs: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Faults {
    fn mend(&self) {
        self.writes.store(NEVER, Ordering::SeqCst);
        self.syncs.store(NEVER, Ordering::SeqCst);
    }

    fn take(left: &AtomicU64, error: io::ErrorKind) -> io::Result<()> {
        let take = |left: u64| if left == NEVER { Some(left) } else { left.checked_sub(1) };
        left.try_update(Ordering::SeqCst, Ordering::SeqCst, take).map(|_| ()).map_err(|_| error.into())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Faults::take(&self.faults.syncs, io::ErrorKind::Other)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        Faults::take(&self.faults.writes, io::ErrorKind::StorageFull)?;
        self.file.write_all_at(data, offset)
    }
}

/// A store on such a disk, with `shop/web` in it.
async fn store_on_a_disk(folder: &tempfile::TempDir) -> (EmbeddedStore, Arc<Faults>, Stored) {
    let faults = Arc::new(Faults::default());
    faults.mend();
    let (path, disk) = (folder.path().join("associations.redb"), Arc::clone(&faults));
    let open = move || {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let backend = Disk { file, faults: Arc::clone(&disk) };
        let database = file::builder().create_with_backend(backend);
        let database = database.map_err(|error| failure::SetUpError::from(error).in_file(&path))?;
        Ok(Held { database, path: path.clone(), mark: None })
    };
    let store = EmbeddedStore::of(DatabaseFile::open(open).unwrap()).unwrap();
    let kept = store.create(web("web"), noon()).await.unwrap();
    (store, faults, kept)
}

#[tokio::test]
async fn on_a_full_disk_a_change_fails_whole_and_works_again_once_there_is_room() {
    for room_for in 0..30 {
        let folder = tempfile::tempdir().unwrap();
        let (store, faults, kept) = store_on_a_disk(&folder).await;
        faults.writes.store(room_for, Ordering::SeqCst);
        let other = || new("shop", "api", grant("api"));
        let Err(refused) = store.create(other(), noon()).await else {
            assert!(room_for > 0, "it was not full");
            return;
        };
        assert!(matches!(refused, CreateError::Store(StoreError::NoRoom(_))), "{room_for}: {refused:?}");
        // Still full: the file cannot even be opened again. What was kept is served all the same.
        let refused = store.delete(kept.association.id.clone()).await.unwrap_err();
        assert!(matches!(refused, StoreError::NoRoom(_)), "{room_for}: {refused:?}");
        assert_eq!(store.find("shop", "web").await.unwrap().as_ref(), Some(&kept));
        assert_eq!(store.find("shop", "api").await.unwrap(), None);
        faults.mend();
        let created = store.create(other(), noon()).await.unwrap();
        let wanted = [created, kept];
        assert_eq!(everything(&store).await.unwrap(), wanted);
        drop(store);
        let file = folder.path().join("associations.redb");
        assert_eq!(everything(&EmbeddedStore::open(&file).unwrap()).await.unwrap(), wanted);
    }
    panic!("thirty writes for one association");
}

#[tokio::test]
async fn a_change_of_which_nobody_knows_whether_it_is_kept_is_looked_up_and_told() {
    let mut unknown = 0;
    for syncs in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let (store, faults, kept) = store_on_a_disk(&folder).await;
        let told: Arc<Mutex<Vec<AssociationId>>> = Arc::default();
        let heard = Arc::clone(&told);
        store.on_change(Box::new(move |id| heard.lock().unwrap().push(id.clone())));
        let id = kept.association.id.clone();
        faults.syncs.store(syncs, Ordering::SeqCst);
        let outcome = store.change(id.clone(), grant("api").into(), noon()).await;
        faults.mend();
        let Err(refused) = outcome else { break };
        assert!(matches!(refused, ChangeError::Store(StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(*told.lock().unwrap(), []);
        // Nothing to do with it, but it makes the store look.
        assert_eq!(store.delete("a-00000000000000000".parse().unwrap()).await.unwrap(), None);
        assert_eq!(*told.lock().unwrap(), [id]);
        let shown = everything(&store).await.unwrap();
        unknown += 1;
        drop(store);
        let file = folder.path().join("associations.redb");
        assert_eq!(everything(&EmbeddedStore::open(&file).unwrap()).await.unwrap(), shown);
    }
    assert!(unknown > 0, "it never failed");
}

#[tokio::test]
async fn a_database_that_is_gone_when_it_is_opened_again_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let (store, faults, kept) = store_on_a_disk(&folder).await;
    faults.writes.store(0, Ordering::SeqCst);
    store.delete(kept.association.id.clone()).await.unwrap_err();
    faults.mend();
    std::fs::remove_file(folder.path().join("associations.redb")).unwrap();
    let refused = store.create(new("shop", "api", grant("api")), noon()).await.unwrap_err();
    assert!(matches!(refused, CreateError::Store(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(everything(&store).await.unwrap(), [kept]);
}
