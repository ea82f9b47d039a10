//! `probe`: what kubelet runs in the agent's container.

use std::process::Output;

use rustix::process::Signal;
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
