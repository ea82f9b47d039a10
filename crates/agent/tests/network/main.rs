//! The network ring: the real agent in network namespaces of its own, where AWS's addresses and port 80 can be had.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;

use testkit::eks_auth_server::EksAuthServer;
use testkit::process::{AgentProcess, Start};

mod addresses;
mod initialize;
mod pods;
mod read_only;

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");
const IPV4: &str = "ip address add 169.254.170.23/32 dev lo";
const IPV6: &str = "ip address add fd00:ec2::23/128 dev lo";
const WITHOUT_IPV6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";

/// Runs `initialize` to its end: whether it did its work, and all it wrote.
async fn initialize(arguments: &[&str]) -> (bool, String) {
    let mut command = tokio::process::Command::new(BINARY);
    let output = command.arg("initialize").args(arguments).env_clear().output().await.unwrap();
    let written = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(written).unwrap())
}

/// What `ip` prints of this.
fn ip(arguments: &str) -> String {
    let output = std::process::Command::new("ip").args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

async fn agent_with_defaults(upstream: &EksAuthServer) -> AgentProcess {
    let start = Start {
        binary: BINARY,
        upstream: Some(&upstream.url()),
        arguments: &[],
        environment: HashMap::new(),
    };
    AgentProcess::start_on_node(start).await
}
