//! How the agent itself calls: which endpoint, through which proxy, trusting whom, signed with what.

use std::collections::HashMap;
use std::time::Duration;

use testkit::authority::Authority;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::issuer_server::service_account_directory;
use testkit::neighbours::Neighbour;
use testkit::pod_watch_server::PodWatchServer;
use testkit::process::{AgentProcess, Start};

use testkit::{TokenBuilder, canary};

use crate::BINARY;

/// An agent with this environment and nothing else of ours; an empty value stands for an unset variable.
async fn agent_in(upstream: Option<&str>, environment: &[(&str, &str)]) -> AgentProcess {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let arguments = &["--upstream-attempts", "1"];
    AgentProcess::start(Start { binary: BINARY, upstream, arguments, environment }).await
}

#[tokio::test]
async fn eks_auth_is_called_as_its_model_says_signed_and_with_what_is_known_of_the_node() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = agent_in(Some(&upstream.url()), &[("NODE_NAME", "node-1")]).await;
    let token = TokenBuilder::made_now("web-0");
    assert_eq!(agent.ask(&token).await.status, 200);
    let requests = upstream.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /clusters/dev/assume-role-for-pod-identity HTTP/1.1"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("authorization: aws4-hmac-sha256 credential=akiaiosfodnn7example/"), "{head}");
    assert!(head.contains("/us-west-2/eks-auth/aws4_request"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({ "token": token, "eksNodeName": "node-1" }));
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn the_environment_names_the_endpoint_and_the_flag_wins_even_over_fips() {
    let named = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent = agent_in(None, &[("AWS_ENDPOINT_URL_EKS_AUTH", &named.url())]).await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    assert_eq!(named.count(), 1);

    let given = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let environment =
        [("AWS_ENDPOINT_URL_EKS_AUTH", named.url()), ("AWS_USE_FIPS_ENDPOINT", "true".to_owned())];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let agent = agent_in(Some(&given.url()), &environment).await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    assert_eq!((named.count(), given.count()), (1, 1));
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn each_partitions_endpoint_is_called_through_the_proxy_for_https() {
    for (region, fips, host) in [
        ("us-west-2", "", "eks-auth.us-west-2.api.aws"),
        ("us-west-2", "true", "eks-auth-fips.us-west-2.api.aws"),
        ("us-gov-west-1", "true", "eks-auth-fips.us-gov-west-1.api.aws"),
        ("cn-north-1", "", "eks-auth.cn-north-1.api.amazonwebservices.com.cn"),
        ("eusc-de-east-1", "", "eks-auth.eusc-de-east-1.api.amazonwebservices.eu"),
        ("us-iso-east-1", "", "eks-auth.us-iso-east-1.api.aws.ic.gov"),
        ("xx-foo-1", "", "eks-auth.xx-foo-1.api.aws"),
    ] {
        let proxy = Neighbour::proxy().await;
        let environment =
            [("AWS_REGION", region), ("AWS_USE_FIPS_ENDPOINT", fips), ("HTTPS_PROXY", &proxy.url())];
        let agent = agent_in(None, &environment).await;
        let answer = agent.ask(&TokenBuilder::made_now("web-0")).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(proxy.asked(), [format!("CONNECT {host}:443 HTTP/1.1")]);
        agent.leaks_nothing().await;
    }
}

#[tokio::test]
async fn a_destination_that_is_excepted_does_not_go_through_the_proxy() {
    let authority = Authority::new();
    let upstream = EksAuthServer::start_tls(&authority, Reply::Issue(Duration::ZERO)).await;
    let proxy = Neighbour::proxy().await;
    // 127.0.0.1 is excepted always, whatever the variable says.
    for exceptions in ["", "internal.example"] {
        let environment =
            [("AWS_CA_BUNDLE", authority.bundle()), ("https_proxy", &proxy.url()), ("NO_PROXY", exceptions)];
        let agent = agent_in(Some(&upstream.url()), &environment).await;
        assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    }
    let agent = agent_in(None, &[("HTTPS_PROXY", &proxy.url()), ("NO_PROXY", ".api.aws")]).await;
    assert_eq!(
        agent.ask(&TokenBuilder::made_now("web-0")).await.status,
        503,
        "there is no way to AWS from here but the proxy"
    );
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named_and_only_then() {
    let authority = Authority::new();
    let upstream = EksAuthServer::start_tls(&authority, Reply::Issue(Duration::ZERO)).await;
    let trusting = agent_in(Some(&upstream.url()), &[("AWS_CA_BUNDLE", authority.bundle())]).await;
    assert_eq!(trusting.ask(&TokenBuilder::made_now("web-0")).await.status, 200);

    let stranger = Authority::new();
    let wary = agent_in(Some(&upstream.url()), &[("AWS_CA_BUNDLE", stranger.bundle())]).await;
    let answer = wary.ask(&TokenBuilder::made_now("web-0")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (503, "UpstreamUnreachable"));
    let line = wary.logged("an exchange failed").await;
    assert!(line.contains("UnknownIssuer") || line.contains("certificate"), "{line}");
    assert_eq!(upstream.count(), 1);
    wary.leaks_nothing().await;
}

#[tokio::test]
async fn on_an_instance_region_credentials_and_details_come_from_its_metadata() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let metadata = Neighbour::instance_metadata().await;
    let proxy = Neighbour::proxy().await;
    let agent = agent_in(
        Some(&upstream.url()),
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url()),
            ("AWS_EC2_METADATA_DISABLED", ""),
            ("AWS_REGION", ""),
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("HTTPS_PROXY", &proxy.url()),
            ("HTTP_PROXY", &proxy.url()),
            ("HOME", "/nonexistent"),
        ],
    )
    .await;
    let line = agent.logged("EKS Auth is the upstream").await;
    assert!(line.contains("us-west-2"), "{line}");
    let discovered = async {
        while metadata
            .asked()
            .iter()
            .filter(|line| line.contains("instance-id") || line.contains("zone-id"))
            .count()
            < 2
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(testkit::process::SOON, discovered).await.unwrap();
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    // What was found goes with every exchange after it was found; the second surely comes after.
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-1")).await.status, 200);
    let request = upstream.requests().pop().unwrap();
    assert!(
        request.contains("ASIAOFTHENODE0000000"),
        "signed as the node: {}",
        request.split("\r\n\r\n").next().unwrap()
    );
    let body: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["instanceId"], &body["zone"]), (&"i-0123456789abcdef0".into(), &"usw2-az1".into()));
    assert_eq!(proxy.asked(), Vec::<String>::new(), "the metadata service is never asked through a proxy");
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_region_that_cannot_be_found_yet_is_looked_for_again() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let mut metadata = Neighbour::instance_metadata().await;
    metadata.die().await;
    let agent = agent_in(
        Some(&upstream.url()),
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url()),
            ("AWS_EC2_METADATA_DISABLED", ""),
            ("AWS_REGION", ""),
            ("HOME", "/nonexistent"),
        ],
    )
    .await;
    let token = TokenBuilder::made_now("web-0");
    let answer = agent.ask(&token).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("UpstreamMisconfigured")));
    let line = agent.logged("an exchange failed").await;
    assert!(line.contains("set AWS_REGION"), "{line}");
    metadata.revive().await;
    let served = async {
        while agent.ask(&token).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(testkit::process::SOON, served).await.unwrap();
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn without_a_cluster_name_the_instance_tells_it_or_else_the_nodes_labels() {
    let (upstream, metadata) =
        (EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await, Neighbour::instance_metadata().await);
    let (url, of_metadata) = (upstream.url(), metadata.url());
    let agent = AgentProcess::start(Start {
        binary: BINARY,
        upstream: Some(&url),
        arguments: &["--cluster-name", ""],
        environment: HashMap::from([
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", of_metadata.as_str()),
            ("AWS_EC2_METADATA_DISABLED", ""),
        ]),
    })
    .await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    let call = upstream.requests().pop().unwrap();
    assert!(call.starts_with("POST /clusters/of-the-instance/assume-role"), "{call}");

    let authority = Authority::new();
    let (api_server, files) =
        (PodWatchServer::start(&authority).await, service_account_directory(&authority));
    api_server.label("alpha.eksctl.io/cluster-name", "of-the-labels");
    let place = (api_server.address(), files.path());
    let agent = AgentProcess::in_cluster(&upstream, BINARY, place, &["--cluster-name", ""]).await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-1")).await.status, 200);
    let call = upstream.requests().pop().unwrap();
    assert!(call.starts_with("POST /clusters/of-the-labels/assume-role"), "{call}");
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_node_that_does_not_tell_the_clusters_name_ends_the_start_with_what_was_asked() {
    let authority = Authority::new();
    let (api_server, files) =
        (PodWatchServer::start(&authority).await, service_account_directory(&authority));
    let port = api_server.address().port().to_string();
    let mut command = tokio::process::Command::new(BINARY);
    command
        .args(["server", "--service-account-directory", files.path().to_str().unwrap()])
        .env_clear()
        // Nobody listens on port 1.
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", &port)
        .env("NODE_NAME", "node-1");
    let output = tokio::time::timeout(testkit::process::SOON, command.output()).await.unwrap().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for part in [
        "give it with --cluster-name",
        "the instance metadata service cannot be asked",
        "the node node-1 has neither the label alpha.eksctl.io/cluster-name",
    ] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
}

#[tokio::test]
async fn without_credentials_of_its_own_the_agent_says_whose_fault_that_is() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let nothing = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("HOME", "/nonexistent")];
    let agent = agent_in(Some(&upstream.url()), &nothing).await;
    let answer = agent.ask(&TokenBuilder::made_now("web-0")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (503, "NoOwnCredentials"));
    assert!(answer.body.contains("the node's configuration"), "{}", answer.body);
    agent.logged("no AWS credentials of its own").await;
    assert_eq!(upstream.count(), 0);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_call_that_aws_refuses_to_the_node_is_told_apart_from_one_refused_to_the_pod() {
    let refusal = Reply::error(
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid",
    );
    let upstream = EksAuthServer::start([], refusal).await;
    let agent = agent_in(Some(&upstream.url()), &[]).await;
    let answer = agent.ask(&TokenBuilder::made_now("web-0")).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str().unwrap()),
        (403, "UnrecognizedClientException")
    );
    assert!(answer.body.contains("AWS refused the agent's own call"), "{}", answer.body);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn with_rotating_credentials_calls_are_signed_with_the_shared_file() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let content = format!(
        "[default]\naws_access_key_id = AKIAOFTHEFILE0000000\naws_secret_access_key = {}\n",
        canary::MARKER
    );
    std::fs::write(&path, content).unwrap();
    let environment = HashMap::from([("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap())]);
    let arguments = &["--rotate-credentials", "true"];
    let agent = AgentProcess::start(Start {
        binary: BINARY,
        upstream: Some(&upstream.url()),
        arguments,
        environment,
    })
    .await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    assert!(
        upstream.requests()[0].contains("Credential=AKIAOFTHEFILE0000000/"),
        "the file wins over the environment"
    );
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn retry_settings_of_the_environment_that_make_no_sense_are_no_matter() {
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let agent =
        agent_in(Some(&upstream.url()), &[("AWS_MAX_ATTEMPTS", "0"), ("AWS_RETRY_MODE", "bogus")]).await;
    assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn a_changed_credentials_file_signs_the_next_call_and_a_half_written_one_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let write = |text: &str| {
        // As tools do that care: whole, under another name, then in its place.
        let next = folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &path).unwrap();
    };
    let profile = |key: &str| format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
    write(&profile("AKIAONE"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let url = upstream.url();
    let agent = AgentProcess::start(Start {
        binary: BINARY,
        upstream: Some(&url),
        arguments: &["--rotate-credentials", "true"],
        environment: HashMap::from([("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap())]),
    })
    .await;
    agent.logged("can be read or changed by others").await;
    for (number, (text, key)) in [
        (profile("AKIAONE"), "AKIAONE"),
        (profile("AKIATWO"), "AKIATWO"),
        ("[default]\naws_access_key_id = AKIATH".to_owned(), "AKIATWO"),
        (String::new(), "AKIATWO"),
        (profile("AKIATHREE"), "AKIATHREE"),
    ]
    .into_iter()
    .enumerate()
    {
        write(&text);
        assert_eq!(agent.ask(&TokenBuilder::made_now(&format!("web-{number}"))).await.status, 200);
        let request = upstream.requests().pop().unwrap();
        assert!(request.contains(&format!("Credential={key}/")), "{key}: {request}");
    }
    let log = agent.log();
    assert_eq!(log.matches("the last good credentials stay in use").count(), 1, "{log}");
    agent.leaks_nothing().await;
}

#[tokio::test]
async fn an_agent_that_is_sent_to_itself_for_credentials_does_not_start_and_says_why() {
    let output = tokio::process::Command::new(BINARY)
        .args(["server", "-c", "dev", "-b", "127.0.0.1", "-p", "0"])
        .env_clear()
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")
        .output()
        .await
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("would ask itself"), "{message}");
}
