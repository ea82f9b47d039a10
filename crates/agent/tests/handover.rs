//! The hand-over ring: agents that take each other's place on one node, under load and under the axe.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use testkit::TokenBuilder;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::network::in_namespace;
use testkit::process::{AgentProcess, SOON, Start};
use testkit::wire::{Connection, ask_for_credentials, credentials_request};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");
const NODE: [&str; 2] = ["ip address add 169.254.170.23/32 dev lo", "ip address add fd00:ec2::23/128 dev lo"];
const PODS: usize = 40;
const TAKEN_OVER: &str = "another agent takes this one's place";

fn endpoints() -> [SocketAddr; 2] {
    ["169.254.170.23:80".parse().unwrap(), "[fd00:ec2::23]:80".parse().unwrap()]
}

async fn eks_auth() -> EksAuthServer {
    EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await
}

/// Starts an agent that hands over at `folder`.
async fn agent(upstream: &EksAuthServer, folder: &Path) -> AgentProcess {
    let socket = folder.join("agent.sock").display().to_string();
    AgentProcess::start_on_node(Start {
        binary: BINARY,
        upstream: Some(&upstream.url()),
        arguments: &["--handover-socket", &socket],
        environment: HashMap::new(),
    })
    .await
}

/// Waits until an agent has logged a text more often than so many times.
async fn logged_more_than(agent: &AgentProcess, times: usize, text: &str) {
    let told = async {
        while agent.log().matches(text).count() <= times {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, told).await.unwrap_or_else(|_| panic!("\"{text}\" is not logged: {}", agent.log()));
}

/// Starts one that takes the place of another, which was taken over from so many times before, and waits until it has.
async fn successor(of: &AgentProcess, times: usize, upstream: &EksAuthServer, folder: &Path) -> AgentProcess {
    let new = agent(upstream, folder).await;
    new.logged("took over from the agent before").await;
    logged_more_than(of, times, TAKEN_OVER).await;
    new
}

/// A node with an agent and sessions of [`PODS`] pods.
async fn node(folder: &Path) -> (EksAuthServer, AgentProcess, Vec<String>) {
    let upstream = eks_auth().await;
    let agent = agent(&upstream, folder).await;
    agent.logged("answering pods").await;
    let tokens: Vec<_> = (0..PODS).map(|number| TokenBuilder::made_now(&format!("web-{number}"))).collect();
    all_are_served(&tokens, 0).await;
    (upstream, agent, tokens)
}

async fn all_are_served(tokens: &[String], endpoint: usize) {
    for token in tokens {
        let answer = ask_for_credentials(endpoints()[endpoint], token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Pods that ask all the time: half of them over new connections, half over ones that they keep. 200 requests a second.
struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    fn start(tokens: &[String]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for (number, token) in tokens.iter().take(8).cloned().enumerate() {
            let address = endpoints()[number % 2];
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tasks.spawn(async move {
                let mut due = interval(Duration::from_millis(40));
                let mut kept: Option<Connection> = None;
                while !stop.load(Ordering::Relaxed) {
                    due.tick().await;
                    let mut connection = match kept.take() {
                        Some(connection) => connection,
                        None => Connection::open(address).await,
                    };
                    connection.send(credentials_request(address, &token).as_bytes()).await;
                    let answer = connection.answer().await;
                    assert_eq!(answer.status, 200, "pod {number}: {answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    let is_last = answer.header("connection") == Some("close");
                    kept = (number >= 4 && !is_last).then_some(connection);
                }
            });
        }
        Self { tasks, stop, answered }
    }

    /// Stops it: how many answers there were. Panics if one was not what it should be.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

#[test]
fn twenty_roll_outs_under_load_cost_no_answer_and_no_call() {
    in_namespace("roll-outs", &NODE, || async {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, mut old, tokens) = node(folder.path()).await;
        let (load, began) = (Load::start(&tokens), Instant::now());
        for _ in 0..20 {
            let new = successor(&old, 0, &upstream, folder.path()).await;
            old.signal(Signal::TERM);
            let (status, log) = old.ended().await;
            assert!(status.success(), "{status}: {log}");
            old = new;
        }
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let rate = load.end().await as f64 / seconds;
        assert!(rate > 50.0, "{rate} answers a second are no load");
        all_are_served(&tokens, 1).await;
        assert_eq!(upstream.count(), PODS, "a session is exchanged once in its life");
        old.leaks_nothing().await;
    });
}

#[test]
fn whichever_is_killed_the_other_goes_on_without_a_call_and_the_next_one_takes_over() {
    in_namespace("killed", &NODE, || async {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, old, tokens) = node(folder.path()).await;
        // The new one dies, again and again: the old one gets all connections back.
        for round in 0..3 {
            let new = successor(&old, round, &upstream, folder.path()).await;
            new.signal(Signal::KILL);
            new.ended().await;
            all_are_served(&tokens, round % 2).await;
            logged_more_than(&old, round, "is gone, this one goes on").await;
        }
        // The old one dies: the new one has everything, and is taken over from in its turn.
        let new = successor(&old, 3, &upstream, folder.path()).await;
        old.signal(Signal::KILL);
        old.ended().await;
        new.logged("the agent before has ended").await;
        all_are_served(&tokens, 0).await;
        let last = successor(&new, 0, &upstream, folder.path()).await;
        all_are_served(&tokens, 1).await;
        assert_eq!(upstream.count(), PODS);
        last.leaks_nothing().await;
    });
}

#[test]
fn an_agent_that_stands_still_in_the_hand_over_keeps_nobody_waiting() {
    in_namespace("still", &NODE, || async {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, old, tokens) = node(folder.path()).await;
        old.signal(Signal::STOP);
        let began = Instant::now();
        let new = agent(&upstream, folder.path()).await;
        new.logged("no hand-over").await;
        assert!(began.elapsed() < SOON / 2);
        all_are_served(&tokens, 0).await;
        old.signal(Signal::KILL);
        old.ended().await;
        all_are_served(&tokens, 1).await;
        assert_eq!(upstream.count(), PODS * 2);
    });
}

#[test]
fn a_session_that_begins_during_the_hand_over_is_known_to_the_new_agent() {
    in_namespace("meanwhile", &NODE, || async {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, old, tokens) = node(folder.path()).await;
        // A connection that stays with the old agent.
        let mut kept = Connection::open(endpoints()[0]).await;
        kept.send(credentials_request(endpoints()[0], &tokens[0]).as_bytes()).await;
        assert_eq!(kept.answer().await.status, 200);
        let new = successor(&old, 0, &upstream, folder.path()).await;
        let late = TokenBuilder::made_now("late");
        kept.send(credentials_request(endpoints()[0], &late).as_bytes()).await;
        let by_old = kept.answer().await;
        assert_eq!((by_old.status, upstream.count()), (200, PODS + 1));
        let by_new = ask_for_credentials(endpoints()[0], &late).await;
        assert_eq!((&by_new.body, upstream.count()), (&by_old.body, PODS + 1));
        assert!(new.scrape().await.contains("pod_identity_cache_state{state=\"hit\"} 1"));
    });
}

#[test]
fn another_user_gets_no_sessions_and_a_directory_open_to_all_is_not_used() {
    in_namespace("strangers", &NODE, || async {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, old, _) = node(folder.path()).await;
        let socket = folder.path().join("agent.sock");
        // Even if the file's mode let it in.
        for path in [folder.path(), &socket] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let script = format!(
            "import socket; s=socket.socket(socket.AF_UNIX); s.connect({socket:?}); s.settimeout(5); print(len(s.recv(100)))"
        );
        let mut stranger = tokio::process::Command::new("python3");
        let output = stranger.args(["-c", &script]).uid(65_534).output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{output:?}");
        old.logged("belongs to user 65534").await;
        let second = agent(&upstream, folder.path()).await;
        let line = second.logged("may be written by every user").await;
        assert!(line.contains("will start without its sessions"), "{line}");
    });
}
