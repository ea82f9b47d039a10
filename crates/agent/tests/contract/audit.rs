//! The audit log: one record for each answer, and no secret in any.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::process::{AgentProcess, SOON};
use testkit::{TokenBuilder, canary};

use super::BINARY;

/// The records, as soon as there are so many.
async fn records(path: &Path, count: usize) -> Vec<Value> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    let written = async {
        while read().lines().count() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, written).await.unwrap_or_else(|_| panic!("no {count} records: {}", read()));
    let all = read();
    canary::assert_absent("the audit log", &all);
    all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_answer_and_each_refusal_leaves_one_record_of_who_got_what() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--audit-log", path.to_str().unwrap()]).await;
    let token = TokenBuilder::made_now("web-0");
    let body = agent.ask(&token).await.json();
    agent.ask(&token).await;
    upstream.change(Reply::error(404, "ResourceNotFoundException", "no association"));
    agent.ask(&TokenBuilder::made_now("api-0")).await;
    agent.ask("nonsense").await;
    agent.ask("").await;

    let records = records(&path, 5).await;
    assert_eq!(records.len(), 5, "not one more");
    for (record, source) in records.iter().zip(["exchange", "session"]) {
        let expected = json!({
            "decision": "issued", "status": 200, "reason": null, "source": source, "identity": "confirmed",
            "namespace": "shop", "service_account": "web", "pod": "web-0", "pod_uid": "uid-of-web-0",
            "access_key_id": body["AccessKeyId"], "expiration": body["Expiration"],
        });
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&record[member], value, "{member} of {record}");
        }
        assert!(record["role_session"].as_str().unwrap().starts_with("arn:aws:sts::"), "{record}");
        assert!(record["association_id"].as_str().unwrap().starts_with("a-"), "{record}");
        assert!(record["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
        assert_eq!(record["token_id"], records[0]["token_id"]);
    }
    let refusals = [
        ("ResourceNotFoundException", 404, json!("claimed"), json!("api-0")),
        ("TokenMalformed", 400, Value::Null, Value::Null),
        ("TokenEmpty", 400, Value::Null, Value::Null),
    ];
    for (record, (reason, status, identity, pod)) in records[2..].iter().zip(refusals) {
        assert_eq!(
            (&record["decision"], &record["reason"], &record["status"], &record["identity"], &record["pod"]),
            (&json!("refused"), &json!(reason), &json!(status), &identity, &pod)
        );
        assert_eq!((&record["access_key_id"], &record["source"]), (&Value::Null, &Value::Null));
    }
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn standard_output_takes_the_records_and_nothing_else() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--audit-log", "-"]).await;
    for number in 0..20 {
        agent.ask(&TokenBuilder::made_now(&format!("web-{}", number % 3))).await;
    }
    agent.signal(rustix::process::Signal::TERM);
    let (status, printed, _) = agent.ended_with_output().await;
    assert!(status.success());
    canary::assert_absent("standard output", &printed);
    let records: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 20, "complete when the agent has ended");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_ends_the_start_and_is_named() {
    let mut command = tokio::process::Command::new(BINARY);
    command.args([
        "server",
        "-c",
        "dev",
        "-b",
        "127.0.0.1",
        "--port",
        "0",
        "--audit-log",
        "/nonexistent/audit.log",
    ]);
    let output = command.env_clear().output().await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(message.contains("the audit log /nonexistent/audit.log cannot be opened"), "{message}");
}
