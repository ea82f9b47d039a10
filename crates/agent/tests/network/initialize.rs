//! `initialize` makes the node's addresses, repairs what is half there, and stops at what is in the way.

use std::time::Duration;

use testkit::TokenBuilder;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::network::in_namespace;
use testkit::wire::ask_for_credentials;

use super::{BINARY, WITHOUT_IPV6, agent_with_defaults, initialize, ip};

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
