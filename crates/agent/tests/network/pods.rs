//! Pods as nodes have them: behind a veth pair each, in every mixture of address families, on nodes whose routes, proxies and
//! port 80 are somebody else's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use testkit::TokenBuilder;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::neighbours::Neighbour;
use testkit::network::{Namespace, in_namespace, shell};
use testkit::process::{AgentProcess, Start};
use testkit::wire::{Answer, ask_for_credentials};

use super::{BINARY, WITHOUT_IPV6, agent_with_defaults, initialize};

const OVER_IPV4: &str = "169.254.170.23:80";
const OVER_IPV6: &str = "[fd00:ec2::23]:80";

/// Which addresses pods of a node have.
#[derive(Clone, Copy, PartialEq)]
enum Families {
    Ipv4,
    Ipv6,
    Both,
}

/// A pod of the calling thread's node: a host route to it, and its own default route to the node, as CNI plugins make them.
fn pod(name: &str, number: u8, families: Families) -> Namespace {
    let (pod, here) = (Namespace::add(name), format!("veth-{name}"));
    pod.link(&here, "eth0");
    if families != Families::Ipv6 {
        pod.shell(&[&format!("ip address add 10.0.1.{number}/32 dev eth0"), "ip route add default dev eth0"]);
        shell(&[&format!("ip route add 10.0.1.{number}/32 dev {here}")]);
    }
    if families != Families::Ipv4 {
        pod.shell(&[
            &format!("ip address add fd01::1:{number}/128 dev eth0 nodad"),
            "ip address add fe80::2/64 dev eth0 nodad",
            "ip -6 route add default via fe80::1 dev eth0",
        ]);
        shell(&[
            &format!("ip address add fe80::1/64 dev {here} nodad"),
            &format!("ip -6 route add fd01::1:{number}/128 dev {here}"),
        ]);
    }
    pod
}

/// Asks from a pod, or another node.
async fn ask(from: &Namespace, address: &str, token: &str) -> Answer {
    let (address, token): (SocketAddr, _) = (address.parse().unwrap(), token.to_owned());
    from.run(move || async move { ask_for_credentials(address, &token).await }).await
}

/// How a connection from there ends: what the operating system says, or nothing at all for two seconds.
async fn connect(from: &Namespace, address: &str) -> Result<(), String> {
    let address: SocketAddr = address.parse().unwrap();
    from.run(move || async move {
        match tokio::time::timeout(Duration::from_secs(2), tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("silence".to_owned()),
        }
    })
    .await
}

async fn eks_auth() -> EksAuthServer {
    EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await
}

#[test]
fn pods_of_every_family_are_served_on_nodes_of_every_family() {
    let nodes = [
        ("node-ipv4", vec![WITHOUT_IPV6], Families::Ipv4, vec![OVER_IPV4]),
        ("node-ipv6", vec![], Families::Ipv6, vec![OVER_IPV6]),
        ("node-both", vec![], Families::Both, vec![OVER_IPV4, OVER_IPV6]),
    ];
    for (name, setup, families, addresses) in nodes {
        in_namespace(name, &setup, || async {
            let (done, log) = initialize(&[]).await;
            assert!(done, "{log}");
            let pods = [pod("web-1", 11, families), pod("web-2", 12, families)];
            let upstream = eks_auth().await;
            let agent = agent_with_defaults(&upstream).await;
            for (number, from) in pods.iter().enumerate() {
                let token = TokenBuilder::made_now(&format!("web-{number}"));
                for address in &addresses {
                    let answer = ask(from, address, &token).await;
                    assert_eq!(answer.status, 200, "{name}: {address}: {}", answer.body);
                }
            }
            assert_eq!(upstream.count(), pods.len(), "one call a pod, over whichever addresses it asks");
            assert_eq!(agent.probe("/readyz").await.status, 200);
            agent.leaks_nothing().await;
        });
    }
}

#[test]
fn routes_of_the_node_that_lead_elsewhere_do_not_lead_pods_astray() {
    let uplink = "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up && \
                  ip address add 10.0.0.5/24 dev eth0";
    for (name, routes) in [
        ("default-elsewhere", "ip route add default via 10.0.0.1 dev eth0"),
        ("no-link-local", "ip route add unreachable 169.254.0.0/16; ip -6 route add unreachable fd00::/8"),
        ("link-local-elsewhere", "ip route add 169.254.0.0/16 dev eth0; ip -6 route add fd00::/8 dev eth0"),
        ("rule-first", "ip rule add priority 100 table 7; ip route add blackhole 169.254.0.0/16 table 7"),
        (
            "strict-source",
            "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; ip route add default via 10.0.0.1",
        ),
    ] {
        in_namespace(name, &[uplink, routes], || async {
            let (done, log) = initialize(&[]).await;
            assert!(done, "{log}");
            let from = pod("web", 11, Families::Both);
            let upstream = eks_auth().await;
            let agent = agent_with_defaults(&upstream).await;
            for address in [OVER_IPV4, OVER_IPV6] {
                let answer = ask(&from, address, &TokenBuilder::made_now("web-0")).await;
                assert_eq!(answer.status, 200, "{name}: {address}: {}", answer.body);
            }
            assert_eq!(agent.probe("/readyz").await.status, 200, "{name}");
        });
    }
}

