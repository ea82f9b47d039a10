//! What is kept of an association besides its role, and requests that come twice.

use redb::{ReadableDatabase, ReadableTableMetadata};

use super::super::schema::{ASSOCIATIONS, BY_SERVICE_ACCOUNT, REQUESTS};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn named(token: &str, role: &str) -> NewAssociation {
    NewAssociation { request_token: Some(token.to_owned()), ..web(role) }
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
    let store = Store::open(&file).unwrap();
    let request = NewAssociation { tags: tags(&[("team", "shop")]), ..new("shop", "web", full.clone()) };
    let created = store.create(request, noon()).await.unwrap();
    assert_eq!(Grant::of(&created.association), full);
    drop(store);
    assert_eq!(Store::open(&file).unwrap().get(&created.association.id).unwrap(), Some(created));
}

#[test]
fn a_record_of_the_first_version_still_opens_and_has_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    drop(Store::open(&file).unwrap());
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
    let stored = Store::open(&file).unwrap().find("shop", "web").unwrap().unwrap();
    assert_eq!(Grant::of(&stored.association), grant("web"));
    assert_eq!((stored.tags, stored.created_at), (Tags::new(), noon()));
}

#[tokio::test]
async fn a_change_leaves_alone_what_it_does_not_name() {
    let store = Store::in_memory().unwrap();
    let target = "arn:aws:iam::444455556666:role/target";
    let chained = Grant { target_role_arn: Some(target.parse().unwrap()), ..grant("web") };
    let id = store.create(new("shop", "web", chained.clone()), noon()).await.unwrap().association.id;
    let quiet = Change { disable_session_tags: Some(true), ..Change::default() };
    let changed = store.change(id.clone(), quiet, noon()).await.unwrap().unwrap();
    assert_eq!(Grant::of(&changed.association), Grant { disable_session_tags: true, ..chained });
    let direct = Change { target_role_arn: Some(None), ..Change::default() };
    let changed = store.change(id, direct, noon()).await.unwrap().unwrap();
    assert_eq!(Grant::of(&changed.association), Grant { disable_session_tags: true, ..grant("web") });
}

#[tokio::test]
async fn a_policy_and_session_tags_never_meet() {
    let store = Store::in_memory().unwrap();
    let both = Grant { policy: Some("{}".to_owned()), ..grant("web") };
    let refused = store.create(new("shop", "web", both.clone()), noon()).await.unwrap_err();
    assert!(matches!(refused, CreateError::Policy(PolicyWithTags)), "{refused}");
    let quiet = Grant { disable_session_tags: true, ..both };
    let created = store.create(new("shop", "web", quiet), noon()).await.unwrap();
    let loud = Change { disable_session_tags: Some(false), ..Change::default() };
    let refused = store.change(created.association.id.clone(), loud, noon()).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Policy(PolicyWithTags)), "{refused}");
    assert_eq!(store.get(&created.association.id).unwrap(), Some(created));
}

#[tokio::test]
async fn tags_are_added_replaced_and_taken_away_up_to_their_limit() {
    let store = Store::in_memory().unwrap();
    let created = store.create(web("web"), noon()).await.unwrap();
    let id = created.association.id;
    store.tag(id.clone(), tags(&[("team", "shop"), ("stage", "test")])).await.unwrap().unwrap();
    let stored = store.tag(id.clone(), tags(&[("stage", "production")])).await.unwrap().unwrap();
    assert_eq!(stored.tags, tags(&[("stage", "production"), ("team", "shop")]));
    assert_eq!(stored.modified_at, created.modified_at);
    let many: Tags = (0..49).map(|number| (format!("key-{number}"), String::new())).collect();
    let refused = store.tag(id.clone(), many).await.unwrap_err();
    assert!(refused.to_string().contains("51 tags"), "{refused}");
    let keys = vec!["team".to_owned(), "unknown".to_owned()];
    let stored = store.untag(id.clone(), keys).await.unwrap().unwrap();
    assert_eq!(stored.tags, tags(&[("stage", "production")]));
    store.delete(id.clone()).await.unwrap();
    assert!(store.tag(id.clone(), Tags::new()).await.unwrap().is_none());
    assert!(store.untag(id, Vec::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_full_cluster_takes_no_more_until_one_is_deleted() {
    let store = Store::in_memory().unwrap().with_limit(1);
    let first = store.create(web("web"), noon()).await.unwrap();
    let second = || store.create(new("shop", "api", grant("api")), noon());
    let refused = second().await.unwrap_err();
    assert!(matches!(refused, CreateError::Full { limit: 1 }), "{refused}");
    // Who exists already is told so, full or not.
    assert!(matches!(store.create(web("web"), noon()).await, Err(CreateError::Taken(_))));
    store.delete(first.association.id).await.unwrap();
    second().await.unwrap();
}

#[tokio::test]
async fn a_create_that_is_repeated_under_its_name_gets_its_first_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("associations.redb");
    let store = Store::open(&file).unwrap();
    let first = store.create(named("one", "web"), noon()).await.unwrap();
    let later = noon() + Duration::from_secs(60);
    store.change(first.association.id.clone(), grant("api").into(), later).await.unwrap();
    drop(store);
    let store = Store::open(&file).unwrap();
    assert_eq!(store.create(named("one", "web"), later).await.unwrap(), first);
    assert!(matches!(store.create(named("one", "other"), later).await, Err(CreateError::TokenReused(_))));
    assert!(matches!(store.create(named("two", "web"), later).await, Err(CreateError::Taken(_))));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[tokio::test]
async fn a_create_is_done_anew_when_what_it_made_is_gone() {
    let store = Store::in_memory().unwrap();
    let first = store.create(named("one", "web"), noon()).await.unwrap();
    store.delete(first.association.id.clone()).await.unwrap();
    let second = store.create(named("one", "web"), noon()).await.unwrap();
    assert_ne!(second.association.id, first.association.id);
    assert_eq!(store.find("shop", "web").unwrap(), Some(second));
}

#[tokio::test]
async fn a_change_that_is_repeated_under_its_name_is_done_once() {
    let store = Store::in_memory().unwrap();
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    let change = |role: &str| Change { request_token: Some("one".to_owned()), ..grant(role).into() };
    let later = noon() + Duration::from_secs(60);
    let first = store.change(id.clone(), change("api"), noon()).await.unwrap();
    store.change(id.clone(), grant("other").into(), later).await.unwrap();
    assert_eq!(store.change(id.clone(), change("api"), later).await.unwrap(), first);
    assert_eq!(store.get(&id).unwrap().unwrap().association.role_arn, grant("other").role_arn);
    assert!(matches!(store.change(id, change("web"), later).await, Err(ChangeError::TokenReused(_))));
}

#[tokio::test]
async fn names_of_requests_are_forgotten_after_a_day() {
    let store = Store::in_memory().unwrap();
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    let change =
        |token: &str, role: &str| Change { request_token: Some(token.to_owned()), ..grant(role).into() };
    for token in ["one", "two"] {
        store.change(id.clone(), change(token, "api"), noon()).await.unwrap();
    }
    let next_day = noon() + DAY + Duration::from_secs(1);
    // Another request under the same name is nobody's repetition by now, and clears the others away.
    store.change(id, change("one", "web"), next_day).await.unwrap();
    let requests = store.database.begin_read().unwrap().open_table(REQUESTS).unwrap();
    assert_eq!(requests.len().unwrap(), 1);
}
