//! The network ring: the real agent in network namespaces of its own, where AWS's addresses and port 80 can be had.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::network::in_namespace;
use testkit::process::{AgentProcess, Start};
use testkit::wire::ask_for_credentials;
use testkit::{TokenBuilder, canary};

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

#[test]
fn with_its_defaults_the_agent_is_where_awss_sdks_look_for_it_and_both_addresses_share_their_sessions() {
    in_namespace("defaults", &[IPV4, IPV6], || async {
        let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
        let agent = agent_with_defaults(&upstream).await;
        let token = TokenBuilder::made_now("web-0");
        let over_ipv4 = ask_for_credentials("169.254.170.23:80".parse().unwrap(), &token).await;
        let over_ipv6 = ask_for_credentials("[fd00:ec2::23]:80".parse().unwrap(), &token).await;
        assert_eq!((over_ipv4.status, over_ipv6.status), (200, 200));
        assert_eq!(over_ipv4.body, over_ipv6.body);
        assert_eq!(upstream.count(), 1);
        assert_eq!(agent.probe("/readyz").await.status, 200);
        canary::assert_absent("the log", &agent.log());
    });
}

#[test]
fn a_node_without_ipv6_is_served_and_told_so_once() {
    for (name, setup) in [("no-address", &[IPV4][..]), ("no-ipv6", &[WITHOUT_IPV6, IPV4])] {
        in_namespace(name, setup, || async {
            let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
            let agent = agent_with_defaults(&upstream).await;
            assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
            assert_eq!(agent.probe("/readyz").await.status, 200);
            assert_eq!(agent.log().matches("this node has no such address").count(), 1, "{}", agent.log());
        });
    }
}

#[test]
fn an_address_that_comes_late_is_served_from_then_on() {
    in_namespace("late", &[IPV4], || async {
        let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
        let agent = agent_with_defaults(&upstream).await;
        let status = std::process::Command::new("sh").args(["-ec", IPV6]).status().unwrap();
        assert!(status.success());
        agent.logged("this node has the address now").await;
        let token = TokenBuilder::made_now("web-0");
        for address in ["[fd00:ec2::23]:80", "169.254.170.23:80"] {
            assert_eq!(ask_for_credentials(address.parse().unwrap(), &token).await.status, 200, "{address}");
        }
        assert_eq!(upstream.count(), 1);
    });
}

#[test]
fn an_address_that_is_asked_for_and_missing_ends_the_start_and_is_named() {
    in_namespace("required", &[WITHOUT_IPV6, IPV4], || async {
        let arguments = ["server", "-c", "dev", "-b", "169.254.170.23", "-b", "[fd00:ec2::23]"];
        let output = tokio::process::Command::new(BINARY).args(arguments).env_clear().output().await.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            message.contains("cannot listen on [fd00:ec2::23]:80: no interface of this machine has"),
            "{message}"
        );
    });
}

#[test]
fn initialize_makes_link_addresses_and_routes_and_run_again_changes_nothing() {
    in_namespace("initialize", &[], || async {
        let (done, before) = initialize(&["--check"]).await;
        assert!(!done && before.contains("missing: make the link pod-id-link0"), "{before}");
        assert!(!ip("link").contains("pod-id-link0"), "a check changes nothing");

        let (done, log) = initialize(&[]).await;
        assert!(done, "{log}");
        let addresses = ip("address show dev pod-id-link0");
        assert!(
            addresses.contains("inet 169.254.170.23/32") && addresses.contains("inet6 fd00:ec2::23/128"),
            "{addresses}"
        );
        assert!(addresses.contains(",UP"), "{addresses}");
        assert!(ip("route").contains("169.254.170.23 dev pod-id-link0"), "{}", ip("route"));
        assert!(ip("-6 route").contains("fd00:ec2::23 dev pod-id-link0"), "{}", ip("-6 route"));

        let state = || [ip("address show dev pod-id-link0"), ip("route"), ip("-6 route")];
        let made = state();
        let (done, log) = initialize(&["--verbosity", "info"]).await;
        assert!(done && log.contains("\"steps\":0"), "{log}");
        assert_eq!(state(), made);
        let (done, after) = initialize(&["--check"]).await;
        assert!(done && after.contains("nothing is missing"), "{after}");

        let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
        let agent = agent_with_defaults(&upstream).await;
        for address in ["169.254.170.23:80", "[fd00:ec2::23]:80"] {
            let token = TokenBuilder::made_now("web-0");
            assert_eq!(ask_for_credentials(address.parse().unwrap(), &token).await.status, 200, "{address}");
        }
        assert_eq!(agent.probe("/readyz").await.status, 200);
    });
}

#[test]
fn initialize_repairs_what_is_half_there() {
    let half = ["ip link add pod-id-link0 type bridge", "ip address add 169.254.170.23/32 dev pod-id-link0"];
    in_namespace("initialize-half", &half, || async {
        let (done, log) = initialize(&[]).await;
        assert!(done, "{log}");
        assert!(log.contains("bring pod-id-link0 up") && !log.contains("make the link"), "{log}");
        assert!(initialize(&["--check"]).await.0);
    });
}

#[test]
fn initialize_without_ipv6_prepares_ipv4_and_says_so() {
    in_namespace("initialize-ipv4", &[WITHOUT_IPV6], || async {
        let (done, log) = initialize(&[]).await;
        assert!(done, "{log}");
        assert!(
            log.contains("going on without fd00:ec2::23") && log.contains("IPv6 is switched off"),
            "{log}"
        );
        assert!(ip("address show dev pod-id-link0").contains("inet 169.254.170.23/32"));
        let (done, after) = initialize(&["--check"]).await;
        assert!(done && after.contains("note: going on without fd00:ec2::23"), "{after}");
    });
}

#[test]
fn initialize_stops_at_what_is_in_the_way_and_names_it() {
    let veth = "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up";
    for (setup, text) in [
        ("ip address add 169.254.170.23/32 dev eth0", "169.254.170.23 is on the link eth0"),
        ("ip route add 169.254.170.23/32 dev eth0", "169.254.170.23 is routed to the link eth0"),
    ] {
        in_namespace("initialize-conflict", &[veth, setup], || async {
            let (done, log) = initialize(&[]).await;
            assert!(!done && log.contains(text), "{log}");
            assert!(!ip("link").contains("pod-id-link0"), "nothing is half done");
        });
    }
}

#[test]
fn initialize_notes_addresses_that_are_not_ours() {
    let foreign = ["ip link add pod-id-link0 type bridge", "ip address add 10.9.8.7/32 dev pod-id-link0"];
    in_namespace("initialize-foreign", &foreign, || async {
        let (done, log) = initialize(&[]).await;
        assert!(done && log.contains("has the address 10.9.8.7 too"), "{log}");
    });
}

#[test]
fn initialize_needs_net_admin_and_nothing_else() {
    in_namespace("initialize-rights", &[], || async {
        let with = |rights: &str| {
            let mut command = tokio::process::Command::new("setpriv");
            command.args(["--bounding-set", rights, "--inh-caps", rights, BINARY, "initialize"]);
            command
        };
        let refused = with("-all").output().await.unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && text.contains("capability NET_ADMIN"), "{text}");
        let allowed = with("-all,+net_admin").output().await.unwrap();
        assert!(allowed.status.success(), "{allowed:?}");
    });
}
