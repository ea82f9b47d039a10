use futures_util::FutureExt;

use super::*;

fn pace() -> (Pace, PaceMetrics) {
    let metrics = PaceMetrics::register(&Registry::new()).unwrap();
    (Pace::new(Chance::seeded(0), metrics.clone()), metrics)
}

async fn turns(pace: &Pace, count: usize) -> Turn {
    let mut last = None;
    for _ in 0..count {
        last = Some(pace.turn(Urgency::Foreground).await);
    }
    last.unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_while_nothing_is_throttled() {
    let (pace, metrics) = pace();
    let began = Instant::now();
    turns(&pace, 10_000).await;
    pace.turn(Urgency::Background).await;
    pace.not_throttled();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(metrics.limit.get().is_infinite());
}

#[tokio::test(start_paused = true)]
async fn the_first_throttling_halves_what_was_called_in_the_last_second() {
    let (pace, metrics) = pace();
    let turn = turns(&pace, 100).await;
    pace.throttled(turn);
    assert!((metrics.limit.get() - 50.0).abs() < 0.1);
    let began = Instant::now();
    turns(&pace, 50).await;
    let took = began.elapsed().as_secs_f64();
    assert!((0.8..=1.1).contains(&took), "{took} s for 50 calls");
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_under_way_when_it_was_halved_do_not_halve_it_again() {
    let (pace, metrics) = pace();
    let turn = turns(&pace, 100).await;
    tokio::time::advance(Duration::from_millis(50)).await;
    (0..100).for_each(|_| pace.throttled(turn));
    assert!((metrics.limit.get() - 50.0).abs() < 0.1, "{}", metrics.limit.get());
    let next = pace.turn(Urgency::Foreground).await;
    pace.throttled(next);
    assert!((metrics.limit.get() - 25.0).abs() < 0.5, "{}", metrics.limit.get());
}

#[tokio::test(start_paused = true)]
async fn the_pace_grows_back_by_the_same_amount_each_second_and_is_free_in_the_end() {
    let (pace, metrics) = pace();
    let turn = turns(&pace, 80).await;
    pace.throttled(turn);
    for seconds in 1..=4 {
        tokio::time::advance(Duration::from_secs(1)).await;
        pace.not_throttled();
        let wanted = 40.0 + 10.0 * f64::from(seconds);
        assert!((metrics.limit.get() - wanted).abs() < 0.1, "{} after {seconds} s", metrics.limit.get());
    }
    tokio::time::advance(Duration::from_secs(100)).await;
    pace.not_throttled();
    assert!(metrics.limit.get().is_infinite());
}

#[tokio::test(start_paused = true)]
async fn the_pace_never_stops_altogether() {
    let (pace, metrics) = pace();
    for _ in 0..20 {
        let turn = pace.turn(Urgency::Foreground).await;
        pace.throttled(turn);
    }
    assert!(metrics.limit.get() >= SLOWEST);
    let began = Instant::now();
    turns(&pace, 1).await;
    assert!(began.elapsed() <= Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_on_a_pods_behalf_goes_before_renewals_but_not_for_ever() {
    let (pace, _) = pace();
    let turn = turns(&pace, 20).await;
    pace.throttled(turn);
    let order = Mutex::new(Vec::new());
    let renewal = async {
        pace.turn(Urgency::Background).await;
        order.lock().unwrap().push("renewal");
    };
    let pods = (0..40).map(|_| async {
        pace.turn(Urgency::Foreground).await;
        order.lock().unwrap().push("pod");
    });
    tokio::join!(futures_util::future::join_all(pods), renewal);
    let at = order.lock().unwrap().iter().position(|who| *who == "renewal").unwrap();
    assert!((8..=40).contains(&at), "the renewal came after {at} pods");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_holds_nobody_up() {
    let (pace, _) = pace();
    let turn = turns(&pace, 2).await;
    pace.throttled(turn);
    for _ in 0..100 {
        assert!(pace.turn(Urgency::Foreground).now_or_never().is_none());
    }
    assert_eq!(pace.foreground.load(Ordering::Relaxed), 0);
    let began = Instant::now();
    turns(&pace, 1).await;
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}
