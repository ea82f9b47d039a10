//! What pods notice while EKS Auth fails, throttles, or comes back.

use super::*;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_pod_is_held_through_a_short_outage_and_gets_its_credentials() {
    let steps = [Step::break_off(), Step::break_off(), Step::refuse(ErrorCode::InternalServer)];
    let room = Room::with(TRYING, Script::new(steps, Step::issue()));
    let began = Instant::now();
    assert_eq!(room.ask(&room.token("web-0")).await.unwrap(), key(4));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_held_until_its_time_is_over_and_then_told_what_the_upstream_said() {
    let room = Room::with(TRYING, Script::new([], Step::break_off()));
    let began = Instant::now();
    let refusal = room.ask(&room.token("web-0")).await.unwrap_err();
    assert_eq!((refusal.status(), refusal.code()), (503, "UpstreamUnreachable"));
    let held = began.elapsed();
    assert!(held > HOLD - Duration::from_millis(1_100) && held <= HOLD, "{held:?}");
    assert!((7..=15).contains(&room.calls()), "{} attempts", room.calls());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_after_an_error_leaves_the_pod_with_the_error() {
    let room = Room::with(TRYING, Script::new([Step::refuse(ErrorCode::ServiceUnavailable)], Step::Hang));
    let refusal = room.ask(&room.token("web-0")).await.unwrap_err();
    assert_eq!((refusal.status(), refusal.code()), (503, "ServiceUnavailableException"));
}

#[tokio::test(start_paused = true)]
async fn what_only_a_person_can_mend_is_not_tried_twice() {
    for code in [ErrorCode::AccessDenied, ErrorCode::ResourceNotFound, ErrorCode::InvalidParameter] {
        let room = Room::with(TRYING, Script::new([], Step::refuse(code)));
        let began = Instant::now();
        assert_eq!(room.ask(&room.token("web-0")).await.unwrap_err().code(), code.as_str());
        assert_eq!((room.calls(), began.elapsed()), (1, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_asks_with_one_token_are_one_call_whether_it_succeeds_fails_or_nobody_waits_for_it() {
    let refused = Step::refuse(ErrorCode::AccessDenied);
    for (step, good) in [(Step::issue_after(Duration::from_millis(400)), true), (refused, false)] {
        let room = Room::with(TRYING, Script::new([], step));
        let token = room.token("web-0");
        let answers = join_all((0..500).map(|_| room.ask(&token))).await;
        assert!(answers.iter().all(|answer| answer.is_ok() == good));
        assert_eq!(room.calls(), 1);
    }
    let room = Room::with(TRYING, Script::new([], Step::issue_after(Duration::from_millis(400))));
    let token = room.token("web-0");
    let impatient = || tokio::time::timeout(Duration::from_millis(100), room.ask(&token));
    assert!(join_all((0..500).map(|_| impatient())).await.iter().all(Result::is_err));
    sleep(Duration::from_millis(400)).await;
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    assert_eq!(room.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn credentials_near_their_end_are_renewed_while_the_pod_waits() {
    let room = Room::new([], Step::issue());
    let token = room.token("web-0");
    room.ask(&token).await.unwrap();
    // Nothing renews in the background here.
    sleep(HOUR * 6 - MINUTE * 14).await;
    assert_eq!(room.ask(&token).await.unwrap(), key(2), "a quarter of an hour and more is left again");
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
    assert_eq!(room.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_near_their_end_are_handed_out_when_newer_ones_are_slow_or_not_to_be_had() {
    for step in
        [Step::issue_after(MINUTE), Step::Hang, Step::break_off(), Step::refuse(ErrorCode::Throttling)]
    {
        let room = Room::with(TRYING, Script::new([Step::issue()], step.clone()));
        let token = room.token("web-0");
        room.ask(&token).await.unwrap();
        sleep(HOUR * 6 - MINUTE * 14).await;
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(room.ask(&token).await.unwrap(), key(1), "{step:?}");
            assert!(began.elapsed() <= WORTH_A_WAIT, "{step:?}: {:?}", began.elapsed());
        }
        assert_eq!(room.calls(), 2, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_does_not_make_each_request_wait() {
    let room = Room::new([Step::issue()], Step::break_off());
    let token = room.token("web-0");
    room.ask(&token).await.unwrap();
    sleep(HOUR * 6 - MINUTE * 14).await;
    for _ in 0..1_000 {
        room.ask(&token).await.unwrap();
    }
    assert_eq!(room.calls(), 2, "one try, and the next after a pause");
    sleep(Duration::from_secs(16)).await;
    room.ask(&token).await.unwrap();
    assert_eq!(room.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn short_lived_credentials_are_renewed_at_their_half_and_asked_for_without_a_hot_loop() {
    for minutes in [15, 59, 60] {
        let lifetime = MINUTE * minutes;
        let room = Room::new([], Step::Issue { after: Duration::ZERO, lifetime });
        room.keep_fresh();
        let token = room.token("web-0");
        // As botocore does below a quarter of an hour: on every call.
        for _ in 0..(6 * 60 * 6) {
            room.ask(&token).await.unwrap();
            sleep(Duration::from_secs(10)).await;
        }
        let least = usize::try_from(6 * 60 / minutes).unwrap();
        let calls = room.calls();
        assert!((least..=least * 3).contains(&calls), "{minutes} min: {calls} calls in six hours");
    }
}

#[tokio::test(start_paused = true)]
async fn two_thousand_sessions_that_are_due_at_once_are_renewed_at_the_stated_rate_and_none_expires() {
    let policy = Policy { retention: HOUR, ..POLICY };
    let room = Room::with(policy, Script::new([], Step::issue_after(Duration::from_millis(50))));
    let tokens: Vec<_> = (0..2_000).map(|number| room.token(&format!("web-{number}"))).collect();
    for some in tokens.chunks(500) {
        join_all(some.iter().map(|token| room.ask(token)))
            .await
            .into_iter()
            .for_each(|asked| drop(asked.unwrap()));
    }
    sleep(HOUR).await;
    let began = Instant::now();
    room.keep_fresh();
    while room.calls() < 4_000 {
        sleep(Duration::from_secs(1)).await;
    }
    let took = began.elapsed().as_secs_f64();
    let wanted = 2_000.0 / 3.0;
    assert!((took / wanted - 1.0).abs() <= 0.1, "{took} s, {wanted} s were wanted");
    let mut renewed = room.upstream.script.calls().split_off(2_000);
    renewed.sort();
    renewed.dedup();
    assert_eq!(renewed.len(), 2_000, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_five_hundred_pods_at_an_account_of_twenty_calls_a_second_serves_them_all() {
    let policy = Policy { hold: MINUTE, ..TRYING };
    let room = Room::with(policy, Script::throttling(20));
    let tokens: Vec<_> = (0..500).map(|number| room.token(&format!("web-{number}"))).collect();
    let began = Instant::now();
    let answers = join_all(tokens.iter().map(|token| room.ask(token))).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(refused.is_empty(), "{} are refused: {:?}", refused.len(), refused[0]);
    let took = began.elapsed().as_secs_f64();
    assert!(took <= 500.0 / 20.0 * 1.1, "{took} s");
    assert!(room.calls() <= 1_400, "{} calls for 500 exchanges", room.calls());
}

#[tokio::test(start_paused = true)]
async fn pods_that_come_back_find_their_place_in_the_queue_kept() {
    let room = Room::with(TRYING, Script::throttling(20));
    let tokens: Vec<_> = (0..500).map(|number| room.token(&format!("web-{number}"))).collect();
    // Each held for six seconds, coming back a second later as SDKs do after a 503.
    let patient = |token| {
        let room = &room;
        async move {
            loop {
                match room.ask(token).await {
                    Ok(_) => return,
                    Err(refusal) => assert_eq!(refusal.status(), 503),
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let began = Instant::now();
    join_all(tokens.iter().map(patient)).await;
    assert!(began.elapsed() <= Duration::from_secs(29), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pods_go_before_renewals_while_the_account_is_throttled() {
    let policy = Policy { retention: HOUR, renewals_per_second: 100, hold: MINUTE, ..TRYING };
    let room = Room::with(policy, Script::new([], Step::issue()));
    let old: Vec<_> = (0..200).map(|number| room.token(&format!("old-{number}"))).collect();
    join_all(old.iter().map(|token| room.ask(token))).await;
    sleep(HOUR).await;
    room.upstream.script.throttle(20);
    room.keep_fresh();
    sleep(Duration::from_secs(2)).await;
    let new: Vec<_> = (0..100).map(|number| room.token(&format!("new-{number}"))).collect();
    let began = Instant::now();
    let answers = join_all(new.iter().map(|token| room.ask(token))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn pauses_after_failed_renewals_grow_and_end_with_the_credentials() {
    let now = UNIX_EPOCH;
    let pause = |failures, left: Duration, chance| {
        renewal::retry_at(now, failures, now + left, chance).duration_since(now).unwrap()
    };
    let seconds = Duration::from_secs;
    for (failures, wanted) in [(0, 15), (1, 30), (2, 60), (3, 120), (4, 120), (40, 120)] {
        assert_eq!(pause(failures, HOUR * 6, 0), seconds(wanted));
        assert_eq!(pause(failures, HOUR * 6, u32::MAX), seconds(wanted) / 2);
    }
    assert_eq!(pause(9, seconds(15 + 200), 0), seconds(50), "a quarter of what is left");
    assert_eq!(pause(9, seconds(15 + 8), 0), seconds(5));
    assert_eq!(pause(9, seconds(15 + 3), 0), seconds(3), "the last moment, to be forgotten");
}
