//! Many callers at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

passed_by_every_store![
    who_creates_an_association_has_it_alone_until_it_is_deleted,
    changes_at_once_are_all_made_one_after_the_other,
    one_named_request_sent_ten_times_at_once_is_done_once,
];

const CALLERS: usize = 4;

/// Calls from threads of their own, so that no store is spared by calls that never meet.
fn at_once(call: impl AsyncFn(usize) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..CALLERS {
            let call = &call;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(call(number));
            });
        }
    });
}

async fn who_creates_an_association_has_it_alone_until_it_is_deleted(kind: Kind) {
    let store = kind.store();
    let (held, had) = (AtomicBool::new(false), AtomicUsize::new(0));
    at_once(async |caller| {
        for _ in 0..40 {
            let Ok(created) = store.create(web(&format!("role-{caller}")), noon()).await else { continue };
            assert!(!held.swap(true, Ordering::SeqCst), "two have it");
            had.fetch_add(1, Ordering::SeqCst);
            let id = created.association.id.clone();
            assert_eq!(store.find("shop", "web").await.unwrap().as_ref(), Some(&created));
            assert_eq!(store.get(&id).await.unwrap().as_ref(), Some(&created));
            held.store(false, Ordering::SeqCst);
            assert_eq!(store.delete(id.clone()).await.unwrap(), Some(created));
            assert_eq!(store.get(&id).await.unwrap(), None);
        }
    });
    assert!(had.into_inner() > 0);
    assert_eq!(everything(&*store).await.unwrap(), []);
}

async fn changes_at_once_are_all_made_one_after_the_other(kind: Kind) {
    let store = kind.store();
    let id = store.create(web("web"), noon()).await.unwrap().association.id;
    at_once(async |caller| {
        for number in 0..10 {
            let key = format!("{caller}-{number}");
            store.tag(id.clone(), tags(&[(key.as_str(), "")])).await.unwrap().unwrap();
        }
    });
    assert_eq!(store.get(&id).await.unwrap().unwrap().tags.len(), 10 * CALLERS);
}

async fn one_named_request_sent_ten_times_at_once_is_done_once(kind: Kind) {
    let store = kind.store();
    let sends = (0..10).map(|_| store.create(named("one", "web"), noon()));
    let answers = futures_util::future::join_all(sends).await;
    let stored = everything(&*store).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == &stored[0]), "{answers:?}");
}
