//! The chaos ring: the real agent while its upstream lies, breaks, stalls or dies, and while the agent itself is stopped.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod outages;
mod storms;

use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::eks_auth_server::{EksAuthServer, Reply, issued};
use testkit::process::{AgentProcess, SOON};
use testkit::wire::{Connection, credentials_request};
use testkit::{TokenBuilder, canary};
use tokio::time::{Instant, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");

fn issued_with(change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = issued(1);
    change(&mut body);
    Reply::ok(&body)
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_a_502_for_the_pod_and_a_clear_line_for_the_operator() {
    let whole = issued(1).to_string();
    let cases = [
        ("garbage", Reply::Raw(200, String::new(), "<html>gateway</html>".into()), "makes no sense"),
        ("half a body", Reply::Raw(200, String::new(), whole[..whole.len() / 2].into()), "makes no sense"),
        ("an empty object", Reply::ok(&json!({})), "makes no sense"),
        ("no credentials", issued_with(|body| body["credentials"] = Value::Null), "makes no sense"),
        ("empty credentials", issued_with(|body| body["credentials"] = json!({})), "makes no sense"),
        (
            "an empty key",
            issued_with(|body| body["credentials"]["accessKeyId"] = "".into()),
            "the access key id is empty",
        ),
        (
            "a key with quotes",
            issued_with(|body| body["credentials"]["sessionToken"] = "a\"b".into()),
            "session token",
        ),
        (
            "expired credentials",
            issued_with(|body| body["credentials"]["expiration"] = 1_000_000_000.into()),
            "end at 2001",
        ),
        (
            "nearly expired",
            issued_with(|body| body["credentials"]["expiration"] = json!(now() + 10.0)),
            "check the clocks",
        ),
        (
            "an ARN that is none",
            issued_with(|body| body["assumedRoleUser"]["arn"] = "me".into()),
            "ARN of the assumed role",
        ),
        (
            "an ARN without account",
            issued_with(|body| body["assumedRoleUser"]["arn"] = "arn:aws:sts:::x".into()),
            "12 digits",
        ),
        ("an error nobody knows", Reply::Raw(500, String::new(), "oops".into()), "status 500"),
        (
            "a redirect",
            Reply::Raw(302, "Location: http://127.0.0.1:1/\r\n".into(), String::new()),
            "status 302",
        ),
    ];
    for (name, reply, wanted) in cases {
        let upstream = EksAuthServer::start([], reply).await;
        let agent = AgentProcess::before(&upstream, BINARY, &["--upstream-attempts", "1"]).await;
        let answer = agent.ask(&TokenBuilder::made_now("web-0")).await;
        assert_eq!(answer.status, 502, "{name}: {answer:?}");
        assert_eq!(answer.json()["code"], "UpstreamUnintelligible", "{name}");
        let line = agent.logged("an exchange failed").await;
        assert!(line.contains(wanted), "{name}: {line}");
        agent.leaks_nothing().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the real agent lives by the real clock")]
fn now() -> f64 {
    identity::to_epoch_seconds(SystemTime::now())
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_stalls_is_a_503_inside_the_time_budget() {
    for (name, reply) in [
        ("closes without an answer", Reply::Bytes(Vec::new())),
        ("breaks off in the head", Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())),
        (
            "breaks off in the body",
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"subject\"".to_vec()),
        ),
        ("stalls", Reply::Silence),
        ("resets", Reply::Reset),
    ] {
        let upstream = EksAuthServer::start([], reply).await;
        let agent = AgentProcess::before(
            &upstream,
            BINARY,
            &["--upstream-attempt-timeout", "300ms", "--hold-timeout", "1s"],
        )
        .await;
        let began = Instant::now();
        let answer = agent.ask(&TokenBuilder::made_now("web-0")).await;
        assert!([502, 503].contains(&answer.status), "{name}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{name}: {:?}", began.elapsed());
        assert!(upstream.count() <= 6, "{name}: {} calls", upstream.count());
        agent.leaks_nothing().await;
    }
}

#[tokio::test]
async fn errors_that_may_pass_are_tried_again_inside_one_exchange() {
    let failures = [
        Reply::error(503, "ServiceUnavailableException", "busy"),
        Reply::error(429, "ThrottlingException", "slow"),
    ];
    let upstream = EksAuthServer::start(failures, Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    assert_eq!(upstream.count(), 3);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn cached_tokens_are_served_while_eks_auth_is_dead() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let (known, new) = (TokenBuilder::made_now("web-0"), TokenBuilder::made_now("web-1"));
    let before = agent.ask(&known).await;
    drop(upstream);
    assert_eq!(agent.ask(&known).await.body, before.body);
    let refused = agent.ask(&new).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    assert_eq!(agent.probe("/healthz").await.status, 200, "a dead AWS is no reason to kill the agent");
    assert_eq!(agent.probe("/readyz").await.status, 200);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_hundred_clients_with_one_token_cause_one_call_and_wait_no_longer_than_it_takes() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::from_millis(300))).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let token = TokenBuilder::made_now("web-0");
    let answers = futures_util::future::join_all((0..100).map(|_| agent.ask(&token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(upstream.count(), 1);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn clients_that_hang_up_cancel_nothing() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::from_millis(400))).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let token = TokenBuilder::made_now("web-0");
    for _ in 0..20 {
        let mut impatient = Connection::open(agent.endpoint).await;
        impatient.send(credentials_request(agent.endpoint, &token).as_bytes()).await;
        assert!(timeout(Duration::from_millis(5), impatient.answer()).await.is_err());
    }
    assert_eq!(agent.ask(&token).await.status, 200);
    assert_eq!(upstream.count(), 1);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_finishes_what_is_open_and_ends_well() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::from_millis(700))).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let mut idle = Connection::open(agent.endpoint).await;
    idle.send(credentials_request(agent.endpoint, "junk").as_bytes()).await;
    assert_eq!(idle.answer().await.status, 400);
    let mut open = Connection::open(agent.endpoint).await;
    open.send(credentials_request(agent.endpoint, &TokenBuilder::made_now("web-0")).as_bytes()).await;
    timeout(SOON, upstream.called()).await.unwrap();
    agent.signal(Signal::TERM);
    agent.logged("stopping").await;
    timeout(SOON, idle.closed()).await.expect("an idle connection is closed at once");
    let answer = open.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    let (status, log) = agent.ended().await;
    assert!(status.success(), "{status}");
    assert!(log.contains("everything was finished"), "{log}");
    canary::assert_absent("the log", &log);
}

#[tokio::test]
async fn a_second_signal_cuts() {
    let upstream = EksAuthServer::start([], Reply::Silence).await;
    let agent = AgentProcess::before(&upstream, BINARY, &[]).await;
    let mut open = Connection::open(agent.endpoint).await;
    open.send(credentials_request(agent.endpoint, &TokenBuilder::made_now("web-0")).as_bytes()).await;
    timeout(SOON, upstream.called()).await.unwrap();
    agent.signal(Signal::TERM);
    agent.logged("stopping").await;
    let began = Instant::now();
    agent.signal(Signal::INT);
    let (_, log) = agent.ended().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(log.contains("second signal"), "{log}");
}

#[tokio::test]
async fn wrong_settings_end_the_start_with_one_message_and_a_taken_port_says_who_is_in_the_way() {
    let wrong = ["server", "--port", "70000", "--max-service-qps", "fast"];
    let mut command = tokio::process::Command::new(BINARY);
    command.args(wrong).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    let output = command.output().await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for setting in ["--cluster-name", "--port", "--max-service-qps"] {
        assert!(message.contains(setting), "{message}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["server", "-c", "dev", "-b", "127.0.0.1", "--port", &port];
    let output = tokio::process::Command::new(BINARY).args(arguments).env_clear().output().await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        message.contains(&format!("cannot listen on 127.0.0.1:{port}: another process listens there")),
        "{message}"
    );
}

#[tokio::test]
async fn a_storm_of_failures_is_told_once_and_its_end_is_told_too() {
    let upstream = EksAuthServer::start([], Reply::error(500, "InternalServerException", "oops")).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--upstream-attempts", "1"]).await;
    let tokens: Vec<String> =
        (0..200).map(|number| TokenBuilder::made_now(&format!("web-{number}"))).collect();
    for token in &tokens {
        assert_eq!(agent.ask(token).await.status, 500);
    }
    upstream.change(Reply::Issue(Duration::ZERO));
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-new")).await.status, 200);
    let line = agent.logged("exchanges succeed again").await;
    assert!(line.contains("\"failures\":200"), "{line}");
    assert!(agent.log().lines().count() < 20, "{}", agent.log());
    agent.leaks_nothing().await;
}
