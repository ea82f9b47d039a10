use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::schema::{META, SCHEMA_VERSION};
use super::*;

mod keeping;
mod paging;

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_320_632)
}

fn web(role: &str) -> NewAssociation {
    new("shop", "web", grant(role))
}

fn new(namespace: &str, service_account: &str, grant: Grant) -> NewAssociation {
    let (namespace, service_account) = (namespace.to_owned(), service_account.to_owned());
    NewAssociation { namespace, service_account, grant, tags: Tags::new(), request_token: None }
}

fn grant(role: &str) -> Grant {
    Grant::of_role(format!("arn:aws:iam::111122223333:role/{role}").parse().unwrap())
}

#[tokio::test]
async fn an_association_is_found_under_exactly_its_names() {
    let store = Store::in_memory().unwrap();
    let created = store.create(web("web"), noon()).await.unwrap();
    assert_eq!(store.find("shop", "web").unwrap(), Some(created));
    for (namespace, service_account) in
        [("shop", "Web"), ("shop", ""), ("shop", "web2"), ("sho", "pweb"), ("*", "web")]
    {
        assert_eq!(store.find(namespace, service_account).unwrap(), None, "{namespace}/{service_account}");
    }
}

#[tokio::test]
async fn a_service_account_has_at_most_one_association() {
    let store = Store::in_memory().unwrap();
    let first = store.create(web("web"), noon()).await.unwrap();
    let again = store.create(web("other"), noon()).await.unwrap_err();
    assert!(matches!(&again, CreateError::Taken(id) if *id == first.association.id), "{again}");
    assert_eq!(store.list().unwrap(), [first]);
}

#[tokio::test]
async fn ten_creates_at_once_leave_one_association() {
    let store = Store::in_memory().unwrap();
    let creates = (0..10).map(|number| store.create(web(&format!("role-{number}")), noon()));
    let outcomes = futures_util::future::join_all(creates).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(store.list().unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_association_keeps_its_id_and_its_birthday() {
    let store = Store::in_memory().unwrap();
    let created = store.create(web("web"), noon()).await.unwrap();
    let later = noon() + Duration::from_secs(60);
    let changed =
        store.change(created.association.id.clone(), grant("api").into(), later).await.unwrap().unwrap();
    assert_eq!(changed.association.id, created.association.id);
    assert_eq!(changed.association.role_arn, grant("api").role_arn);
    assert_eq!((changed.created_at, changed.modified_at), (noon(), later));
    assert_eq!(store.find("shop", "web").unwrap(), Some(changed));
}

#[tokio::test]
async fn a_deleted_association_makes_room_for_the_next() {
    let store = Store::in_memory().unwrap();
    let created = store.create(web("web"), noon()).await.unwrap();
    let id = created.association.id.clone();
    assert_eq!(store.delete(id.clone()).await.unwrap(), Some(created));
    assert_eq!(store.delete(id.clone()).await.unwrap(), None);
    assert!(store.change(id, grant("api").into(), noon()).await.unwrap().is_none());
    assert_eq!(store.find("shop", "web").unwrap(), None);
    store.create(web("api"), noon()).await.unwrap();
}

#[tokio::test]
async fn the_list_is_in_order_of_namespace_and_service_account() {
    let store = Store::in_memory().unwrap();
    for (namespace, service_account) in [("shop", "web"), ("b", "z"), ("shop", "api"), ("a", "z")] {
        store.create(new(namespace, service_account, grant("web")), noon()).await.unwrap();
    }
    let names: Vec<_> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|stored| format!("{}/{}", stored.association.namespace, stored.association.service_account))
        .collect();
    assert_eq!(names, ["a/z", "b/z", "shop/api", "shop/web"]);
}

#[tokio::test]
async fn a_file_that_is_opened_again_holds_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let store = Store::open(&file).unwrap();
    let uid = store.cluster_uid();
    let created = store.create(web("web"), noon()).await.unwrap();
    drop(store);
    let store = Store::open(&file).unwrap();
    assert_eq!(store.find("shop", "web").unwrap(), Some(created));
    assert_eq!(store.cluster_uid(), uid);
}

#[tokio::test]
async fn a_copy_taken_while_the_database_is_open_is_whole_again_when_opened() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("first.redb")).unwrap();
    let created = store.create(web("web"), noon()).await.unwrap();
    // What kill -9 leaves behind: the file without the closing that a clean end does.
    let copy = folder.path().join("copy.redb");
    std::fs::copy(folder.path().join("first.redb"), &copy).unwrap();
    assert_eq!(Store::open(&copy).unwrap().list().unwrap(), [created]);
}

#[test]
fn a_file_that_another_handle_holds_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let _held = Store::open(&file).unwrap();
    let error = Store::open(&file).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("associations.redb is open in another process"), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    for version in ["2", "99", "three"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("associations.redb");
        drop(Store::open(&file).unwrap());
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(SCHEMA_VERSION, version).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let before = std::fs::read(&file).unwrap();
        let error = Store::open(&file).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("written by a newer pod-identity"), "{error}");
        assert!(std::fs::read(&file).unwrap() == before, "the file was changed");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    std::fs::write(&file, "dear diary").unwrap();
    let error = Store::open(&file).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"dear diary");
}

#[tokio::test]
async fn whoever_listens_is_told_of_each_change_once_it_is_kept_and_of_nothing_else() {
    let store = Store::in_memory().unwrap();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (heard, asked) = (Arc::clone(&told), store.clone());
    store.on_change(move |id| {
        let kept = asked.list().unwrap().len();
        heard.lock().unwrap().push(format!("{id} of {kept}"));
    });
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    store.create(web("web"), noon()).await.unwrap_err();
    store.delete("a-00000000000000000".parse().unwrap()).await.unwrap();
    store.delete(id.clone()).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [format!("{id} of 1"), format!("{id} of 0")]);
}
