//! What pods send and what they get.

use std::time::Duration;

use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::process::AgentProcess;
use testkit::wire::{Connection, ask, credentials_request};
use testkit::{TokenBuilder, canary};

use crate::BINARY;

#[tokio::test]
async fn a_pod_gets_credentials_and_gets_the_same_again_without_a_call() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["-v", "trace"]).await;
    let token = TokenBuilder::made_now("web-0");
    let first = agent.ask(&token).await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")));
    assert_eq!(first.json()["AccessKeyId"], "ASIA0000000000000001");
    assert_eq!(first.header("content-encoding"), None);
    assert_eq!(agent.ask(&token).await.body, first.body);
    assert_eq!(upstream.count(), 1);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn kept_alive_and_pipelined_requests_are_answered_in_order() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let mut connection = Connection::open(agent.endpoint).await;
    let good = credentials_request(agent.endpoint, &TokenBuilder::made_now("web-0"));
    let bad = credentials_request(agent.endpoint, "junk");
    connection.send(format!("{good}{bad}{good}").as_bytes()).await;
    let statuses = [
        connection.answer().await.status,
        connection.answer().await.status,
        connection.answer().await.status,
    ];
    assert_eq!(statuses, [200, 400, 200]);
    connection.send(good.as_bytes()).await;
    assert_eq!(connection.answer().await.status, 200);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn hosts_and_protocol_versions_that_real_clients_use_are_served() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let token = TokenBuilder::made_now("web-0");
    for host in [
        "169.254.170.23",
        "169.254.170.23:80",
        "[fd00:ec2::23]",
        "[fd00:ec2::23]:80",
        "fd00:ec2::23",
        "127.0.0.1",
    ] {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let request =
                format!("GET /v1/credentials {version}\r\nHOST: {host}\r\nauthorization: {token}\r\n\r\n");
            assert_eq!(ask(agent.endpoint, request.as_bytes()).await.status, 200, "{host} {version}");
        }
    }
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn heads_up_to_sixteen_kibibytes_are_read_and_larger_ones_refused() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let padded = |padding: usize| {
        let token = TokenBuilder::made_now("web-0");
        format!(
            "GET /v1/credentials HTTP/1.1\r\nHost: 169.254.170.23\r\nX-Padding: {}\r\nAuthorization: {token}\r\n\r\n",
            "x".repeat(padding)
        )
    };
    assert_eq!(ask(agent.endpoint, padded(14_000).as_bytes()).await.status, 200);
    assert_eq!(ask(agent.endpoint, padded(17_000).as_bytes()).await.status, 431);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn whatever_one_client_sends_it_is_answered_or_closed_and_the_next_is_served() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["-v", "debug"]).await;
    let good = TokenBuilder::made_now("web-0");
    let mine = |line: &str| {
        format!("GET /v1/credentials HTTP/1.1\r\nHost: 169.254.170.23\r\n{line}\r\n\r\n").into_bytes()
    };
    let megabyte =
        format!("Authorization: {}.{}.{}", "a".repeat(400_000), "b".repeat(400_000), "c".repeat(400_000));
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("a token of a megabyte", mine(&megabyte), &[431, 0]),
        ("three empty parts", mine("Authorization: .."), &[400]),
        ("no token", mine("Accept: */*"), &[400]),
        ("alg none", mine("Authorization: eyJhbGciOiJub25lIn0.eyJleHAiOjF9.c2ln"), &[400]),
        ("non-UTF-8", [b"GET /v1/credentials HTTP/1.1\r\nHost: 169.254.170.23\r\nAuthorization: \xff\xfe.b.c\r\n\r\n".to_vec()].concat(), &[400]),
        ("two Authorization headers", mine(&format!("Authorization: {good}\r\nAuthorization: {good}")), &[400]),
        ("a chunked body", [mine(&format!("Authorization: {good}\r\nTransfer-Encoding: chunked")), b"5\r\nhello\r\n0\r\n\r\n".to_vec()].concat(), &[400]),
        ("a body", [mine(&format!("Authorization: {good}\r\nContent-Length: 5")), b"hello".to_vec()].concat(), &[400]),
        ("absolute form", format!("GET http://169.254.170.23/v1/credentials HTTP/1.1\r\nHost: 169.254.170.23\r\nAuthorization: {good}\r\n\r\n").into_bytes(), &[400]),
        ("CONNECT", b"CONNECT 169.254.170.23:80 HTTP/1.1\r\nHost: 169.254.170.23\r\n\r\n".to_vec(), &[400, 404, 405]),
        ("no host", format!("GET /v1/credentials HTTP/1.1\r\nAuthorization: {good}\r\n\r\n").into_bytes(), &[400, 403]),
        ("HTTP/1.0 without host", format!("GET /v1/credentials HTTP/1.0\r\nAuthorization: {good}\r\n\r\n").into_bytes(), &[403]),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 505, 0]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400, 0]),
        ("noise", vec![0, 1, 2, 3, 13, 10, 13, 10], &[400, 0]),
        ("another method", b"DELETE /v1/credentials HTTP/1.1\r\nHost: 169.254.170.23\r\n\r\n".to_vec(), &[405]),
        ("a hundred headers", mine(&(0..100).map(|n| format!("X-{n}: y")).collect::<Vec<_>>().join("\r\n")), &[400, 431]),
        ("Expect", mine(&format!("Expect: 100-continue\r\nAuthorization: {good}")), &[200]),
    ];
    for (name, request, allowed) in cases {
        let answer = ask(agent.endpoint, &request).await;
        assert!(allowed.contains(&answer.status), "{name}: {answer:?}");
        if answer.status != 200 {
            canary::assert_absent(name, &format!("{answer:?}"));
        }
        assert_eq!(agent.ask(&good).await.status, 200, "after {name}");
    }
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_head_that_trickles_in_is_told_so_after_two_seconds_and_an_idle_connection_is_closed_later() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--idle-timeout", "3s"]).await;
    let mut slow = Connection::open(agent.endpoint).await;
    let mut silent = Connection::open(agent.endpoint).await;
    let began = tokio::time::Instant::now();
    slow.send(b"GET /v1/credentials HT").await;
    let told = slow.answer().await;
    assert_eq!((told.status, told.json()["code"].as_str().unwrap()), (408, "RequestTooSlow"));
    assert!(began.elapsed() >= Duration::from_millis(1_900), "{:?}", began.elapsed());
    silent.closed().await;
    assert!(began.elapsed() >= Duration::from_millis(2_900), "{:?}", began.elapsed());
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_peer_with_too_many_connections_is_told_so_and_served_again_when_it_closes_some() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--max-connections-per-peer", "3"]).await;
    let token = TokenBuilder::made_now("web-0");
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(agent.endpoint).await;
        connection.send(credentials_request(agent.endpoint, &token).as_bytes()).await;
        assert_eq!(connection.answer().await.status, 200);
        held.push(connection);
    }
    let refused = agent.ask(&token).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (503, "TooManyConnections"));
    held.clear();
    let served = async { while agent.ask(&token).await.status != 200 {} };
    tokio::time::timeout(testkit::process::SOON, served).await.unwrap();
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn probes_and_metrics_have_the_paths_and_names_of_awss_agent() {
    let upstream = EksAuthServer::start([], Reply::error(404, "ResourceNotFoundException", "none")).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 404);
    assert_eq!(agent.probe("/healthz").await.status, 200);
    assert_eq!(agent.probe("/readyz").await.status, 200);
    assert_eq!(agent.probe("/metrics").await.status, 404, "metrics have a port of their own");
    let page = agent.scrape().await;
    for name in ["pod_identity_http_response{code=\"404\"} ", "pod_identity_cache_state{state=\"miss\"} 1"] {
        assert!(page.contains(name), "{name} is missing in {page}");
    }
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn what_each_sdk_sends_is_answered() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/fixtures");
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let token = TokenBuilder::made_now("web-0");
    let mut replayed = 0;
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let request = std::fs::read_to_string(&path).unwrap().replace("{{token}}", &token);
        assert_eq!(ask(agent.endpoint, request.as_bytes()).await.status, 200, "{}", path.display());
        replayed += 1;
    }
    assert!(replayed >= 6, "the fixtures of six SDKs are replayed, found {replayed}");
    agent.leaks_nothing().await;
}
