//! A system that runs: tokens, associations, credentials, and calls that are refused.

use identity::ServiceAccountToken;
use serde_json::Value;
use testkit::wire;

use crate::system::{ACCOUNT, ROLE, System, folder, text};

#[tokio::test]
async fn the_greeting_is_short_and_its_last_line_works_when_copied() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--associate", &format!("shop/web={ROLE}")]).await;
    assert!(system.greeting.lines().count() < 10, "{}", system.greeting);
    let line = system.greeting.lines().last().unwrap();
    let command = line.split_once("curl").unwrap().1;
    let command = format!("curl --silent {command}");
    let output = tokio::process::Command::new("sh").args(["-c", &command]).output().await.unwrap();
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{command}: {output:?}"));
    assert!(answer["AccessKeyId"].as_str().unwrap().starts_with("ASIA"), "{answer}");
}

#[tokio::test]
async fn a_token_gets_credentials_as_soon_as_its_service_account_has_a_role() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let first = system.ask("token", &ACCOUNT).await;
    assert!(text(&first.stderr).contains("shop/web has no association"), "{first:?}");
    let refused = system.credentials(text(&first.stdout).trim_end()).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (404, Some("ResourceNotFoundException")));

    system.associate().await;
    let token = system.token().await;
    let answer = system.credentials(&token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let credentials = answer.json();
    let mut members: Vec<_> = credentials.as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["AccessKeyId", "AccountId", "Expiration", "SecretAccessKey", "Token"]);
    assert_eq!(credentials["AccountId"], "111122223333");
}

#[tokio::test]
async fn a_role_behind_a_role_gives_the_credentials_of_the_second() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let target = "arn:aws:iam::444455556666:role/target";
    for options in [&["--disable-session-tags"][..], &[]] {
        system
            .answer(
                "associate",
                &[&ACCOUNT[..], &["--role-arn", ROLE, "--target-role-arn", target], options].concat(),
            )
            .await;
        let answer = system.credentials(&system.token().await).await;
        assert_eq!(answer.status, 200, "{options:?}: {answer:?}");
        assert_eq!(answer.json()["AccountId"], "444455556666");
    }
}

#[tokio::test]
async fn associations_are_listed_changed_and_taken_away() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    assert!(system.answer("associations", &[]).await.contains("no service account has a role"));
    let associate =
        async |role: &str| system.answer("associate", &[&ACCOUNT[..], &["--role-arn", role]].concat()).await;
    let other = "arn:aws:iam::111122223333:role/other";
    assert!(associate(ROLE).await.ends_with(&format!("shop/web has {ROLE}")));
    assert!(associate(ROLE).await.ends_with("already"));
    assert!(associate(other).await.ends_with(&format!("shop/web has {other}, in place of {ROLE}")));
    let list = system.answer("associations", &[]).await;
    assert_eq!(list.lines().count(), 1);
    assert!(list.starts_with("a-") && list.contains("shop/web") && list.ends_with(other), "{list}");
    assert!(system.answer("dissociate", &ACCOUNT).await.contains("no longer has"));
    let again = system.ask("dissociate", &ACCOUNT).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("shop/web has no association"), "{again:?}");
}

#[tokio::test]
async fn names_that_kubernetes_would_refuse_are_refused_here() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    for arguments in [
        ["--namespace", "Shop", "--service-account", "web"],
        ["--namespace", "shop", "--service-account", "a/b"],
    ] {
        let refused = system.ask("token", &arguments).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("is no name of a"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_names_its_pod_and_lives_as_long_as_was_asked() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--cluster", "prod"]).await;
    let arguments = [&ACCOUNT[..], &["--pod", "web-7", "--lifetime", "90s"]].concat();
    let token = ServiceAccountToken::parse(&system.answer("token", &arguments).await).unwrap();
    let claims = token.claims();
    assert_eq!(claims.pod().unwrap().pod.name, "web-7");
    let life = claims.expires.duration_since(claims.issued.unwrap()).unwrap();
    assert_eq!(life.as_secs(), 90);
    assert_eq!(claims.issuer.as_deref(), Some(format!("http://{}", system.api).as_str()));
}

#[tokio::test]
async fn the_issuers_documents_lead_from_its_name_to_its_key() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let get = async |path: &str| {
        wire::ask(system.api, format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", system.api).as_bytes()).await
    };
    let discovery = get("/.well-known/openid-configuration").await.json();
    let issuer = discovery["issuer"].as_str().unwrap();
    let path = discovery["jwks_uri"].as_str().unwrap().strip_prefix(issuer).unwrap();
    let keys = get(path).await.json();
    let token = ServiceAccountToken::parse(&system.token().await).unwrap();
    assert_eq!(keys["keys"][0]["kid"].as_str(), token.key_id());
    eks_auth::SigningKeys::from_jwks(keys.to_string().as_bytes()).unwrap().verify(&token).unwrap();
}

#[tokio::test]
async fn eks_auth_refuses_calls_that_are_not_signed_or_not_by_its_own_key() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    system.associate().await;
    let body = format!("{{\"token\":\"{}\"}}", system.token().await);
    let call = async |authorization: &str| {
        let request = format!(
            "POST /clusters/dev/assume-role-for-pod-identity HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\n{authorization}\r\n{body}",
            system.api,
            body.len()
        );
        wire::ask(system.api, request.as_bytes()).await
    };
    let unsigned = call("").await;
    assert_eq!(
        (unsigned.status, unsigned.header("x-amzn-errortype")),
        (403, Some("MissingAuthenticationTokenException"))
    );
    let scope = "us-west-2/eks-auth/aws4_request, SignedHeaders=host, Signature=00";
    let strange = call(&format!(
        "X-Amz-Date: 20261122T041032Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/{}\r\n",
        scope.replace("host", "host;x-amz-date")
    ))
    .await;
    assert_eq!(
        (strange.status, strange.header("x-amzn-errortype")),
        (403, Some("UnrecognizedClientException"))
    );
    assert!(unsigned.header("x-amzn-requestid").is_some() && strange.header("x-amzn-requestid").is_some());
}

