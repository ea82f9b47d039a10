//! Where the agent listens: its defaults, addresses that are missing or come late, and those that are asked for.

use std::time::Duration;

use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::network::in_namespace;
use testkit::wire::ask_for_credentials;
use testkit::{TokenBuilder, canary};

use super::{BINARY, IPV4, IPV6, WITHOUT_IPV6, agent_with_defaults};

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
        let up = async |value: u8| {
            let line = format!("pod_identity_listener_up{{address=\"[fd00:ec2::23]:80\"}} {value}");
            let page = agent.scrape().await;
            assert!(page.lines().any(|found| found == line), "{page}");
        };
        up(0).await;
        let status = std::process::Command::new("sh").args(["-ec", IPV6]).status().unwrap();
        assert!(status.success());
        agent.logged("this node has the address now").await;
        up(1).await;
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
