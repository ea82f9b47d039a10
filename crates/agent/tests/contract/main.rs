//! The contract ring: the real agent as a process, asked byte for byte as clients ask, calling as AWS's tools call.

mod own_calls;
mod requests;

use std::collections::HashMap;
use std::time::SystemTime;

use testkit::eks_auth_server::EksAuthServer;
use testkit::process::{AgentProcess, Start};
use testkit::{TokenBuilder, canary};

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");

async fn agent(upstream: &EksAuthServer, arguments: &[&str]) -> AgentProcess {
    let start =
        Start { binary: BINARY, upstream: Some(&upstream.url()), arguments, environment: HashMap::new() };
    AgentProcess::start(start).await
}

#[expect(clippy::disallowed_methods, reason = "the real agent lives by the real clock")]
fn token(pod: &str) -> String {
    TokenBuilder::of_pod(pod, SystemTime::now()).raw()
}

/// Every test ends here: nothing that left the process but answers with credentials may hold a secret.
async fn leaks_nothing(agent: &AgentProcess) {
    canary::assert_absent("the log", &agent.log());
    canary::assert_absent("metrics", &agent.scrape().await);
}