#[tokio::test]
async fn an_sdk_with_the_printed_keys_may_call_eks_auth() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    system.associate().await;
    let keys = system.answer("keys", &[]).await;
    assert!(
        keys.starts_with(&format!("# signs calls to EKS Auth and EKS at http://{}", system.api)),
        "{keys}"
    );
    let value = |name: &str| keys.split_once(&format!("export {name}=")).unwrap().1.lines().next().unwrap();
    let settings = eks_auth::UpstreamSettings {
        cluster: "dev".parse().unwrap(),
        region: Some("us-west-2".into()),
        endpoint: Some(format!("http://{}", system.api)),
        budget: eks_auth::TimeBudget::default(),
        credentials: eks_auth::OwnCredentials::Fixed {
            access_key_id: value("AWS_ACCESS_KEY_ID").into(),
            secret_access_key: value("AWS_SECRET_ACCESS_KEY").into(),
        },
        node: eks_auth::NodeDetails::default(),
        transport: eks_auth::TransportSettings::default(),
    };
    let client =
        eks_auth::EksAuth::connect(settings, aws_smithy_async::time::SharedTimeSource::default()).await;
    let token = ServiceAccountToken::parse(&system.token().await).unwrap();
    assert_eq!(client.exchange(&token).await.unwrap().service_account, "web");
}

#[tokio::test]
async fn probes_and_metrics_are_on_the_metrics_port() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer =
            wire::ask(system.metrics, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
                .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log_at_debug_nor_in_the_metrics() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--associate", &format!("shop/web={ROLE}")]).await;
    let token = system.token().await;
    let credentials = system.credentials(&token).await.json();
    let damaged = format!("{}x", &token[..token.len() - 1]);
    assert_ne!(system.credentials(&damaged).await.status, 200);
    let keys = system.answer("keys", &[]).await;
    let metrics = wire::ask(system.metrics, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.body;
    system.signal(rustix::process::Signal::TERM);
    let (_, log) = system.ended().await;
    assert!(log.contains("role assumed"), "{log}");
    let signature = token.rsplit('.').next().unwrap();
    let own_secret = keys.split_once("AWS_SECRET_ACCESS_KEY=").unwrap().1;
    for secret in [
        signature,
        own_secret,
        credentials["SecretAccessKey"].as_str().unwrap(),
        credentials["Token"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "a secret is printed");
    }
}

#[tokio::test]
async fn a_changed_association_reaches_a_pod_that_keeps_its_token_with_its_next_request() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--associate", &format!("shop/web={ROLE}")]).await;
    let token = system.answer("token", &ACCOUNT).await;
    let first = system.credentials(&token).await;
    assert_eq!(first.json()["AccountId"], "111122223333");
    assert_eq!(system.credentials(&token).await.body, first.body, "kept");

    let elsewhere = [&ACCOUNT[..], &["--role-arn", "arn:aws:iam::444455556666:role/other"]].concat();
    system.answer("associate", &elsewhere).await;
    assert_eq!(system.credentials(&token).await.json()["AccountId"], "444455556666");

    system.answer("dissociate", &ACCOUNT).await;
    let refused = system.credentials(&token).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (404, Some("ResourceNotFoundException")));

    let back = [&ACCOUNT[..], &["--role-arn", ROLE]].concat();
    system.answer("associate", &back).await;
    assert_eq!(
        system.credentials(&token).await.status,
        200,
        "a refusal is not remembered longer than it is true"
    );
}
