//! What is kept of an association besides its role.

use super::*;

passed_by_every_store![
    a_change_leaves_alone_what_it_does_not_name,
    a_policy_and_session_tags_never_meet,
    tags_are_added_replaced_and_taken_away_up_to_their_limit,
    a_full_cluster_takes_no_more_until_one_is_deleted,
];

async fn a_change_leaves_alone_what_it_does_not_name(kind: Kind) {
    let store = kind.store();
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

async fn a_policy_and_session_tags_never_meet(kind: Kind) {
    let store = kind.store();
    let both = Grant { policy: Some("{}".to_owned()), ..grant("web") };
    let refused = store.create(new("shop", "web", both.clone()), noon()).await.unwrap_err();
    assert!(matches!(refused, CreateError::Policy(PolicyWithTags)), "{refused}");
    let quiet = Grant { disable_session_tags: true, ..both };
    let created = store.create(new("shop", "web", quiet), noon()).await.unwrap();
    let loud = Change { disable_session_tags: Some(false), ..Change::default() };
    let refused = store.change(created.association.id.clone(), loud, noon()).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Policy(PolicyWithTags)), "{refused}");
    assert_eq!(store.get(&created.association.id).await.unwrap(), Some(created));
}

async fn tags_are_added_replaced_and_taken_away_up_to_their_limit(kind: Kind) {
    let store = kind.store();
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

async fn a_full_cluster_takes_no_more_until_one_is_deleted(kind: Kind) {
    let store = kind.limited(1);
    let first = store.create(web("web"), noon()).await.unwrap();
    let second = || store.create(new("shop", "api", grant("api")), noon());
    let refused = second().await.unwrap_err();
    assert!(matches!(refused, CreateError::Full { limit: 1 }), "{refused}");
    // Who exists already is told so, full or not.
    assert!(matches!(store.create(web("web"), noon()).await, Err(CreateError::Taken(_))));
    store.delete(first.association.id).await.unwrap();
    second().await.unwrap();
}
