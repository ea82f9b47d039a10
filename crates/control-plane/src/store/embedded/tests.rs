use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use super::super::contract::{grant, named, new, noon, tags, web};
use super::super::{Grant, everything};
use super::schema::{ASSOCIATIONS, BY_SERVICE_ACCOUNT, META, REQUESTS, REQUESTS_BY_TIME, SCHEMA_VERSION};
use super::*;

mod failing;

#[tokio::test]
async fn a_file_that_is_opened_again_holds_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let store = EmbeddedStore::open(&file).unwrap();
    let uid = store.cluster_uid();
    let created = store.create(web("web"), noon()).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&file).unwrap();
    assert_eq!(store.find("shop", "web").await.unwrap(), Some(created));
    assert_eq!(store.cluster_uid(), uid);
}

#[tokio::test]
async fn a_copy_taken_while_the_database_is_open_is_whole_again_when_opened() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("first.redb")).unwrap();
    let created = store.create(web("web"), noon()).await.unwrap();
    // What kill -9 leaves behind: the file without the closing that a clean end does.
    let copy = folder.path().join("copy.redb");
    std::fs::copy(folder.path().join("first.redb"), &copy).unwrap();
    assert_eq!(everything(&EmbeddedStore::open(&copy).unwrap()).await.unwrap(), [created]);
}

#[test]
fn a_file_that_another_handle_holds_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let _held = EmbeddedStore::open(&file).unwrap();
    let error = EmbeddedStore::open(&file).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("associations.redb is open in another process"), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    for version in ["2", "99", "three"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("associations.redb");
        drop(EmbeddedStore::open(&file).unwrap());
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(SCHEMA_VERSION, version).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let before = std::fs::read(&file).unwrap();
        let error = EmbeddedStore::open(&file).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("written by a newer pod-identity"), "{error}");
        assert!(std::fs::read(&file).unwrap() == before, "the file was changed");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    std::fs::write(&file, "dear diary").unwrap();
    let error = EmbeddedStore::open(&file).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"dear diary");
}

#[tokio::test]
async fn everything_that_an_association_has_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let full = Grant {
        target_role_arn: Some("arn:aws:iam::444455556666:role/target".parse().unwrap()),
        disable_session_tags: true,
        policy: Some("{}".to_owned()),
        ..grant("web")
    };
    let store = EmbeddedStore::open(&file).unwrap();
    let request = NewAssociation { tags: tags(&[("team", "shop")]), ..new("shop", "web", full.clone()) };
    let created = store.create(request, noon()).await.unwrap();
    assert_eq!(Grant::of(&created.association), full);
    drop(store);
    assert_eq!(
        EmbeddedStore::open(&file).unwrap().get(&created.association.id).await.unwrap(),
        Some(created)
    );
}

#[tokio::test]
async fn a_record_of_the_first_version_still_opens_and_has_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    drop(EmbeddedStore::open(&file).unwrap());
    let database = Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let id = "a-8mvwvh57cu74mgcst";
    let record = format!(
        r#"{{"id":"{id}","namespace":"shop","service_account":"web","role_arn":"arn:aws:iam::111122223333:role/web",
        "target_role_arn":null,"disable_session_tags":false,"created_at":1795320632.0,"modified_at":1795320632.0}}"#
    );
    transaction.open_table(ASSOCIATIONS).unwrap().insert(id, record.as_bytes()).unwrap();
    transaction.open_table(BY_SERVICE_ACCOUNT).unwrap().insert(("shop", "web"), id).unwrap();
    // Tables that came later.
    transaction.delete_table(REQUESTS).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let stored = EmbeddedStore::open(&file).unwrap().find("shop", "web").await.unwrap().unwrap();
    assert_eq!(Grant::of(&stored.association), grant("web"));
    assert_eq!((stored.tags, stored.created_at), (Tags::new(), noon()));
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let store = EmbeddedStore::open(&file).unwrap();
    let first = store.create(named("one", "web"), noon()).await.unwrap();
    let later = noon() + Duration::from_secs(60);
    store.change(first.association.id.clone(), grant("api").into(), later).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&file).unwrap();
    assert_eq!(store.create(named("one", "web"), later).await.unwrap(), first);
    assert!(matches!(store.create(named("one", "other"), later).await, Err(CreateError::TokenReused(_))));
    assert!(matches!(store.create(named("two", "web"), later).await, Err(CreateError::Taken(_))));
    assert_eq!(everything(&store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_day_has_made_old_is_cleared_from_the_file_and_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let store = EmbeddedStore::open(&file).unwrap();
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    let change =
        |token: &str, role: &str| Change { request_token: Some(token.to_owned()), ..grant(role).into() };
    for token in ["one", "two"] {
        store.change(id.clone(), change(token, "api"), noon()).await.unwrap();
    }
    let next_day = noon() + Duration::from_secs(86_401);
    // Another request under the same name is nobody's repetition by now, and clears the others away.
    store.change(id, change("one", "web"), next_day).await.unwrap();
    assert_eq!(store.memory.remembered(), 1);
    drop(store);
    let database = Database::open(&file).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(transaction.open_table(REQUESTS).unwrap().len().unwrap(), 1);
    assert_eq!(transaction.open_table(REQUESTS_BY_TIME).unwrap().len().unwrap(), 1);
}

#[tokio::test]
async fn a_change_is_in_the_file_when_whoever_listens_is_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("associations.redb"), folder.path().join("copy.redb"));
    let store = EmbeddedStore::open(&file).unwrap();
    let (from, to) = (file.clone(), copy.clone());
    store.on_change(Box::new(move |_| {
        std::fs::copy(&from, &to).unwrap();
    }));
    let created = store.create(web("web"), noon()).await.unwrap();
    assert_eq!(everything(&EmbeddedStore::open(&copy).unwrap()).await.unwrap(), [created]);
}

