//! `pod-identity explain`, with a system that knows the associations and without.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use testkit::{TokenBuilder, canary};

use crate::system::{ACCOUNT, ROLE, System, finished, folder, pod_identity, text};

async fn explain(data: &Path, arguments: &[&str]) -> Output {
    let mut command = pod_identity(data);
    command.arg("explain").args(arguments).arg("--data").arg(data);
    finished(command).await
}

async fn explained(data: &Path, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = explain(data, &[arguments, &["--output", "json"]].concat()).await;
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"));
    (document, output.status.code())
}

fn failed(document: &Value) -> Vec<&str> {
    let checks = document["token"]["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["outcome"] == "failed");
    failed.map(|check| check["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_service_account_is_explained_from_its_token_to_its_last_role_and_the_agents_answer() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let target = "arn:aws:iam::444455556666:role/target";
    let roles = ["--role-arn", ROLE, "--target-role-arn", target, "--disable-session-tags"];
    system.answer("associate", &[&ACCOUNT[..], &roles].concat()).await;
    let (document, code) = explained(data.path(), &["shop/web", "--ask"]).await;
    assert_eq!((failed(&document), code), (vec![], Some(0)), "{document}");
    let checks = document["token"]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["outcome"] == "ok"), "{document}");
    let hops = document["association"]["hops"].as_array().unwrap();
    assert_eq!((&hops[0]["role"], &hops[1]["role"]), (&ROLE.into(), &target.into()));
    assert!(hops[1]["trustStatement"].as_str().unwrap().contains("us-west-2/111122223333/dev/shop/web"));
    let answer = &document["answer"];
    assert_eq!((&answer["status"], &answer["accountId"]), (&200.into(), &"444455556666".into()));
    let output = explain(data.path(), &["shop/web", "--ask"]).await;
    assert!(
        text(&output.stdout).contains("2 of 2: arn:aws:iam::111122223333:role/web assumes"),
        "{output:?}"
    );
    for secret in ["SecretAccessKey", "IQoJ", "ASIA"] {
        assert!(!text(&output.stdout).contains(secret) && !document.to_string().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_an_association_it_says_so_and_what_sdks_make_of_the_refusal() {
    let data = folder();
    let _system = System::ephemeral(data.path(), &[]).await;
    let (document, code) = explained(data.path(), &["shop/web", "--ask"]).await;
    assert_eq!((document["associationState"].as_str(), code), (Some("none"), Some(1)));
    assert_eq!(document["answer"]["code"], "ResourceNotFoundException");
    assert!(document["clients"].to_string().contains("give up at once"), "{document}");
}

/// With the environment of a user of AWS, whose EKS this system is.
async fn explained_at_eks(system: &System, data: &Path, arguments: &[&str]) -> Value {
    let keys = system.answer("keys", &[]).await;
    let value = |name: &str| keys.split_once(&format!("export {name}=")).unwrap().1.lines().next().unwrap();
    let mut command = pod_identity(data);
    command
        .arg("explain")
        .args(arguments)
        .args(["--output", "json"])
        .env("AWS_ACCESS_KEY_ID", value("AWS_ACCESS_KEY_ID"))
        .env("AWS_SECRET_ACCESS_KEY", value("AWS_SECRET_ACCESS_KEY"))
        .env("AWS_REGION", "us-west-2")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL_EKS", format!("http://{}", system.api));
    let output = finished(command).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

#[tokio::test]
async fn an_association_is_looked_up_at_eks_with_the_users_own_credentials() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let token = data.path().join("token.jwt");
    std::fs::write(&token, system.answer("token", &ACCOUNT).await.trim()).unwrap();
    let file = token.to_str().unwrap();
    let asked = ["--token-file", file, "--cluster", "dev"];
    let none = explained_at_eks(&system, data.path(), &asked).await;
    assert_eq!(none["associationState"], "none", "{none}");

    let target = "arn:aws:iam::444455556666:role/target";
    let roles = ["--role-arn", ROLE, "--target-role-arn", target, "--disable-session-tags"];
    system.answer("associate", &[&ACCOUNT[..], &roles].concat()).await;
    let found = explained_at_eks(&system, data.path(), &asked).await;
    assert_eq!(found["associationState"], "found", "{found}");
    let hops = found["association"]["hops"].as_array().unwrap();
    assert_eq!((&hops[0]["role"], &hops[1]["role"]), (&ROLE.into(), &target.into()));
    assert!(hops[1]["trustStatement"].as_str().unwrap().contains("us-west-2/111122223333/dev/shop/web"));
    let signature =
        found["token"]["checks"].as_array().unwrap().iter().find(|check| check["name"] == "signature");
    assert_eq!(signature.unwrap()["outcome"], "unknown", "dev is not asked: {found}");

    let other = explained_at_eks(&system, data.path(), &["--token-file", file, "--cluster", "other"]).await;
    let why = other["associationUnknown"].as_str().unwrap();
    assert!(why.contains("EKS does not tell") && why.contains("ResourceNotFoundException"), "{why}");
    let said = explain(data.path(), &["shop/web", "--cluster", "dev"]).await;
    assert!(!said.status.success() && text(&said.stderr).contains("cannot be used with"), "{said:?}");
}

#[tokio::test]
async fn a_token_file_is_explained_without_a_running_system() {
    let data = folder();
    let file = data.path().join("token");
    #[expect(clippy::disallowed_methods, reason = "the command lives by the real clock")]
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    let old = TokenBuilder::of_pod("web-0", then).claim("aud", "sts.amazonaws.com".into());
    std::fs::write(&file, format!("{}\n", old.raw())).unwrap();
    let (document, code) = explained(data.path(), &["--token-file", file.to_str().unwrap()]).await;
    assert_eq!((failed(&document), code), (vec!["line end", "audience", "time"], Some(1)));
    assert_eq!(document["associationState"], "unknown");
    assert_eq!(document["token"]["pod"], "web-0");
    canary::assert_absent("an explanation", &document.to_string());
    let missing = explain(data.path(), &["--token-file", "/nonexistent"]).await;
    assert_eq!(missing.status.code(), Some(125));
    assert!(text(&missing.stderr).contains("/nonexistent cannot be read"), "{missing:?}");
}

#[tokio::test]
async fn a_token_that_another_key_signed_is_found_out() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--associate", &format!("shop/web={ROLE}")]).await;
    let token = system.token().await;
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let file = data.path().join("token");
    std::fs::write(&file, format!("{rest}.{}", signature.chars().rev().collect::<String>())).unwrap();
    let (document, code) = explained(data.path(), &["--token-file", file.to_str().unwrap(), "--ask"]).await;
    assert_eq!((failed(&document), code), (vec!["signature"], Some(1)), "{document}");
    assert_eq!(document["answer"]["code"], "InvalidTokenException");
}

#[tokio::test]
async fn the_token_of_a_running_program_is_explained() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--associate", &format!("shop/web={ROLE}")]).await;
    let arguments = [&ACCOUNT[..], &["--pod", "web-3", "--", "sh", "-c", "echo $$; read line"]].concat();
    let mut command = system.command("run", &arguments);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut program = command.spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(program.stdout.take().unwrap()));
    let pid =
        tokio::time::timeout(testkit::process::SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let (document, code) = explained(data.path(), &["--pid", &pid, "--ask"]).await;
    assert_eq!((failed(&document), code), (vec![], Some(0)), "{document}");
    assert_eq!((&document["token"]["pod"], &document["answer"]["status"]), (&"web-3".into(), &200.into()));
    drop(program.stdin.take());
    assert!(program.wait().await.unwrap().code().is_some());
}
