//! What the papers say of the agent is true.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use testkit::authority::Authority;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::issuer_server::service_account_directory;
use testkit::pod_watch_server::PodWatchServer;
use testkit::process::{AgentProcess, SOON, Start};
use testkit::signing::key_set;
use testkit::{SigningKey, TokenBuilder, rights};
use tokio::time::timeout;

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

#[expect(clippy::disallowed_methods, reason = "the real agent lives by the real clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The page of metrics of a real agent that everything has happened to once.
async fn page_of_metrics() -> String {
    let (key, folder) = (SigningKey::ec("k1"), tempfile::tempdir().unwrap());
    let (keys, audit) = (folder.path().join("keys.json"), folder.path().join("audit.log"));
    std::fs::write(&keys, key_set([&key])).unwrap();
    let authority = Authority::new();
    let (api_server, files) =
        (PodWatchServer::start(&authority).await, service_account_directory(&authority));
    let port = api_server.address().port().to_string();
    // The first exchange lives for a quarter of an hour, less than which is renewed; and that fails.
    let upstream = EksAuthServer::start(
        [Reply::Issue(Duration::ZERO)],
        Reply::error(500, "InternalServerException", "no"),
    )
    .await;
    let url = upstream.url();
    let agent = AgentProcess::start(Start {
        binary: BINARY,
        upstream: Some(&url),
        arguments: &[
            "--jwks-file",
            keys.to_str().unwrap(),
            "--jwks-issuer",
            ISSUER,
            "--audit-log",
            audit.to_str().unwrap(),
            "--service-account-directory",
            files.path().to_str().unwrap(),
            "--max-credential-retention-before-renewal",
            "1s",
            "--upstream-attempts",
            "1",
        ],
        environment: HashMap::from([
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", port.as_str()),
            ("NODE_NAME", "node-1"),
        ]),
    })
    .await;
    agent.logged("tokens are checked on this node").await;
    let token = key.sign(&TokenBuilder::of_pod("web-0", now()).claim("iss", ISSUER.into()));
    assert_eq!(agent.ask(&token).await.status, 200);
    assert_eq!(agent.ask("nonsense").await.status, 400);
    let everything = async {
        while !agent.scrape().await.contains("pod_identity_cache_errors{") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, everything).await.unwrap();
    agent.scrape().await
}

#[tokio::test]
async fn docs_metrics_names_exactly_the_metrics_there_are() {
    let page = page_of_metrics().await;
    let told = |line: &str| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned);
    let there_are: BTreeSet<String> = page.lines().filter_map(told).collect();
    let docs = include_str!("../../../docs/metrics.md");
    let documented: BTreeSet<String> = docs
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, there_are);
}

/// AWS's names, kept as they are: counters that Prometheus would have end in `_total`.
const AWSS_COUNTERS: [&str; 3] =
    ["pod_identity_cache_errors", "pod_identity_cache_state", "pod_identity_http_response"];

#[tokio::test]
async fn promtool_finds_nothing_to_mend_but_awss_names() {
    let page = page_of_metrics().await;
    let mut promtool = match std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(promtool) => promtool,
        Err(error) => {
            return rights::missing("promtool", "to run promtool (Debian package prometheus)", &error);
        }
    };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let mended: BTreeSet<&str> = said.lines().collect();
    let awss = AWSS_COUNTERS.map(|name| format!("{name} counter metrics should have \"_total\" suffix"));
    assert_eq!(mended, awss.iter().map(String::as_str).collect(), "{said}");
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
