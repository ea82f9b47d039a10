//! EKS Auth dies, stops and comes back.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, kill_process};

use super::*;

#[tokio::test]
async fn an_outage_of_many_renewals_is_noticed_by_no_pod_and_ends_by_itself() {
    let mut upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    // An hour's outage, for sessions that are due each second instead of every third hour.
    let due_at_once = ["--max-credential-retention-before-renewal", "1s", "--max-service-qps", "50"];
    let flags = [&due_at_once[..], &["--source-request-rate", "1000000"]].concat();
    let agent = AgentProcess::before(&upstream, BINARY, &flags).await;
    let token = TokenBuilder::made_now("web-0");
    assert_eq!(agent.ask(&token).await.status, 200);
    upstream.die().await;
    let failed = async {
        while !agent.scrape().await.contains("pod_identity_cache_errors{code=\"UpstreamUnreachable\"") {
            assert_eq!(agent.ask(&token).await.status, 200);
        }
    };
    timeout(SOON, failed).await.expect("no renewal is tried");
    upstream.revive().await;
    let before = upstream.count();
    let renewed = async {
        while upstream.count() == before {
            assert_eq!(agent.ask(&token).await.status, 200);
        }
    };
    timeout(SOON * 2, renewed).await.expect("no renewal is tried again");
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_pod_that_asks_during_a_short_outage_is_held_and_served() {
    let mut upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    upstream.die().await;
    let agent = AgentProcess::before(&upstream, BINARY, &["--hold-timeout", "20s"]).await;
    let token = TokenBuilder::made_now("web-0");
    let (answer, ()) = tokio::join!(agent.ask(&token), async {
        agent.logged("EKS Auth is the upstream").await;
        upstream.revive().await;
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    agent.leaks_nothing().await;
}

/// An upstream in a process of its own, which can be stopped.
struct UpstreamProcess {
    child: Child,
    url: String,
}

const SAYS_ITS_URL: &str = "upstream at ";

impl UpstreamProcess {
    /// Starts this very test program as an upstream.
    fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--ignored", "--exact", "outages::an_upstream_until_it_is_killed", "--nocapture"];
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url =
            lines.map_while(Result::ok).find_map(|line| Some(line.split_once(SAYS_ITS_URL)?.1.to_owned()));
        Self { child, url: url.expect("the upstream does not start") }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for UpstreamProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "not a test: the upstream that other tests start in a process of its own"]
async fn an_upstream_until_it_is_killed() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    writeln!(std::io::stdout(), "{SAYS_ITS_URL}{}", upstream.url()).unwrap();
    // Nobody needs it longer than its parent lives, and no test lives longer than this.
    tokio::time::sleep(SOON * 6).await;
}

#[tokio::test]
async fn an_upstream_that_is_stopped_and_goes_on_costs_known_pods_nothing_and_new_ones_a_wait() {
    let upstream = UpstreamProcess::start();
    let arguments = ["--upstream-attempt-timeout", "300ms", "--hold-timeout", "1s"];
    let environment = std::collections::HashMap::new();
    let start = testkit::process::Start {
        binary: BINARY,
        upstream: Some(&upstream.url),
        arguments: &arguments,
        environment,
    };
    let agent = AgentProcess::start(start).await;
    let (known, new) = (TokenBuilder::made_now("web-0"), TokenBuilder::made_now("web-1"));
    let before = agent.ask(&known).await;
    assert_eq!(before.status, 200);
    upstream.signal(Signal::STOP);
    let (refused, kept) = tokio::join!(agent.ask(&new), agent.ask(&known));
    assert_eq!(kept.body, before.body);
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("UpstreamTimedOut")),
        "{refused:?}"
    );
    upstream.signal(Signal::CONT);
    let served = async { while agent.ask(&new).await.status != 200 {} };
    timeout(SOON, served).await.expect("not served after the upstream goes on");
    agent.leaks_nothing().await;
}
