//! The pods of the node are watched: sessions of those that are gone, and requests from elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use testkit::TokenBuilder;
use testkit::authority::Authority;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::issuer_server::service_account_directory;
use testkit::pod_watch_server::PodWatchServer;
use testkit::process::{AgentProcess, SOON, Start};

use super::BINARY;

struct Node {
    api_server: PodWatchServer,
    eks_auth: EksAuthServer,
    files: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let authority = Authority::new();
        Self {
            api_server: PodWatchServer::start(&authority).await,
            eks_auth: EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await,
            files: service_account_directory(&authority),
        }
    }

    async fn agent(&self, arguments: &[&str]) -> AgentProcess {
        let arguments = [&["--api-server-keys", "off", "--verbosity", "debug"], arguments].concat();
        let api_server = (self.api_server.address(), self.files.path());
        AgentProcess::in_cluster(&self.eks_auth, BINARY, api_server, &arguments).await
    }
}

/// Waits until a metric has this value.
async fn until(agent: &AgentProcess, line: &str) {
    let seen = async {
        while !agent.scrape().await.lines().any(|found| found == line) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(SOON, seen).await.is_err() {
        panic!("no {line}: {}\n{}", agent.scrape().await, agent.log());
    }
}

#[tokio::test]
async fn pods_are_followed_through_pages_cuts_and_compactions() {
    let mut node = Node::new().await;
    (0..500).for_each(|number| node.api_server.run(&format!("web-{number}"), &[]));
    node.api_server.slow_down(Duration::from_millis(5));
    let agent = node.agent(&[]).await;
    until(&agent, "pod_identity_pods 500").await;
    node.api_server.delete("web-0");
    node.api_server.succeed("web-1");
    node.api_server.run("web-500", &["10.0.0.1"]);
    until(&agent, "pod_identity_pods 499").await;
    node.api_server.cut_watches();
    node.api_server.delete("web-2");
    until(&agent, "pod_identity_pods 498").await;
    until(&agent, "pod_identity_pod_lists_total 1").await;
    node.api_server.delete_and_compact("web-3");
    until(&agent, "pod_identity_pods 497").await;
    until(&agent, "pod_identity_pod_lists_total 2").await;
    node.api_server.die().await;
    until(&agent, "pod_identity_pod_watch_state{state=\"cut_off\"} 1").await;
    assert_eq!(agent.probe("/readyz").await.status, 200, "no reason to be unready");
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-4")).await.status, 200);
    node.api_server.revive().await;
    until(&agent, "pod_identity_pod_watch_state{state=\"current\"} 1").await;
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn without_the_right_to_list_pods_the_agent_says_so_once_and_serves() {
    let node = Node::new().await;
    node.api_server.fail_with(403);
    let agent = node.agent(&[]).await;
    let line = agent.logged("goes on as if all lived").await;
    assert!(line.contains("pods is forbidden") && line.contains("--pod-watch=off"), "{line}");
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    node.api_server.recover();
    node.api_server.run("web-0", &[]);
    until(&agent, "pod_identity_pods 1").await;
    assert_eq!(agent.log().matches("goes on as if all lived").count(), 1, "{}", agent.log());
}

#[tokio::test]
async fn a_token_serves_from_its_own_pod_only_also_while_its_session_lives() {
    let node = Node::new().await;
    node.api_server.run("mine", &["127.0.0.1"]);
    node.api_server.run("stolen", &["10.0.0.7"]);
    node.api_server.run_on_host_network("host", &["192.168.0.1"]);
    let agent = node.agent(&["--verify-source", "on"]).await;
    // Before anything is known, everything passes: a session for the token that will be stolen.
    let stolen = TokenBuilder::made_now("stolen");
    until(&agent, "pod_identity_pods 3").await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("mine")).await.status, 200);
    let refused = agent.ask(&stolen).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("NotFromThePod")));
    assert_eq!(node.eks_auth.requests().len(), 1);
    // 127.0.0.1 is a pod's here, so no other pod's, and not the host's.
    assert_eq!(agent.ask(&TokenBuilder::made_now("host")).await.status, 403);
    assert_eq!(agent.ask(&TokenBuilder::made_now("not-known-yet")).await.status, 200);

    // Its session begins, and then its address is another's.
    node.api_server.run("stolen", &["127.0.0.1"]);
    node.api_server.run("mine", &["10.0.0.8"]);
    let served = async {
        while agent.ask(&stolen).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, served).await.unwrap();
    node.api_server.run("stolen", &["10.0.0.7"]);
    let refused = async {
        while agent.ask(&stolen).await.status != 403 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    let line = agent.logged("does not come from the pod").await;
    assert!(line.contains("stolen") && line.contains("127.0.0.1"), "{line}");
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_strict_check_refuses_pods_on_the_hosts_network_and_unknown_ones() {
    let node = Node::new().await;
    node.api_server.run_on_host_network("host", &["192.168.0.1"]);
    let agent = node.agent(&["--verify-source", "strict"]).await;
    until(&agent, "pod_identity_pods 1").await;
    for pod in ["host", "unknown"] {
        assert_eq!(agent.ask(&TokenBuilder::made_now(pod)).await.status, 403, "{pod}");
    }
    assert_eq!(node.eks_auth.requests().len(), 0);
}

#[tokio::test]
async fn the_startup_taint_goes_when_the_agent_has_credentials_of_its_own_and_not_before() {
    const KEY: &str = "example.com/agent-not-ready";
    let node = Node::new().await;
    node.api_server.taint("spot");
    node.api_server.taint(KEY);
    let credentials = node.files.path().join("credentials");
    let port = node.api_server.address().port().to_string();
    let environment = HashMap::from([
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", port.as_str()),
        ("NODE_NAME", "node-1"),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
    ]);
    let directory = node.files.path().to_str().unwrap();
    let arguments = [
        "--service-account-directory",
        directory,
        "--api-server-keys",
        "off",
        "--rotate-credentials",
        "true",
        "--remove-startup-taint",
        KEY,
    ];
    let upstream = node.eks_auth.url();
    let start = Start { binary: BINARY, upstream: Some(&upstream), arguments: &arguments, environment };
    let agent = AgentProcess::start(start).await;
    let line = agent.logged("the startup taint stays").await;
    assert!(line.contains("credentials of the agent's own"), "{line}");
    assert_eq!(node.api_server.taints(), ["spot", KEY]);
    std::fs::write(&credentials, "[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n").unwrap();
    agent.logged("its startup taint is removed").await;
    assert_eq!(node.api_server.taints(), ["spot"]);
    assert_eq!(node.eks_auth.requests().len(), 0, "that is found out without a call");
    agent.leaks_nothing().await;
}
