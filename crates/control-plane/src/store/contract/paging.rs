//! The list, page by page.

use super::*;

passed_by_every_store![
    pages_follow_each_other_and_the_last_one_says_so,
    what_changes_between_two_pages_neither_repeats_nor_hides_anything_else,
    filters_match_whole_names_on_every_page,
    a_position_before_or_behind_the_filtered_namespace_is_no_way_around_it,
];

async fn store_of(kind: &Kind, names: &[(&str, &str)]) -> Arc<dyn AssociationStore> {
    let store = kind.store();
    for (namespace, service_account) in names {
        store.create(new(namespace, service_account, grant("web")), noon()).await.unwrap();
    }
    store
}

fn names(page: &Page) -> Vec<String> {
    let name =
        |stored: &Stored| format!("{}/{}", stored.association.namespace, stored.association.service_account);
    page.associations.iter().map(name).collect()
}

fn only(namespace: Option<&str>, service_account: Option<&str>) -> Filter {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    Filter { namespace: owned(namespace), service_account: owned(service_account) }
}

async fn pages_follow_each_other_and_the_last_one_says_so(kind: Kind) {
    let store = store_of(&kind, &[("b", "y"), ("a", "z"), ("b", "x"), ("c", "a")]).await;
    let everything = Filter::default();
    let first = store.page(&everything, None, 2).await.unwrap();
    assert_eq!(names(&first), ["a/z", "b/x"]);
    let second = store.page(&everything, first.next.as_ref(), 2).await.unwrap();
    assert_eq!((names(&second), second.next), (vec!["b/y".to_owned(), "c/a".to_owned()], None));
    assert_eq!(store.page(&everything, None, 4).await.unwrap().next, None);
}

async fn what_changes_between_two_pages_neither_repeats_nor_hides_anything_else(kind: Kind) {
    let store = store_of(&kind, &[("a", "a"), ("b", "b"), ("c", "c"), ("d", "d")]).await;
    let first = store.page(&Filter::default(), None, 2).await.unwrap();
    assert_eq!(names(&first), ["a/a", "b/b"]);
    for stored in &first.associations {
        store.delete(stored.association.id.clone()).await.unwrap();
    }
    store.create(new("a", "new", grant("web")), noon()).await.unwrap();
    let second = store.page(&Filter::default(), first.next.as_ref(), 2).await.unwrap();
    assert_eq!(names(&second), ["c/c", "d/d"]);
}

async fn filters_match_whole_names_on_every_page(kind: Kind) {
    let store =
        store_of(&kind, &[("a", "web"), ("ab", "web"), ("b", "api"), ("b", "web"), ("bb", "web")]).await;
    for (filter, wanted) in [
        (only(Some("b"), None), vec!["b/api", "b/web"]),
        (only(None, Some("web")), vec!["a/web", "ab/web", "b/web", "bb/web"]),
        (only(Some("b"), Some("web")), vec!["b/web"]),
        (only(Some("b"), Some("we")), vec![]),
        (only(Some("*"), None), vec![]),
    ] {
        let (mut got, mut after) = (Vec::new(), None);
        loop {
            let page = store.page(&filter, after.as_ref(), 1).await.unwrap();
            got.extend(names(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(got, wanted, "{filter:?}");
    }
}

async fn a_position_before_or_behind_the_filtered_namespace_is_no_way_around_it(kind: Kind) {
    let store = store_of(&kind, &[("a", "x"), ("b", "x"), ("c", "x")]).await;
    for (after, wanted) in [("a", vec!["b/x"]), ("c", vec![])] {
        let after = (after.to_owned(), "x".to_owned());
        assert_eq!(names(&store.page(&only(Some("b"), None), Some(&after), 5).await.unwrap()), wanted);
    }
}
