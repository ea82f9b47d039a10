//! `probe`: what kubelet runs in the agent's container.

use std::process::Output;
use std::time::Duration;

use rustix::process::Signal;
use testkit::TokenBuilder;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::process::AgentProcess;

use super::BINARY;

async fn probe(question: &str, socket: &str) -> Output {
    let mut command = tokio::process::Command::new(BINARY);
    // Whatever proxies there are, a probe meets none.
    let proxies = [("HTTP_PROXY", "http://127.0.0.1:1"), ("HTTPS_PROXY", "http://127.0.0.1:1")];
    command
        .args(["probe", question, "--probe-socket", socket])
        .env_clear()
        .envs(proxies)
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn probes_are_answered_by_this_very_process_and_need_neither_aws_nor_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("probe.sock").display().to_string();
    let nobody = probe("live", &socket).await;
    let message = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && message.contains("no agent answers at"), "{message}");

    let upstream = EksAuthServer::start([], Reply::Silence).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--probe-socket", &socket]).await;
    for question in ["live", "ready"] {
        let answer = probe(question, &socket).await;
        assert!(answer.status.success(), "{question}: {answer:?}");
    }
    assert_eq!(upstream.requests().len(), 0);

    agent.signal(Signal::STOP);
    let halted = probe("live", &socket).await;
    let message = String::from_utf8_lossy(&halted.stderr);
    assert!(!halted.status.success() && message.contains("does not answer within"), "{message}");
    agent.signal(Signal::CONT);
    assert!(probe("live", &socket).await.status.success());

    // A new agent on the same files, as after a crash of the container's process.
    agent.signal(Signal::KILL);
    agent.ended().await;
    let _next = AgentProcess::before(&upstream, BINARY, &["--probe-socket", &socket]).await;
    assert!(probe("ready", &socket).await.status.success());
}

async fn log_level(level: Option<&str>, socket: &str) -> Result<String, String> {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg("log-level").args(level).args(["--probe-socket", socket]);
    let output = command.env_clear().output().await.unwrap();
    let [printed, complained] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned());
    if output.status.success() { Ok(printed) } else { Err(complained) }
}

#[tokio::test]
async fn how_much_is_logged_is_changed_while_the_agent_runs_over_its_socket_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("probe.sock").display().to_string();
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--probe-socket", &socket]).await;
    let token = TokenBuilder::made_now("web-0");
    let lines = || agent.log().matches("\"msg\":\"answered\"").count();
    agent.ask(&token).await;
    assert_eq!((log_level(None, &socket).await, lines()), (Ok("info".to_owned()), 0));

    assert_eq!(log_level(Some("debug"), &socket).await, Ok("debug".to_owned()));
    agent.logged("how much is logged is changed").await;
    agent.ask(&token).await;
    let line = agent.logged("\"msg\":\"answered\"").await;
    for member in ["client-addr", "status", "outcome", "request-time-ms"] {
        assert!(line.contains(&format!("\"{member}\":")), "{member} is missing in {line}");
    }

    assert_eq!(log_level(Some("warn"), &socket).await, Ok("warn".to_owned()));
    agent.ask(&token).await;
    assert_eq!((log_level(None, &socket).await, lines()), (Ok("warn".to_owned()), 1));
    let refused = log_level(Some("loud"), &socket).await.unwrap_err();
    assert!(refused.contains("one of panic, fatal, error"), "{refused}");

    let put = b"PUT /log-level/trace HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for address in [agent.probes, agent.metrics] {
        assert_eq!(testkit::wire::ask(address, put).await.status, 405, "nobody changes it over the network");
    }
    assert_eq!(log_level(None, &socket).await, Ok("warn".to_owned()));
    agent.leaks_nothing().await;
}