#[test]
fn no_other_address_of_the_node_leads_to_the_credentials() {
    in_namespace("other-addresses", &[], || async {
        let (done, log) = initialize(&[]).await;
        assert!(done, "{log}");
        let (neighbour, from) = (Namespace::add("neighbour"), pod("web", 11, Families::Both));
        neighbour.link("eth0", "eth0");
        shell(&["ip address add 10.0.0.5/24 dev eth0", "ip address add fd02::5/64 dev eth0 nodad"]);
        neighbour.shell(&["ip address add 10.0.0.6/24 dev eth0", "ip address add fd02::6/64 dev eth0 nodad"]);
        let upstream = eks_auth().await;
        let agent = agent_with_defaults(&upstream).await;
        let token = TokenBuilder::made_now("web-0");
        assert_eq!(ask(&from, OVER_IPV4, &token).await.status, 200);
        for from in [&from, &neighbour] {
            for address in ["10.0.0.5:80", "[fd02::5]:80"] {
                let refused = connect(from, address).await.unwrap_err();
                assert!(refused.contains("refused"), "{from:?}: {address}: {refused}");
            }
            assert!(connect(from, "10.0.0.5:2703").await.is_err(), "probes are for this node alone");
            // The metrics are for whoever scrapes, as AWS's agent has it; the credentials are not beside them.
            assert_eq!(ask(from, "10.0.0.5:2705", &token).await.status, 404);
        }
        agent.leaks_nothing().await;
    });
}

#[test]
fn each_node_serves_its_own_pods_with_its_own_sessions() {
    in_namespace("node-1", &[], || async {
        let (done, log) = initialize(&[]).await;
        assert!(done, "{log}");
        let second = Namespace::add("node-2");
        second.link("eth0", "eth0");
        shell(&["ip address add 10.0.0.1/24 dev eth0"]);
        second.shell(&["ip address add 10.0.0.2/24 dev eth0"]);
        let upstream = eks_auth().await;
        let _agent = agent_with_defaults(&upstream).await;
        let from = pod("web", 11, Families::Both);
        let token = TokenBuilder::made_now("web-0");
        let on_first = ask(&from, OVER_IPV4, &token).await;
        assert_eq!(on_first.status, 200);

        let same_token = token.clone();
        let (log, on_second, calls) = second
            .run(move || async move {
                let (done, log) = initialize(&[]).await;
                assert!(done, "{log}");
                let upstream = eks_auth().await;
                let agent = agent_with_defaults(&upstream).await;
                let from = pod("api", 11, Families::Both);
                let answer = ask(&from, OVER_IPV6, &same_token).await;
                (agent.log(), answer, upstream.count())
            })
            .await;
        assert_eq!((on_second.status, calls), (200, 1), "{log}");
        assert_eq!(upstream.count(), 1, "the first node's agent heard nothing of it");
        assert_eq!(ask(&from, OVER_IPV6, &token).await.body, on_first.body);
    });
}

#[test]
fn port_80_of_other_addresses_may_be_taken_and_of_all_addresses_not() {
    let addresses = ["ip address add 10.0.0.5/32 dev lo", super::IPV4, super::IPV6];
    in_namespace("port-80", &addresses, || async {
        let _others = ["10.0.0.5:80", "127.0.0.1:80"].map(|at| std::net::TcpListener::bind(at).unwrap());
        let upstream = eks_auth().await;
        let agent = agent_with_defaults(&upstream).await;
        assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    });
    in_namespace("port-80-of-all", &addresses, || async {
        let _ingress = std::net::TcpListener::bind("0.0.0.0:80").unwrap();
        let output = tokio::process::Command::new(BINARY)
            .args(["server", "-c", "dev"])
            .env_clear()
            .output()
            .await
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            message.contains("cannot listen on 169.254.170.23:80: another process listens there"),
            "{message}"
        );
    });
}

#[test]
fn a_proxy_of_the_node_sees_neither_pods_nor_probes() {
    in_namespace("proxy", &[super::IPV4, super::IPV6], || async {
        let (proxy, upstream) = (Neighbour::proxy().await, eks_auth().await);
        let url = proxy.url();
        let environment: HashMap<&str, &str> =
            ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, url.as_str())).into();
        let agent = AgentProcess::start_on_node(Start {
            binary: BINARY,
            upstream: Some(&upstream.url()),
            arguments: &[],
            environment,
        })
        .await;
        assert_eq!(agent.probe("/readyz").await.status, 200);
        assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
        assert_eq!(proxy.asked(), Vec::<String>::new());
    });
}
