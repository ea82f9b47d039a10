//! What every store does, whatever it keeps its associations in. Another store joins by one more line in [`Kind`] and in
//! `passed_by_every_store`.

use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;

/// Makes empty stores of one kind.
struct Kind {
    make: fn(&TempDir, u64) -> Arc<dyn AssociationStore>,
    folder: TempDir,
}

impl Kind {
    fn memory() -> Self {
        Self::of(|_, limit| Arc::new(MemoryStore::new().with_limit(limit)))
    }

    fn embedded() -> Self {
        Self::of(|folder, limit| {
            let file = folder.path().join("associations.redb");
            Arc::new(EmbeddedStore::open(&file).unwrap().with_limit(limit))
        })
    }

    fn of(make: fn(&TempDir, u64) -> Arc<dyn AssociationStore>) -> Self {
        Self { make, folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Arc<dyn AssociationStore> {
        self.limited(DEFAULT_LIMIT)
    }

    fn limited(&self, limit: u64) -> Arc<dyn AssociationStore> {
        (self.make)(&self.folder, limit)
    }
}

/// One test per store for each of these. One that is left out is dead code, which the lints refuse.
macro_rules! passed_by_every_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Kind::memory()).await;
            })+
        }
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Kind::embedded()).await;
            })+
        }
    };
}

mod keeping;
mod paging;
mod repeating;
mod together;

passed_by_every_store![
    an_association_is_found_under_exactly_its_names,
    a_service_account_has_at_most_one_association,
    ten_creates_at_once_leave_one_association,
    a_changed_association_keeps_its_id_and_its_birthday,
    a_deleted_association_makes_room_for_the_next,
    the_list_is_in_order_of_namespace_and_service_account,
    whoever_listens_is_told_of_each_change_once_it_is_kept_and_of_nothing_else,
];

pub(super) fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_320_632)
}

pub(super) fn web(role: &str) -> NewAssociation {
    new("shop", "web", grant(role))
}

pub(super) fn new(namespace: &str, service_account: &str, grant: Grant) -> NewAssociation {
    let (namespace, service_account) = (namespace.to_owned(), service_account.to_owned());
    NewAssociation { namespace, service_account, grant, tags: Tags::new(), request_token: None }
}

pub(super) fn named(token: &str, role: &str) -> NewAssociation {
    NewAssociation { request_token: Some(token.to_owned()), ..web(role) }
}

pub(super) fn grant(role: &str) -> Grant {
    Grant::of_role(format!("arn:aws:iam::111122223333:role/{role}").parse().unwrap())
}

pub(super) fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn an_association_is_found_under_exactly_its_names(kind: Kind) {
    let store = kind.store();
    let created = store.create(web("web"), noon()).await.unwrap();
    assert_eq!(store.find("shop", "web").await.unwrap(), Some(created));
    for (namespace, service_account) in
        [("shop", "Web"), ("shop", ""), ("shop", "web2"), ("sho", "pweb"), ("*", "web")]
    {
        assert_eq!(
            store.find(namespace, service_account).await.unwrap(),
            None,
            "{namespace}/{service_account}"
        );
    }
}

async fn a_service_account_has_at_most_one_association(kind: Kind) {
    let store = kind.store();
    let first = store.create(web("web"), noon()).await.unwrap();
    let again = store.create(web("other"), noon()).await.unwrap_err();
    assert!(matches!(&again, CreateError::Taken(id) if *id == first.association.id), "{again}");
    assert_eq!(everything(&*store).await.unwrap(), [first]);
}

async fn ten_creates_at_once_leave_one_association(kind: Kind) {
    let store = kind.store();
    let creates = (0..10).map(|number| store.create(web(&format!("role-{number}")), noon()));
    let outcomes = futures_util::future::join_all(creates).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(everything(&*store).await.unwrap().len(), 1);
}

async fn a_changed_association_keeps_its_id_and_its_birthday(kind: Kind) {
    let store = kind.store();
    let created = store.create(web("web"), noon()).await.unwrap();
    let later = noon() + Duration::from_secs(60);
    let changed =
        store.change(created.association.id.clone(), grant("api").into(), later).await.unwrap().unwrap();
    assert_eq!(changed.association.id, created.association.id);
    assert_eq!(changed.association.role_arn, grant("api").role_arn);
    assert_eq!((changed.created_at, changed.modified_at), (noon(), later));
    assert_eq!(store.find("shop", "web").await.unwrap(), Some(changed));
}

async fn a_deleted_association_makes_room_for_the_next(kind: Kind) {
    let store = kind.store();
    let created = store.create(web("web"), noon()).await.unwrap();
    let id = created.association.id.clone();
    assert_eq!(store.delete(id.clone()).await.unwrap(), Some(created));
    assert_eq!(store.delete(id.clone()).await.unwrap(), None);
    assert!(store.change(id, grant("api").into(), noon()).await.unwrap().is_none());
    assert_eq!(store.find("shop", "web").await.unwrap(), None);
    store.create(web("api"), noon()).await.unwrap();
}

async fn the_list_is_in_order_of_namespace_and_service_account(kind: Kind) {
    let store = kind.store();
    for (namespace, service_account) in [("shop", "web"), ("b", "z"), ("shop", "api"), ("a", "z")] {
        store.create(new(namespace, service_account, grant("web")), noon()).await.unwrap();
    }
    let names: Vec<_> = everything(&*store)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| format!("{}/{}", stored.association.namespace, stored.association.service_account))
        .collect();
    assert_eq!(names, ["a/z", "b/z", "shop/api", "shop/web"]);
}

async fn whoever_listens_is_told_of_each_change_once_it_is_kept_and_of_nothing_else(kind: Kind) {
    let store = kind.store();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (heard, asked) = (Arc::clone(&told), Arc::downgrade(&store));
    store.on_change(Box::new(move |id| {
        let asked = asked.upgrade().unwrap();
        let kept = everything(&*asked).now_or_never().unwrap().unwrap().len();
        heard.lock().unwrap().push(format!("{id} of {kept}"));
    }));
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    store.create(web("web"), noon()).await.unwrap_err();
    store.delete("a-00000000000000000".parse().unwrap()).await.unwrap();
    store.delete(id.clone()).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [format!("{id} of 1"), format!("{id} of 0")]);
}
