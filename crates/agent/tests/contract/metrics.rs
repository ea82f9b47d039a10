//! What operators can see: how fast, from where, with how much life left, and never a series for each pod.

use std::time::Duration;

use testkit::TokenBuilder;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::process::AgentProcess;

use super::BINARY;

/// The value of a sample.
fn sample(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// The names of all series.
fn series(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name)
        .collect()
}

#[tokio::test]
async fn answers_are_timed_by_where_they_come_from_and_their_remaining_life_is_seen() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::from_millis(60))).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    assert_eq!(sample(&agent.scrape().await, "pod_identity_earliest_expiry_seconds"), None);
    let token = TokenBuilder::made_now("web-0");
    for _ in 0..5 {
        assert_eq!(agent.ask(&token).await.status, 200);
    }
    assert_eq!(agent.ask("nonsense").await.status, 400);
    let page = agent.scrape().await;
    let count = |outcome: &str| {
        sample(&page, &format!("pod_identity_request_duration_seconds_count{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!((count("exchange"), count("session"), count("refused")), (Some(1.0), Some(4.0), Some(1.0)));
    let within = |seconds: &str| {
        let bucket =
            format!("pod_identity_request_duration_seconds_bucket{{outcome=\"exchange\",le=\"{seconds}\"}}");
        sample(&page, &bucket)
    };
    assert_eq!((within("0.05"), within("7.5")), (Some(0.0), Some(1.0)), "the exchange takes 60 ms");
    for (series, value) in [
        ("pod_identity_issued_credentials_remaining_seconds_count", 5.0),
        ("pod_identity_issued_credentials_remaining_seconds_bucket{le=\"10800\"}", 0.0),
        ("pod_identity_issued_credentials_remaining_seconds_bucket{le=\"21600\"}", 5.0),
        ("pod_identity_sessions{state=\"fresh\"}", 1.0),
        ("pod_identity_sessions{state=\"failing\"}", 0.0),
        ("pod_identity_upstream_calls_total{outcome=\"Ok\"}", 1.0),
        ("pod_identity_upstream_duration_seconds_count{outcome=\"ok\"}", 1.0),
        ("pod_identity_requests_waiting", 0.0),
        ("pod_identity_exchanges_in_flight", 0.0),
    ] {
        assert_eq!(sample(&page, series), Some(value), "{series}\n{page}");
    }
    let first_end = sample(&page, "pod_identity_earliest_expiry_seconds").unwrap();
    assert!((21_500.0..=21_600.0).contains(&first_end), "{first_end}");
    let listener = format!("pod_identity_listener_up{{address=\"{}\"}}", agent.endpoint);
    assert_eq!(sample(&page, &listener), Some(1.0));
    assert!(sample(&page, "process_resident_memory_bytes").unwrap() > 1e6);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn what_waits_is_seen_while_it_waits() {
    let upstream = EksAuthServer::start([], Reply::Silence).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--hold-timeout", "5s"]).await;
    let token = TokenBuilder::made_now("web-0");
    let asking = async {
        tokio::join!(agent.ask(&token), agent.ask(&token), agent.ask(&token));
    };
    let seen = async {
        loop {
            let page = agent.scrape().await;
            let waiting = sample(&page, "pod_identity_requests_waiting");
            if (waiting, sample(&page, "pod_identity_exchanges_in_flight")) == (Some(3.0), Some(1.0)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = asking => panic!("three requests for one exchange are never seen to wait: {}", agent.scrape().await),
        () = seen => {}
    }
}

#[tokio::test]
async fn a_thousand_pods_add_no_series_and_ten_thousand_answers_few_lines() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let no_bounds = [
        "--source-exchange-rate",
        "1000000",
        "--exchange-rate",
        "1000000",
        "--source-request-rate",
        "1000000",
    ];
    let agent = AgentProcess::before(&upstream, BINARY, &no_bounds).await;
    let first = TokenBuilder::made_now("web-0");
    for _ in 0..2 {
        assert_eq!(agent.ask(&first).await.status, 200);
    }
    let before = agent.scrape().await;
    for number in 1..1_000 {
        assert_eq!(agent.ask(&TokenBuilder::made_now(&format!("web-{number}"))).await.status, 200);
    }
    let mut connection = testkit::wire::Connection::open(agent.endpoint).await;
    for _ in 0..10_000 {
        connection.send(testkit::wire::credentials_request(agent.endpoint, &first).as_bytes()).await;
        assert_eq!(connection.answer().await.status, 200);
    }
    let after = agent.scrape().await;
    assert_eq!(series(&before), series(&after));
    assert!(series(&after).len() < 200, "{}", series(&after).len());
    assert_eq!(sample(&after, "pod_identity_sessions{state=\"fresh\"}"), Some(1_000.0));
    assert!(agent.log().lines().count() < 20, "{}", agent.log());
}
