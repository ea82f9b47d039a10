//! Rules in front of the agent.

use testkit::network::shell;

use crate::examination::{Examined, Node, Pod, needs};

/// As portmap writes them for a pod with `hostPort: 80`.
const HOST_PORT: [&str; 6] = [
    "iptables -t nat -N CNI-HOSTPORT-DNAT",
    "iptables -t nat -N CNI-DN-web",
    "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
    "iptables -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
    "iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'dnat name: \"net\"' -m multiport --dports 80,443 -j CNI-DN-web",
    "iptables -t nat -A CNI-DN-web -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.1.11:80",
];

pub(crate) async fn a_host_port_takes_port_80() -> Examined {
    needs("iptables", "iptables");
    let _node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    shell(&HOST_PORT);
    let examined = pod.examined().await;
    examined.says("traffic-redirected", "goes to 10.0.1.11:80 instead");
    examined
}

pub(crate) async fn a_rule_of_nftables_takes_port_80() -> Examined {
    needs("nft", "nftables");
    let _node = Node::healthy().await;
    shell(&[
        "nft add table ip proxy",
        "nft 'add chain ip proxy pre { type nat hook prerouting priority -100; }'",
        "nft add rule ip proxy pre tcp dport { 80, 443 } dnat to 10.0.1.11:8080",
    ]);
    crate::examination::doctor(&[]).await
}

pub(crate) async fn hardening_drops_the_address() -> Examined {
    needs("iptables", "iptables");
    let _node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    shell(&[
        "iptables -A INPUT -i lo -j ACCEPT",
        "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "iptables -A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT",
        "iptables -P INPUT DROP",
    ]);
    let examined = pod.examined().await;
    examined.says("traffic-dropped", "iptables -I INPUT -d 169.254.170.23/32 -p tcp --dport 80 -j ACCEPT");
    // The remedy is one.
    shell(&["iptables -I INPUT -d 169.254.170.23/32 -p tcp --dport 80 -j ACCEPT"]);
    pod.examined().await.finds(&[]);
    examined
}

pub(crate) async fn a_policy_of_nftables_drops_everything() -> Examined {
    needs("nft", "nftables");
    let _node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    shell(&[
        "nft add table inet filter",
        "nft 'add chain inet filter input { type filter hook input priority 0; policy drop; }'",
        "nft add rule inet filter input iif lo accept",
        "nft add rule inet filter input ct state established,related accept",
    ]);
    pod.examined().await
}
