//! Sessions of pods whose tokens the node has verified: one for all of a pod's tokens, and nobody else's.

use super::*;
use crate::pods::News;

#[tokio::test(start_paused = true)]
async fn a_rotated_token_goes_on_with_the_pods_session_and_costs_no_call() {
    let room = Room::new([], Step::issue());
    assert_eq!(room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap(), key(1));
    room.upstream.script.change(Step::break_off());
    sleep(HOUR / 2).await;
    let second = room.token_lasting("web-0", HOUR);
    assert_eq!(room.ask_verified(&second).await.unwrap(), key(1), "also in an outage");
    assert_eq!(room.ask(&second).await.unwrap(), key(1), "known from now on");
    assert_eq!((room.calls(), room.sessions.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_verified_starts_a_session_of_its_own() {
    let room = Room::new([], Step::issue());
    assert_eq!(room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap(), key(1));
    let claims_the_same = room.token_lasting("web-0", HOUR * 2);
    room.upstream.script.change(Step::refuse(ErrorCode::InvalidToken));
    assert_eq!(room.ask(&claims_the_same).await.unwrap_err().code(), "InvalidTokenException");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_with_the_newest_token_of_its_pod() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap();
    sleep(HOUR / 2).await;
    let newest = room.token_lasting("web-0", HOUR * 24);
    room.ask_verified(&newest).await.unwrap();
    sleep(HOUR * 3).await;
    assert_eq!(room.upstream.script.calls()[1], newest.digest());
    assert_eq!(room.ask(&newest).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_tokens_have_ended_waits_for_the_pods_next_one() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap();
    sleep(HOUR * 4).await;
    assert_eq!(room.calls(), 1, "an ended token is not sent");
    room.upstream.script.change(Step::break_off());
    assert_eq!(room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap(), key(1));
    sleep(HOUR * 2).await;
    assert!(room.sessions.is_empty(), "until its credentials end");
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_tokens_have_ended_is_renewed_with_the_pods_next_one_at_once() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap();
    sleep(HOUR * 6 - MINUTE * 10).await;
    assert_eq!(room.calls(), 1);
    assert_eq!(room.ask_verified(&room.token_lasting("web-0", HOUR)).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn two_tokens_of_a_pod_at_once_share_one_exchange() {
    let room = Room::new([], Step::issue_after(Duration::from_millis(300)));
    let (one, other) = (room.token_lasting("web-0", HOUR), room.token_lasting("web-0", HOUR * 2));
    let (first, second) = tokio::join!(room.ask_verified(&one), room.ask_verified(&other));
    assert_eq!((first.unwrap(), second.unwrap()), (key(1), key(1)));
    for token in [&one, &other] {
        assert!(matches!(room.sessions.look_up(token.secret().expose()), Known::Answer(_)));
    }
    assert_eq!(room.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_does_not_suffer_for_the_refusal_of_another_one_of_its_pod() {
    let refuse = Step::Fail {
        after: Duration::from_millis(300),
        error: ExchangeError::Refused {
            code: ErrorCode::ExpiredToken,
            request_id: String::new(),
            message: String::new(),
        },
    };
    let room = Room::new([refuse], Step::issue());
    let (old, new) = (room.token_lasting("web-0", HOUR), room.token_lasting("web-0", HOUR * 2));
    let (first, second) = tokio::join!(room.ask_verified(&old), room.ask_verified(&new));
    assert_eq!(first.unwrap_err().code(), "ExpiredTokenException");
    assert_eq!(second.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn pods_of_one_name_are_told_apart_by_their_uids() {
    let room = Room::new([], Step::issue());
    let reborn = serde_json::json!({
        "namespace": "shop", "serviceaccount": { "name": "web", "uid": "7d5c8f0e-sa" },
        "pod": { "name": "web-0", "uid": "another-uid" }
    });
    let first = room.token_lasting("web-0", HOUR);
    let second = TokenBuilder::of_pod("web-0", room.clock.now()).claim("kubernetes.io", reborn).token();
    assert_eq!(room.ask_verified(&first).await.unwrap(), key(1));
    assert_eq!(room.ask_verified(&second).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_pod_that_is_over_is_forgotten_and_not_renewed() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    let (ended, lives) = (room.token("web-0"), room.token("web-1"));
    room.ask_verified(&ended).await.unwrap();
    room.ask_verified(&lives).await.unwrap();
    room.sessions.hear(News::Over("uid-of-web-0".to_owned()));
    assert_eq!(room.sessions.len(), 1);
    sleep(HOUR * 3).await;
    assert_eq!(room.upstream.script.calls()[2..], [lives.digest()]);
}

#[tokio::test(start_paused = true)]
async fn what_only_claims_to_be_of_a_pod_that_is_over_keeps_what_it_has_and_gets_nothing_newer() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    let token = room.token("web-0");
    room.ask(&token).await.unwrap();
    room.sessions.hear(News::Over("uid-of-web-0".to_owned()));
    sleep(HOUR * 5).await;
    assert_eq!((room.ask(&token).await.unwrap(), room.calls()), (key(1), 1));
    sleep(HOUR).await;
    assert!(room.sessions.is_empty(), "until its credentials end");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_pods_ends_sessions_of_those_that_are_not_in_it_but_not_of_younger_ones() {
    let room = Room::new([], Step::issue());
    for pod in ["lives", "gone"] {
        room.ask_verified(&room.token(pod)).await.unwrap();
    }
    sleep(HOUR).await;
    let as_of = room.clock.now();
    room.ask_verified(&room.token("younger")).await.unwrap();
    let living = ["uid-of-lives".to_owned()].into();
    room.sessions.hear(News::All { living, as_of });
    assert_eq!(room.sessions.len(), 2);
    let calls = room.calls();
    for pod in ["lives", "younger"] {
        room.ask_verified(&room.token(pod)).await.unwrap();
    }
    assert_eq!(room.calls(), calls);
}
