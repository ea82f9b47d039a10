//! Requests that come twice.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

passed_by_every_store![
    a_create_that_is_repeated_under_its_name_gets_its_first_answer,
    a_create_is_done_anew_when_what_it_made_is_gone,
    a_change_that_is_repeated_under_its_name_is_done_once,
    names_of_requests_are_forgotten_after_a_day,
];

async fn a_create_that_is_repeated_under_its_name_gets_its_first_answer(kind: Kind) {
    let store = kind.store();
    let first = store.create(named("one", "web"), noon()).await.unwrap();
    let later = noon() + Duration::from_secs(60);
    store.change(first.association.id.clone(), grant("api").into(), later).await.unwrap();
    assert_eq!(store.create(named("one", "web"), later).await.unwrap(), first);
    assert!(matches!(store.create(named("one", "other"), later).await, Err(CreateError::TokenReused(_))));
    assert!(matches!(store.create(named("two", "web"), later).await, Err(CreateError::Taken(_))));
    assert_eq!(everything(&*store).await.unwrap().len(), 1);
}

async fn a_create_is_done_anew_when_what_it_made_is_gone(kind: Kind) {
    let store = kind.store();
    let first = store.create(named("one", "web"), noon()).await.unwrap();
    store.delete(first.association.id.clone()).await.unwrap();
    let second = store.create(named("one", "web"), noon()).await.unwrap();
    assert_ne!(second.association.id, first.association.id);
    assert_eq!(store.find("shop", "web").await.unwrap(), Some(second));
}

async fn a_change_that_is_repeated_under_its_name_is_done_once(kind: Kind) {
    let store = kind.store();
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    let change = |role: &str| Change { request_token: Some("one".to_owned()), ..grant(role).into() };
    let later = noon() + Duration::from_secs(60);
    let first = store.change(id.clone(), change("api"), noon()).await.unwrap();
    store.change(id.clone(), grant("other").into(), later).await.unwrap();
    assert_eq!(store.change(id.clone(), change("api"), later).await.unwrap(), first);
    assert_eq!(store.get(&id).await.unwrap().unwrap().association.role_arn, grant("other").role_arn);
    assert!(matches!(store.change(id, change("web"), later).await, Err(ChangeError::TokenReused(_))));
}

async fn names_of_requests_are_forgotten_after_a_day(kind: Kind) {
    let store = kind.store();
    let id = store.create(named("one", "web"), noon()).await.unwrap().association.id;
    let change = |role: &str| Change { request_token: Some("one".to_owned()), ..grant(role).into() };
    let (last_moment, next_day) = (noon() + DAY, noon() + DAY + Duration::from_secs(1));
    let refused = store.change(id.clone(), change("api"), last_moment).await.unwrap_err();
    assert!(matches!(refused, ChangeError::TokenReused(_)), "{refused}");
    // Another request under the same name is nobody's repetition by now.
    let changed = store.change(id.clone(), change("api"), next_day).await.unwrap().unwrap();
    assert_eq!(changed.association.role_arn, grant("api").role_arn);
    // And is remembered itself, for a day of its own.
    let later = next_day + Duration::from_secs(60);
    assert_eq!(store.change(id, change("api"), later).await.unwrap(), Some(changed));
}
