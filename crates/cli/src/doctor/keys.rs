//! How old the agent's signing keys are, from its page of metrics.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use identity::{from_epoch_seconds, to_rfc3339};

use super::cause::Cause;
use super::finding::Finding;
use crate::dial::{self, Answer, NoAnswer};

/// Of one kind of source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Source {
    keys: f64,
    fetched: Option<f64>,
}

/// Asks the agent whose metrics are there. `refresh`: how often it fetches keys.
pub(super) async fn look(metrics: SocketAddr, refresh: Duration, now: SystemTime) -> Vec<Finding> {
    // Bound to all addresses, it is reached at loopback.
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, metrics.port()));
    let address = if metrics.ip().is_unspecified() { loopback } else { metrics };
    let page = dial::get(address, "/metrics", None, None).await;
    judge(address.ip(), &page, refresh, now)
}

fn judge(
    address: IpAddr,
    page: &Result<Answer, NoAnswer>,
    refresh: Duration,
    now: SystemTime,
) -> Vec<Finding> {
    let body = match page {
        Ok(Answer { status: 200, body }) => body,
        _ => {
            let what = format!("the agent's metrics are not at {address}");
            return vec![Finding::note(
                Cause::MetricsUnreachable,
                what,
                "see its --metrics-address and --metrics-port",
            )];
        }
    };
    let sources = sources(body);
    // AWS's agent has no such metrics, and one that checks no tokens has no sources.
    sources.iter().map(|(name, source)| one(name, *source, refresh, now)).collect()
}

fn one(name: &str, source: Source, refresh: Duration, now: SystemTime) -> Finding {
    let remedy = match name {
        "file" => "see the file that --jwks-file names, and the agent's log",
        "issuer" => "see whether the node reaches the issuer of --issuer-url, and the agent's log",
        _ => "see the agent's log for why they are not fetched",
    };
    let fetched = source.fetched.and_then(from_epoch_seconds);
    let (Some(fetched), true) = (fetched, source.keys > 0.0) else {
        let what = format!("the agent has no signing keys of its source {name}");
        return Finding::warning(Cause::SigningKeysMissing, what, remedy);
    };
    let age = now.duration_since(fetched).unwrap_or_default();
    // One fetch may fail, two may be chance.
    if age > refresh * 3 {
        let what = format!(
            "the signing keys of source {name} came at {}, {} s ago, and are to be fetched every {} s",
            to_rfc3339(fetched),
            age.as_secs(),
            refresh.as_secs()
        );
        return Finding::warning(Cause::SigningKeysStale, what, remedy);
    }
    let what = format!("{} signing keys of source {name}, fetched {} s ago", source.keys, age.as_secs());
    Finding::ok(Cause::SigningKeys, what)
}

fn sources(page: &str) -> BTreeMap<String, Source> {
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for line in page.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (Some((metric, labels)), Ok(value)) = (series.split_once('{'), value.parse::<f64>()) else {
            continue;
        };
        let Some(source) = labels.strip_prefix("source=\"").and_then(|rest| rest.strip_suffix("\"}")) else {
            continue;
        };
        match metric {
            "pod_identity_signing_keys" => sources.entry(source.to_owned()).or_default().keys = value,
            "pod_identity_signing_keys_fetched_timestamp_seconds" => {
                sources.entry(source.to_owned()).or_default().fetched = Some(value);
            }
            _ => {}
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::doctor::finding::Severity;

    const REFRESH: Duration = Duration::from_secs(600);

    fn found(body: &str, now: u64) -> Vec<(Cause, Severity)> {
        let page = Ok(Answer { status: 200, body: body.to_owned() });
        let findings =
            judge(Ipv4Addr::LOCALHOST.into(), &page, REFRESH, UNIX_EPOCH + Duration::from_secs(now));
        findings.into_iter().map(|finding| (finding.cause, finding.severity)).collect()
    }

    #[test]
    fn keys_are_stale_when_three_fetches_are_overdue() {
        let page = "# TYPE pod_identity_signing_keys gauge\npod_identity_signing_keys{source=\"file\"} 2\n\
            pod_identity_signing_keys_fetched_timestamp_seconds{source=\"file\"} 1000\n\
            pod_identity_signing_key_refreshes_total{source=\"file\",outcome=\"ok\"} 7\npod_identity_pods 3\n";
        assert_eq!(found(page, 2_800), [(Cause::SigningKeys, Severity::Ok)]);
        assert_eq!(found(page, 2_801), [(Cause::SigningKeysStale, Severity::Warning)]);
        assert_eq!(found(page, 10), [(Cause::SigningKeys, Severity::Ok)], "a clock that was set back");
    }

    #[test]
    fn a_source_without_keys_is_named_and_no_source_is_no_fault() {
        assert_eq!(
            found("pod_identity_signing_keys{source=\"issuer\"} 0\n", 5),
            [(Cause::SigningKeysMissing, Severity::Warning)]
        );
        assert_eq!(found("go_goroutines 7\n", 5), []);
        let away = judge(Ipv4Addr::LOCALHOST.into(), &Err(NoAnswer::Refused), REFRESH, UNIX_EPOCH);
        assert_eq!((away[0].cause, away[0].severity), (Cause::MetricsUnreachable, Severity::Note));
    }
}
