//! Nothing is wrong, and nothing is said to be.

use std::process::Stdio;
use std::time::Duration;

use testkit::SigningKey;
use testkit::authority::Authority;
use testkit::canary;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::issuer_server::{IssuerServer, service_account_directory};
use testkit::network::shell;
use testkit::process::SOON;
use testkit::signing::key_set;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::cluster::node_in_cluster;
use crate::examination::{Examined, Node, Pod, agent, doctor, doctor_without, initialize, needs};

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

/// As in a container: what its variables name, others have not, or have something else there.
pub(crate) async fn an_agent_whose_files_only_it_sees() -> Examined {
    initialize().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (credentials, bundle) = (path("credentials"), path("bundle.pem"));
    let secret = canary::MARKER;
    let profile =
        format!("[default]\naws_access_key_id = AKIAOFTHEAGENT000000\naws_secret_access_key = {secret}\n");
    std::fs::write(&credentials, profile).unwrap();
    let authority = Authority::new();
    std::fs::copy(authority.bundle(), &bundle).unwrap();
    let upstream = EksAuthServer::start_tls(&authority, Reply::Issue(Duration::ZERO)).await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
        ("AWS_CA_BUNDLE", bundle.as_str()),
    ];
    let _agent = agent(Some(&upstream.url()), &["--rotate-credentials"], &environment).await;
    let examined = doctor_without(folder.path()).await;
    examined.says("own-credentials", "the shared credentials file");
    examined.says("eks-auth", &upstream.url());
    let signed = upstream.requests();
    assert!(signed.iter().any(|request| request.contains("AKIAOFTHEAGENT000000")), "{signed:?}");
    examined
}

pub(crate) async fn an_agent_whose_profile_runs_a_program() -> Examined {
    initialize().await;
    let folder = tempfile::tempdir().unwrap();
    let (config, ran) = (folder.path().join("config"), folder.path().join("ran"));
    let profile = format!("[default]\nCredential_Process = touch {}\n", ran.display());
    std::fs::write(&config, profile).unwrap();
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
    ];
    let _agent = agent(Some(&upstream.url()), &[], &environment).await;
    let examined = doctor(&[]).await;
    examined.says("own-credentials-unchecked", "has credential_process");
    assert!(!ran.exists(), "a program was run for the agent");
    examined
}

/// `dev`, and a program that it runs as a pod.
pub(crate) async fn a_program_of_dev_run() -> Examined {
    let folder = tempfile::Builder::new().prefix("pi-").tempdir().unwrap();
    let dev = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pod-identity"));
        command
            .arg("dev")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    };
    let data = folder.path().to_str().unwrap();
    let role = "shop/web=arn:aws:iam::111122223333:role/web";
    let mut system = dev(&["--ephemeral", "--data", data, "--associate", role]).spawn().unwrap();
    let mut greeting = BufReader::new(system.stdout.take().unwrap()).lines();
    tokio::time::timeout(SOON, greeting.next_line()).await.expect("dev does not start").unwrap().unwrap();
    let run = ["run", "--data", data, "--namespace", "shop", "--service-account", "web", "--"];
    let script = ["sh", "-c", "echo $$; exec sleep 600"];
    let mut program = dev(&[&run[..], &script].concat()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let pid = tokio::time::timeout(SOON, lines.next_line()).await.expect("it does not run").unwrap().unwrap();
    let examined = doctor(&["--agent", "http://127.0.0.1:17023", "--pid", &pid]).await;
    examined.says("endpoint", "127.0.0.1:17023");
    examined.says("pod", "gets credentials from the agent at 127.0.0.1:17023");
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    examined
}
