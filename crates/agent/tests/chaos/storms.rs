//! Too much at once: throttling, connections that say nothing, no file descriptors left.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::*;

#[tokio::test]
async fn a_node_full_of_new_pods_is_served_by_a_throttled_account_and_no_pod_hears_of_it() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::from_millis(20))).await;
    upstream.throttle(100);
    let agent = AgentProcess::before(&upstream, BINARY, &["--hold-timeout", "60s"]).await;
    let tokens: Vec<_> = (0..400).map(|number| TokenBuilder::made_now(&format!("web-{number}"))).collect();
    let answers = join_all(tokens.iter().map(|token| agent.ask(token))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.is_empty(), "{} were refused: {:?}", refused.len(), refused[0]);
    assert!(upstream.count() < 1_600, "{} calls for 400 pods", upstream.count());
    assert_eq!(agent.log().matches("EKS Auth throttles this account").count(), 1, "{}", agent.log());
    let page = agent.scrape().await;
    let pace = page.lines().find_map(|line| line.strip_prefix("pod_identity_upstream_pace ")).unwrap();
    assert!(pace.parse::<f64>().unwrap().is_finite(), "{pace}");
    agent.leaks_nothing().await;
}

/// A connection from this address of loopback.
async fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn ten_thousand_connections_that_say_nothing_keep_nobody_from_being_served() {
    runtime::process::open_many_files();
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--max-connections", "10001"]).await;
    let mut silent = Vec::new();
    for neighbour in 2..12 {
        let connections = (0..1_000).map(|_| connect_from([127, 0, 0, neighbour], agent.endpoint));
        silent.extend(join_all(connections).await);
    }
    let token = TokenBuilder::made_now("web-0");
    assert_eq!(agent.ask(&token).await.status, 200);
    // One neighbour more has no effect on those who have their place.
    let mut turned_away = connect_from([127, 0, 0, 2], agent.endpoint).await;
    let _ = turned_away.write_all(b"GET").await;
    assert_eq!(agent.ask(&token).await.status, 200);
    assert_eq!(agent.probe("/readyz").await.status, 200);
    drop(silent);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn an_agent_without_a_file_descriptor_left_goes_on_with_those_it_has_and_then_with_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let confined = folder.path().join("confined-agent");
    std::fs::write(&confined, format!("#!/bin/sh\nulimit -n 64\nexec {BINARY} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&confined, PermissionsExt::from_mode(0o755)).unwrap();
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, confined.to_str().unwrap(), &[]).await;
    let request = credentials_request(agent.endpoint, &TokenBuilder::made_now("web-0"));
    let mut kept = Connection::open(agent.endpoint).await;
    kept.send(request.as_bytes()).await;
    assert_eq!(kept.answer().await.status, 200);
    let crowd = join_all((0..100).map(|_| TcpStream::connect(agent.endpoint))).await;
    agent.logged("cannot accept connections").await;
    kept.send(request.as_bytes()).await;
    assert_eq!(kept.answer().await.status, 200, "who is connected is served");
    drop(crowd);
    let mut late = Connection::open(agent.endpoint).await;
    late.send(request.as_bytes()).await;
    assert_eq!(timeout(SOON, late.answer()).await.unwrap().status, 200);
    assert!(agent.log().matches("cannot accept connections").count() <= 2, "{}", agent.log());
    canary::assert_absent("the log", &agent.log());
}
