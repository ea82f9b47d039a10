//! What is wrong with the node, or with the agent on it.

use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use testkit::canary;
use testkit::network::shell;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::examination::{Examined, Node, Pod, doctor, initialize};

pub(crate) async fn the_link_is_missing() -> Examined {
    let examined = doctor(&[]).await;
    examined.says("link-missing", "eks-pod-identity-agent initialize");
    examined
}

pub(crate) async fn the_link_is_down() -> Examined {
    let node = Node::healthy().await;
    shell(&["ip link set pod-id-link0 down"]);
    let examined = doctor(&[]).await;
    drop(node);
    examined
}

pub(crate) async fn the_address_is_missing() -> Examined {
    let _node = Node::healthy().await;
    shell(&["ip address del 169.254.170.23/32 dev pod-id-link0"]);
    doctor(&[]).await
}

pub(crate) async fn the_route_is_missing() -> Examined {
    let _node = Node::healthy().await;
    shell(&["ip route del 169.254.170.23/32 dev pod-id-link0"]);
    doctor(&[]).await
}

const OTHER: &str = "ip link add other type bridge && ip link set other up";

pub(crate) async fn the_address_is_on_another_link() -> Examined {
    shell(&[OTHER, "ip address add 169.254.170.23/32 dev other"]);
    let examined = doctor(&[]).await;
    examined.says("address-elsewhere", "ip address del 169.254.170.23 dev other");
    examined
}

pub(crate) async fn the_route_leads_to_another_link() -> Examined {
    let _node = Node::healthy().await;
    shell(&[
        OTHER,
        "ip route del 169.254.170.23/32 dev pod-id-link0",
        "ip route add 169.254.170.23/32 dev other",
    ]);
    let examined = doctor(&[]).await;
    examined.says("route-elsewhere", "ip route del 169.254.170.23 dev other");
    examined
}

pub(crate) async fn ipv6_is_off_and_required() -> Examined {
    let both = ["-b", "169.254.170.23", "-b", "fd00:ec2::23"];
    let reply = testkit::eks_auth_server::Reply::Issue(std::time::Duration::ZERO);
    let _node = Node::with(reply, &both, &[]).await;
    shell(&["echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"]);
    doctor(&[]).await
}

pub(crate) async fn the_agent_does_not_run() -> Examined {
    initialize().await;
    doctor(&[]).await
}

pub(crate) async fn the_agent_stands_still() -> Examined {
    let node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    node.agent.signal(Signal::STOP);
    let examined = pod.examined().await;
    node.agent.signal(Signal::CONT);
    examined
}

/// A web server that is not the agent, and what it was sent.
async fn serve_pages(address: &str) -> Arc<Mutex<String>> {
    let listener = TcpListener::bind(address).await.unwrap();
    let sent: Arc<Mutex<String>> = Arc::default();
    let of_server = Arc::clone(&sent);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).await.unwrap();
            of_server.lock().unwrap().push_str(&String::from_utf8_lossy(&request[..count]));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome").await;
        }
    });
    sent
}

pub(crate) async fn another_server_has_the_address() -> Examined {
    initialize().await;
    serve_pages("169.254.170.23:80").await;
    let examined = doctor(&[]).await;
    examined.says("port-taken", &format!("(process {})", std::process::id()));
    examined
}

pub(crate) async fn another_server_has_port_80_of_all_addresses() -> Examined {
    initialize().await;
    let sent = serve_pages("[::]:80").await;
    let pod = Pod::start(&[]).await;
    let examined = pod.examined().await;
    let sent = sent.lock().unwrap();
    assert!(sent.contains("GET /v1/credentials"), "{sent}");
    assert!(!sent.contains(canary::MARKER), "a stranger is sent the pod's token");
    examined
}
