use std::time::{Duration, UNIX_EPOCH};

use testkit::TokenBuilder;

use bytes::Bytes;

use super::super::Answer;
use super::session::RECENTLY;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
const NOON: SystemTime = UNIX_EPOCH;

fn token(pod: &str, lifetime: Duration) -> ServiceAccountToken {
    TokenBuilder::of_pod(pod, NOON).lasting(lifetime).token()
}

fn ready(answer: &'static str, expires: SystemTime) -> Answer {
    Answer { body: Bytes::from_static(answer.as_bytes()), expires, issued: None }
}

fn kept(answer: &'static str, lifetime: Duration) -> Kept {
    Kept { answer: ready(answer, NOON + lifetime), association: "a-8mvwvh57cu74mgcst".into(), obtained: NOON }
}

fn unverified(token: &ServiceAccountToken) -> Owner {
    Owner::Token(token.digest())
}

fn pod(name: &str) -> PodUid {
    PodUid::verified(&format!("uid-of-{name}"))
}

fn fresh(answer: &'static str) -> Found {
    Found::Fresh(ready(answer, NOON))
}

fn find<H: BuildHasher + Default>(
    store: &mut Store<H>,
    token: &ServiceAccountToken,
    now: SystemTime,
) -> Found {
    undated(store.find(token.secret().expose(), now))
}

/// When it ends is another matter than whose it is.
fn undated(found: Found) -> Found {
    match found {
        Found::Fresh(answer) => Found::Fresh(Answer { expires: NOON, ..answer }),
        found => found,
    }
}

#[test]
fn a_token_finds_its_session_while_both_are_good_and_no_other_token_does() {
    let mut store: Store = Store::new(10);
    let (mine, short, other) = (token("web-0", HOUR * 9), token("web-1", HOUR), token("web-2", HOUR));
    store.keep(&unverified(&mine), &mine, kept("mine", HOUR * 6), NOON + HOUR);
    store.keep(&unverified(&short), &short, kept("short", HOUR * 6), NOON + HOUR);
    assert_eq!(find(&mut store, &mine, NOON), fresh("mine"));
    assert_eq!(find(&mut store, &other, NOON), Found::Nothing);
    assert_eq!(
        find(&mut store, &mine, NOON + HOUR * 6 - LAST_MOMENTS),
        Found::Nothing,
        "nothing to hand out"
    );
    assert_eq!(find(&mut store, &short, NOON + HOUR), Found::Nothing, "a token that has ended opens nothing");
}

#[test]
fn a_session_is_ageing_when_sdks_would_come_back_at_once() {
    let ageing = |lifetime, now| {
        let mut store: Store = Store::new(10);
        let mine = token("web-0", HOUR * 24);
        store.keep(&unverified(&mine), &mine, kept("mine", lifetime), NOON);
        matches!(find(&mut store, &mine, NOON + now), Found::Ageing(..))
    };
    assert!(!ageing(HOUR * 6, HOUR * 6 - MINUTE * 15));
    assert!(ageing(HOUR * 6, HOUR * 6 - MINUTE * 14));
    // What never has so much left would never be fresh.
    assert!(!ageing(MINUTE * 15, MINUTE * 7));
    assert!(ageing(MINUTE * 15, MINUTE * 8));
}

#[test]
fn a_pods_tokens_find_one_session_until_each_of_them_ends() {
    let mut store: Store = Store::new(10);
    let (first, second) = (token("web-0", HOUR), token("web-0", HOUR * 2));
    let owner = Owner::Pod(pod("web-0"));
    store.keep(&owner, &first, kept("pod's", HOUR * 6), NOON + HOUR);
    assert_eq!(find(&mut store, &second, NOON), Found::Nothing, "not accepted yet");
    assert_eq!(undated(store.attach(&pod("web-0"), &second, NOON)), fresh("pod's"));
    for token in [&first, &second] {
        assert_eq!(find(&mut store, token, NOON), fresh("pod's"));
    }
    let id = store.most_urgent(NOON + HOUR).unwrap();
    assert_eq!(store.peek(id).unwrap().newest_token(), second.secret(), "the one that ends last renews");
    assert_eq!(find(&mut store, &first, NOON + HOUR), Found::Nothing);
    assert_eq!(find(&mut store, &second, NOON + HOUR), fresh("pod's"));
    assert_eq!(store.attach(&pod("web-1"), &second, NOON), Found::Nothing, "another pod");
    assert_eq!(store.len(), 1);
}

#[test]
fn an_older_token_that_comes_later_does_not_become_the_one_that_renews() {
    let mut store: Store = Store::new(10);
    let (older, newer) = (token("web-0", HOUR), token("web-0", HOUR * 2));
    store.keep(&Owner::Pod(pod("web-0")), &newer, kept("pod's", HOUR * 6), NOON);
    store.attach(&pod("web-0"), &older, NOON);
    let id = store.most_urgent(NOON).unwrap();
    assert_eq!(store.peek(id).unwrap().newest_token(), newer.secret());
    assert_eq!(find(&mut store, &older, NOON), fresh("pod's"));
}

#[test]
fn a_pod_that_shows_many_tokens_keeps_the_four_that_last() {
    let mut store: Store = Store::new(10);
    let tokens: Vec<_> = (1..=9).map(|hours| token("web-0", HOUR * hours)).collect();
    store.keep(&Owner::Pod(pod("web-0")), &tokens[0], kept("pod's", HOUR * 24), NOON);
    for token in &tokens {
        store.attach(&pod("web-0"), token, NOON);
    }
    let found = tokens.iter().map(|token| find(&mut store, token, NOON) != Found::Nothing);
    assert_eq!(found.collect::<Vec<_>>(), [false, false, false, false, false, true, true, true, true]);
    assert_eq!(store.tokens.len(), 4);
}