#[tokio::test]
async fn a_file_whose_index_and_records_disagree_is_refused() {
    type Spoil = fn(&redb::WriteTransaction, &str);
    let spoils: [Spoil; 3] = [
        |transaction, _| {
            transaction.open_table(BY_SERVICE_ACCOUNT).unwrap().remove(("shop", "web")).unwrap();
        },
        |transaction, id| {
            transaction.open_table(ASSOCIATIONS).unwrap().remove(id).unwrap();
        },
        |transaction, id| {
            let mut records = transaction.open_table(ASSOCIATIONS).unwrap();
            let json = records.remove(id).unwrap().unwrap().value().to_owned();
            records.insert("a-00000000000000000", json.as_slice()).unwrap();
        },
    ];
    for spoil in spoils {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("associations.redb");
        let id = EmbeddedStore::open(&file).unwrap().create(web("web"), noon()).await.unwrap().association.id;
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        spoil(&transaction, id.as_str());
        transaction.commit().unwrap();
        drop(database);
        let error = EmbeddedStore::open(&file).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Unusable { source: StoreError::Damaged(_), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_lookup_among_twenty_thousand_takes_microseconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    const MANY: usize = 20_000;
    // Written at once: it is not the writing that is of interest.
    drop(EmbeddedStore::open(&file).unwrap());
    let database = Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    for number in 0..MANY {
        let memory = MemoryStore::new();
        let stored = memory
            .create(new(&format!("team-{}", number % 100), &format!("web-{number}"), grant("web")), noon());
        file::put(&transaction, &stored.await.unwrap()).unwrap_or_else(|_| panic!("it is not full"));
    }
    transaction.commit().unwrap();
    drop(database);
    let opening = tokio::time::Instant::now();
    let store = EmbeddedStore::open(&file).unwrap();
    let opened = opening.elapsed();
    let looking = tokio::time::Instant::now();
    for number in 0..MANY {
        let (namespace, service_account) = (format!("team-{}", number % 100), format!("web-{number}"));
        assert!(store.find(&namespace, &service_account).await.unwrap().is_some());
    }
    let each = looking.elapsed() / 20_000;
    println!("20,000 associations: opened in {opened:?}, found in {each:?} each");
    // Generous, since this may be a debug build on a busy machine.
    assert!(each < Duration::from_micros(100), "{each:?}");
}

#[tokio::test]
async fn a_request_that_is_done_anew_on_the_same_day_is_remembered_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("associations.redb")).unwrap();
    let first = store.create(named("one", "web"), noon()).await.unwrap();
    store.delete(first.association.id).await.unwrap();
    let later = noon() + Duration::from_secs(60);
    let second = store.create(named("one", "web"), later).await.unwrap();
    assert_eq!(store.memory.remembered(), 1);
    // The first one's day is over, the second one's is not.
    let next_day = noon() + Duration::from_secs(86_430);
    store
        .change(
            second.association.id.clone(),
            Change { request_token: Some("two".to_owned()), ..Change::default() },
            next_day,
        )
        .await
        .unwrap();
    assert_eq!(store.create(named("one", "web"), next_day).await.unwrap(), second);
}
