//! What the papers say of the agent is true.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent::endpoint::EndpointMetrics;
use agent::pods::{PodMetrics, Pods};
use agent::refusal::Refusal;
use agent::session::SessionMetrics;
use agent::upstream::PaceMetrics;
use agent::verification::{InProcessKeys, Verification, VerificationMetrics, VerificationPolicy};
use http::StatusCode;
use prometheus::Registry;
use runtime::{Chance, Clock, Drain};
use testkit::SigningKey;
use testkit::signing::key_set;
use tokio::time::timeout;

#[tokio::test]
async fn docs_metrics_names_exactly_the_metrics_there_are() {
    let registry = Registry::new();
    EndpointMetrics::register(&registry)
        .unwrap()
        .answered(StatusCode::NOT_FOUND, Some(&Refusal::UnknownPath));
    PaceMetrics::register(&registry).unwrap();
    let metrics = PodMetrics::register(&registry).unwrap();
    let _ = Pods::new(None, Clock::system(), Chance::seeded(0), metrics);
    let metrics = VerificationMetrics::register(&registry).unwrap();
    let keys =
        InProcessKeys::new("https://issuer.example".to_owned(), key_set([&SigningKey::ec("k1")]).into());
    let policy = VerificationPolicy::default();
    let verification =
        Verification::new(vec![Arc::new(keys)], policy, Clock::system(), Chance::seeded(0), metrics);
    let _ = timeout(Duration::from_millis(10), verification.keep_current(Drain::new().watch())).await;
    SessionMetrics::register(&registry).unwrap().renewal_failed(true, "ExpiredTokenException");
    let registered: BTreeSet<String> =
        registry.gather().iter().map(|family| family.name().to_owned()).collect();
    let page = include_str!("../../../docs/metrics.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, registered);
}

#[test]
fn docs_settings_names_exactly_the_flags_there_are() {
    let page = include_str!("../../../docs/settings.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`'))
        .filter_map(|word| word.strip_prefix("--"))
        .map(str::to_owned)
        .collect();
    let known: BTreeSet<String> = agent::command::server_flags().into_iter().collect();
    assert_eq!(documented, known);
}
