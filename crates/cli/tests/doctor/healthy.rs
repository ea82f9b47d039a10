//! Nothing is wrong, and nothing is said to be.

use std::time::Duration;

use testkit::SigningKey;
use testkit::authority::Authority;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::issuer_server::{IssuerServer, service_account_directory};
use testkit::network::shell;
use testkit::process::{AgentProcess, Start};
use testkit::signing::key_set;

use crate::cluster::node_in_cluster;
use crate::examination::{Examined, Node, Pod, agent_binary, doctor, needs};

pub(crate) async fn a_node_with_both_families() -> Examined {
    let _node = Node::healthy().await;
    let examined = doctor(&[]).await;
    examined.says("endpoint", "[fd00:ec2::23]:80");
    examined.says("own-credentials", "environment variables");
    examined
}

pub(crate) async fn a_node_without_ipv6() -> Examined {
    let _node = Node::healthy().await;
    doctor(&[]).await
}

pub(crate) async fn a_node_whose_firewall_has_rules_for_others() -> Examined {
    needs("iptables", "iptables");
    needs("nft", "nftables");
    let _node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    shell(&[
        "iptables -t nat -A PREROUTING -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:8181",
        "iptables -t nat -A PREROUTING -d 169.254.170.23/32 -j RETURN",
        "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.1.12:80",
        "iptables -A INPUT -m conntrack --ctstate INVALID -j DROP",
        "iptables -A INPUT -s 192.0.2.0/24 -j DROP",
        "iptables -A INPUT -i veth-web -j ACCEPT",
        "iptables -A INPUT ! -i lo -p tcp -m tcp --dport 1:1023 -j REJECT",
        "nft add table ip mine",
        "nft 'add chain ip mine input { type filter hook input priority 10; policy accept; }'",
        "nft add rule ip mine input ip saddr 192.0.2.7 tcp dport 80 drop",
    ]);
    pod.examined().await
}

pub(crate) async fn a_pod_that_gets_its_credentials() -> Examined {
    let _node = Node::healthy().await;
    let pod =
        Pod::start(&[("HTTP_PROXY", "http://proxy.example:3128"), ("NO_PROXY", "169.254.170.23")]).await;
    let examined = pod.examined().await;
    examined.says("pod", "gets credentials from the agent");
    examined
}

pub(crate) async fn an_agent_in_a_cluster() -> Examined {
    let authority = Authority::new();
    let keys = key_set([&SigningKey::ec("k1")]);
    let server = IssuerServer::start_api_server(&authority, "https://issuer.example", keys).await;
    let files = service_account_directory(&authority);
    let node = node_in_cluster(server.address().port(), files.path()).await;
    node.agent.logged("signing keys have come").await;
    let examined = doctor(&[]).await;
    examined.says("api-server", "gives the signing keys");
    examined
}

pub(crate) async fn an_agent_on_another_address() -> Examined {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let (binary, environment) = (agent_binary(), std::collections::HashMap::new());
    let start = Start { binary, upstream: Some(&upstream.url()), arguments: &[], environment };
    let agent = AgentProcess::start(start).await;
    let url = format!("http://{}", agent.endpoint);
    let token = url.clone() + "/v1/credentials";
    let pod = Pod::start(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &token)]).await;
    // Loopback is the pod's own, as dev run has it only on one machine.
    drop(pod);
    doctor(&["--agent", &url]).await
}
