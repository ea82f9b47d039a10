//! The memory ring: what is left in the memory of the real agent of secrets it no longer needs. Needs root, since the agent
//! keeps other processes out.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use serde_json::json;
use testkit::eks_auth_server::{EksAuthServer, Reply, issued};
use testkit::process::{AgentProcess, SOON};
use testkit::wire::{Connection, credentials_request};
use testkit::{TokenBuilder, canary, rights};

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");

/// Credentials whose secrets hold this word.
fn credentials_with(word: &str) -> Reply {
    let mut body = issued(1);
    body["credentials"]["secretAccessKey"] = json!(format!("{}{word}/secret", canary::MARKER));
    body["credentials"]["sessionToken"] = json!(format!("{}{word}/session", canary::MARKER));
    Reply::ok(&body)
}

/// A token whose signature holds this word.
fn token_with(word: &str) -> String {
    format!("{}{}{word}", TokenBuilder::made_now(&format!("web-{word}")), canary::MARKER)
}

/// How often each word is found behind the marker in the agent's memory.
fn count(agent: &AgentProcess, words: &[&str]) -> std::io::Result<Vec<usize>> {
    let regions = agent.memory()?;
    let count = |word: &&str| {
        let wanted = format!("{}{word}", canary::MARKER).into_bytes();
        let found =
            |region: &Vec<u8>| region.windows(wanted.len()).filter(|window| *window == wanted).count();
        regions.iter().map(found).sum()
    };
    Ok(words.iter().map(count).collect())
}

#[tokio::test]
async fn a_session_that_had_to_leave_leaves_no_copy_of_its_secrets() {
    let replies = [credentials_with("Evicted"), credentials_with("Living")];
    let upstream = EksAuthServer::start(replies, Reply::Silence).await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--max-cache-size", "1"]).await;
    for word in ["Evicted", "Living"] {
        let request = credentials_request(agent.endpoint, &token_with(word));
        let mut connection = Connection::open(agent.endpoint).await;
        for _ in 0..3 {
            connection.send(request.as_bytes()).await;
            assert_eq!(connection.answer().await.status, 200);
        }
    }
    let gone = async {
        loop {
            match count(&agent, &["Evicted", "Living"]) {
                Err(error) => return rights::missing("memory", "to look into another process", &error),
                // The other session shows that the search finds what is there.
                Ok(found) if found[0] == 0 && found[1] > 0 => return,
                // A connection that was just closed may still be on its way out.
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    if tokio::time::timeout(SOON, gone).await.is_err() {
        panic!("copies of [the evicted, the living]: {:?}", count(&agent, &["Evicted", "Living"]));
    }
    agent.leaks_nothing().await;
}
