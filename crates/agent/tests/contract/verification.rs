//! Tokens are checked on the node: what that costs EKS Auth, and what goes on without.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use testkit::authority::Authority;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::issuer_server::{IssuerServer, service_account_directory};
use testkit::process::{AgentProcess, Start};
use testkit::signing::key_set;
use testkit::{SigningKey, TokenBuilder};
use tokio::time::Instant;

use super::BINARY;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

#[expect(clippy::disallowed_methods, reason = "the real agent lives by the real clock")]
fn token(pod: &str, issuer: &str) -> TokenBuilder {
    TokenBuilder::of_pod(pod, std::time::SystemTime::now()).claim("iss", issuer.into())
}

async fn eks_auth() -> EksAuthServer {
    EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await
}

#[tokio::test]
async fn a_thousand_forged_tokens_cost_no_call_and_a_rotated_one_neither() {
    let (key, forger) = (SigningKey::ec("k1"), SigningKey::ec("k1"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set([&key])).unwrap();
    let eks_auth = eks_auth().await;
    let path = file.path().to_str().unwrap();
    let agent =
        AgentProcess::before(&eks_auth, BINARY, &["--jwks-file", path, "--jwks-issuer", ISSUER]).await;
    agent.logged("tokens are checked on this node").await;
    for number in 0..1_000 {
        let answer = agent.ask(&forger.sign(&token(&format!("web-{number}"), ISSUER))).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("InvalidTokenException")));
    }
    assert_eq!(eks_auth.requests().len(), 0);

    let first = agent.ask(&key.sign(&token("web-0", ISSUER))).await;
    assert_eq!((first.status, eks_auth.requests().len()), (200, 1));
    eks_auth.change(Reply::Reset);
    let rotated = token("web-0", ISSUER).lasting(Duration::from_secs(7_200));
    let second = agent.ask(&key.sign(&rotated)).await;
    assert_eq!((second.status, &second.body), (200, &first.body), "an outage that nobody notices");
    assert_eq!(eks_auth.requests().len(), 1);
    let stolen = agent.ask(&forger.sign(&rotated)).await;
    assert_eq!(stolen.status, 400, "the same claims without the signature open nothing");
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn keys_come_from_the_api_server_and_outlive_it_on_disk() {
    let (authority, key) = (Authority::new(), SigningKey::rsa("k1"));
    let mut api_server = IssuerServer::start_api_server(&authority, ISSUER, key_set([&key])).await;
    let files = service_account_directory(&authority);
    let cache = files.path().join("keys.json");
    let arguments = ["--signing-keys-cache", cache.to_str().unwrap()];
    let eks_auth = eks_auth().await;

    let agent =
        AgentProcess::in_cluster(&eks_auth, BINARY, (api_server.address(), files.path()), &arguments).await;
    agent.logged("tokens are checked on this node").await;
    let forged = SigningKey::ec("k1").sign(&token("web-0", ISSUER));
    assert_eq!(agent.ask(&forged).await.status, 400);
    assert!(api_server.calls().iter().all(|head| head.contains("Bearer token-of-the-agent")));
    drop(agent);

    api_server.fail_with(500);
    api_server.publish_for("https://another.example".to_owned());
    let agent =
        AgentProcess::in_cluster(&eks_auth, BINARY, (api_server.address(), files.path()), &arguments).await;
    agent.logged("signing keys cannot be had").await;
    assert_eq!(agent.ask(&forged).await.status, 400);
    assert_eq!(agent.ask(&key.sign(&token("web-0", ISSUER))).await.status, 200);
    assert_eq!(eks_auth.requests().len(), 1);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn on_eks_before_1_34_nothing_is_refused_for_its_signature() {
    const EKS: &str = "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF";
    let (authority, key) = (Authority::new(), SigningKey::rsa("k1"));
    let api_server = IssuerServer::start_api_server(&authority, EKS, key_set([&key])).await;
    api_server.is_minor_version("33+");
    let files = service_account_directory(&authority);
    let eks_auth = eks_auth().await;
    let agent = AgentProcess::in_cluster(&eks_auth, BINARY, (api_server.address(), files.path()), &[]).await;
    agent.logged("tokens are checked on this node").await;
    let doubtful = SigningKey::ec("k1").sign(&token("web-0", EKS));
    assert_eq!(agent.ask(&doubtful).await.status, 200, "EKS Auth decides");
    assert_eq!(agent.ask(&key.sign(&token("web-1", EKS))).await.status, 200);
    assert_eq!(eks_auth.requests().len(), 2);
}

#[tokio::test]
async fn an_issuer_is_found_by_discovery_and_must_be_itself() {
    let key = SigningKey::ec("k1");
    let mut issuer = IssuerServer::start(key_set([&key])).await;
    let eks_auth = eks_auth().await;
    let url = issuer.url();
    let agent = AgentProcess::before(&eks_auth, BINARY, &["--issuer-url", &url]).await;
    agent.logged("tokens are checked on this node").await;
    assert_eq!(agent.ask(&SigningKey::ec("k1").sign(&token("web-0", &url))).await.status, 400);
    assert_eq!(agent.ask(&key.sign(&token("web-0", &url))).await.status, 200);
    drop(agent);

    issuer.publish_for("https://somebody.else.example".to_owned());
    let agent = AgentProcess::before(&eks_auth, BINARY, &["--issuer-url", &url]).await;
    let line = agent.logged("signing keys cannot be had").await;
    assert!(line.contains("is of the issuer https://somebody.else.example"), "{line}");
    assert_eq!(
        agent.ask(&SigningKey::ec("k1").sign(&token("web-1", &url))).await.status,
        200,
        "it goes on without"
    );
}

#[tokio::test]
async fn without_api_server_files_or_permission_the_agent_starts_at_once_and_says_what_is_missing() {
    let authority = Authority::new();
    let eks_auth = eks_auth().await;
    let files = service_account_directory(&authority);

    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let began = Instant::now();
    let agent = AgentProcess::in_cluster(&eks_auth, BINARY, (nobody, files.path()), &[]).await;
    assert!(began.elapsed() < Duration::from_secs(5), "on a busy machine; a second elsewhere");
    agent.logged("signing keys cannot be had").await;
    assert_eq!(agent.ask(&SigningKey::ec("k").sign(&token("web-0", ISSUER))).await.status, 200);
    let ready = agent.probe("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    drop(agent);

    let api_server = IssuerServer::start_api_server(&authority, ISSUER, String::new()).await;
    api_server.fail_with(403);
    let agent = AgentProcess::in_cluster(&eks_auth, BINARY, (api_server.address(), files.path()), &[]).await;
    let line = agent.logged("signing keys cannot be had").await;
    assert!(line.contains("system:service-account-issuer-discovery"), "{line}");
    drop(agent);

    let nowhere = tempfile::tempdir().unwrap();
    let agent = AgentProcess::in_cluster(&eks_auth, BINARY, (nobody, nowhere.path()), &[]).await;
    let line = agent.logged("cannot be asked for the keys").await;
    assert!(line.contains("automountServiceAccountToken"), "{line}");
}

#[tokio::test]
async fn a_token_of_another_node_is_refused() {
    let key = SigningKey::ec("k1");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set([&key])).unwrap();
    let eks_auth = eks_auth().await;
    let upstream = eks_auth.url();
    let agent = AgentProcess::start(Start {
        binary: BINARY,
        upstream: Some(&upstream),
        arguments: &["--jwks-file", file.path().to_str().unwrap()],
        environment: HashMap::from([("NODE_NAME", "node-1")]),
    })
    .await;
    agent.logged("tokens are checked on this node").await;
    let mut bound = token("web-0", ISSUER).claims()["kubernetes.io"].clone();
    bound["node"] = serde_json::json!({ "name": "node-2", "uid": "u" });
    let answer = agent.ask(&key.sign(&token("web-0", ISSUER).claim("kubernetes.io", bound))).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("TokenForAnotherNode")));
    assert!(answer.body.contains("node-2"), "{}", answer.body);
    assert_eq!(eks_auth.requests().len(), 0);
}