#[test]
fn an_unverified_token_never_reaches_a_pods_session_even_if_it_names_the_pod() {
    let mut store: Store = Store::new(10);
    let (real, forged) = (token("web-0", HOUR), token("web-0", HOUR * 3));
    store.keep(&Owner::Pod(pod("web-0")), &real, kept("pod's", HOUR * 6), NOON);
    assert_eq!(find(&mut store, &forged, NOON), Found::Nothing);
    store.keep(&unverified(&forged), &forged, kept("forger's own", HOUR * 6), NOON);
    assert_eq!(find(&mut store, &forged, NOON), fresh("forger's own"));
    assert_eq!(find(&mut store, &real, NOON), fresh("pod's"));
    assert_eq!(store.len(), 2);
}

#[test]
fn the_least_recently_used_session_makes_room_and_leaves_nothing_behind() {
    let mut store: Store = Store::new(2);
    let tokens = ["web-0", "web-1", "web-2"].map(|pod| token(pod, HOUR));
    for (name, token) in ["web-0", "web-1"].into_iter().zip(&tokens) {
        store.keep(&Owner::Pod(pod(name)), token, kept("kept", HOUR), NOON);
    }
    // Uses within a minute are not told apart.
    find(&mut store, &tokens[0], NOON + RECENTLY);
    let stored = store.keep(&Owner::Pod(pod("web-2")), &tokens[2], kept("kept", HOUR), NOON);
    assert!(stored.evicted);
    assert_eq!(find(&mut store, &tokens[1], NOON), Found::Nothing);
    assert_eq!((store.len(), store.tokens.len(), store.pods.len(), store.later.len()), (2, 2, 2, 2));
    assert_eq!(store.remove_of("a-8mvwvh57cu74mgcst"), 2);
    assert_eq!((store.len(), store.tokens.len(), store.pods.len(), store.later.len()), (0, 0, 0, 0));
}

#[test]
fn of_those_that_are_due_the_one_that_expires_first_is_most_urgent() {
    let mut store: Store = Store::new(10);
    let tokens = [3, 1, 2].map(|hours| token(&format!("web-{hours}"), HOUR * 9));
    for (token, hours) in tokens.iter().zip([3, 1, 2]) {
        // The later it expires, the earlier it is due.
        let due = NOON + HOUR - MINUTE * hours;
        store.keep(&unverified(token), token, kept("kept", HOUR * hours), due);
    }
    assert_eq!(store.most_urgent(NOON), None);
    assert_eq!(store.next_due(), Some(NOON + HOUR - MINUTE * 3));
    let order: Vec<_> = std::iter::from_fn(|| {
        let id = store.most_urgent(NOON + HOUR)?;
        let expires = store.peek(id).unwrap().expires();
        store.remove(id);
        Some(expires)
    })
    .collect();
    assert_eq!(order, [NOON + HOUR, NOON + HOUR * 2, NOON + HOUR * 3]);
}

#[test]
fn a_renewed_session_is_no_longer_due() {
    let mut store: Store = Store::new(10);
    let mine = token("web-0", HOUR * 9);
    store.keep(&unverified(&mine), &mine, kept("old", HOUR), NOON);
    assert!(store.most_urgent(NOON).is_some());
    store.keep(&unverified(&mine), &mine, kept("new", HOUR * 2), NOON + HOUR);
    assert_eq!(store.most_urgent(NOON), None);
    assert_eq!((store.due.len(), store.later.len(), store.len()), (0, 1, 1));
    assert_eq!(find(&mut store, &mine, NOON), fresh("new"));
}

/// Every token has the same fingerprint.
#[derive(Default)]
struct Alike;

impl std::hash::Hasher for Alike {
    fn finish(&self) -> u64 {
        7
    }

    fn write(&mut self, _: &[u8]) {}
}

#[test]
fn tokens_with_one_fingerprint_push_each_other_out_and_never_get_each_others_answer() {
    let mut store: Store<std::hash::BuildHasherDefault<Alike>> = Store::new(10);
    let (mine, theirs) = (token("web-0", HOUR), token("web-1", HOUR));
    store.keep(&unverified(&mine), &mine, kept("my answer", HOUR), NOON);
    assert_eq!(find(&mut store, &mine, NOON), fresh("my answer"));
    assert_eq!(find(&mut store, &theirs, NOON), Found::Nothing);
    store.keep(&unverified(&theirs), &theirs, kept("their answer", HOUR), NOON);
    assert_eq!(find(&mut store, &mine, NOON), Found::Nothing);
    assert_eq!(find(&mut store, &theirs, NOON), fresh("their answer"));
    assert_eq!(store.len(), 1, "what can no longer be found is not kept");
}

#[test]
fn a_pod_whose_token_was_pushed_out_is_found_again_by_its_uid() {
    let mut store: Store<std::hash::BuildHasherDefault<Alike>> = Store::new(10);
    let (mine, theirs) = (token("web-0", HOUR), token("web-1", HOUR));
    store.keep(&Owner::Pod(pod("web-0")), &mine, kept("my answer", HOUR), NOON);
    store.keep(&unverified(&theirs), &theirs, kept("their answer", HOUR), NOON);
    assert_eq!(find(&mut store, &mine, NOON), Found::Nothing);
    assert_eq!(undated(store.attach(&pod("web-0"), &mine, NOON)), fresh("my answer"));
    assert_eq!(find(&mut store, &mine, NOON), fresh("my answer"));
}
