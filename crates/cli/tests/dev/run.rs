//! `dev run`: a program as a pod.

use std::path::Path;
use std::process::Stdio;

use identity::ServiceAccountToken;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::system::{ACCOUNT, ROLE, System, finished, folder, send, text};

async fn system(data: &Path) -> System {
    System::ephemeral(data, &["--associate", &format!("shop/web={ROLE}")]).await
}

fn shell<'a>(flags: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&ACCOUNT[..], flags, &["--", "sh", "-c", script]].concat()
}

#[tokio::test]
async fn a_program_finds_its_token_and_where_to_send_it() {
    let data = folder();
    let system = system(data.path()).await;
    let script = r#"echo "$AWS_CONTAINER_CREDENTIALS_FULL_URI"; echo "$AWS_REGION $AWS_DEFAULT_REGION"
        echo "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"; cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE""#;
    let output = system.ask("run", &shell(&["--pod", "web-3"], script)).await;
    let stdout = text(&output.stdout);
    let lines: Vec<&str> = stdout.split('\n').collect();
    let [uri, regions, file, token] = lines[..] else {
        panic!("four lines, the last without an end: {output:?}")
    };
    assert_eq!(
        (uri, regions),
        (format!("http://{}/v1/credentials", system.agent).as_str(), "us-west-2 us-west-2")
    );
    assert!(file.ends_with("/serviceaccount/eks-pod-identity-token"), "{file}");
    assert_eq!(ServiceAccountToken::parse(token).unwrap().claims().pod().unwrap().pod.name, "web-3");
    assert_eq!(system.credentials(token).await.status, 200);
    assert!(!Path::new(file).exists(), "the token file outlives the program");
    assert_eq!(text(&output.stderr), "");
}

#[tokio::test]
async fn what_would_win_over_the_pods_identity_is_kept_from_the_program_and_named() {
    let data = folder();
    let system = system(data.path()).await;
    let script = "env | grep -E '^AWS_(PROFILE|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|ROLE_ARN|WEB_IDENTITY)'; \
        cat \"$AWS_SHARED_CREDENTIALS_FILE\"; echo \"region $AWS_REGION\"";
    let mut command = system.command("run", &shell(&[], script));
    command
        .env("AWS_PROFILE", "work")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_REGION", "eu-west-1");
    let output = finished(command).await;
    assert_eq!(text(&output.stdout), "region eu-west-1\n");
    let remark = text(&output.stderr);
    assert_eq!(remark.lines().count(), 1, "{remark}");
    assert!(remark.contains("AWS_ACCESS_KEY_ID, AWS_PROFILE") && !remark.contains("IOSFODNN7"), "{remark}");
}

#[tokio::test]
async fn a_program_ends_as_it_would_alone() {
    let data = folder();
    let system = system(data.path()).await;
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]
    {
        assert_eq!(system.ask("run", &shell(&[], script)).await.status.code(), Some(code), "{script}");
    }
    let missing = system.ask("run", &[&ACCOUNT[..], &["--", "no-such-program"]].concat()).await;
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).contains("no-such-program cannot be run: No such file"), "{missing:?}");
    let no_program = system.ask("run", &[&ACCOUNT[..], &["--", "/etc/passwd"]].concat()).await;
    assert_eq!(no_program.status.code(), Some(126));
}

#[tokio::test]
async fn without_an_association_nothing_runs_and_the_line_that_helps_is_printed() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let output = system.ask("run", &shell(&[], "echo ran")).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""));
    let stderr = text(&output.stderr);
    let line = stderr.lines().find(|line| line.contains("dev associate")).unwrap();
    // The line, as it is, but for the role.
    let words: Vec<_> = line.split_whitespace().skip(3).map(|word| word.replace("ROLE_ARN", ROLE)).collect();
    let mut command = crate::system::pod_identity(data.path());
    command.args(["dev", "associate"]).args(words);
    assert!(finished(command).await.status.success(), "{line}");
    assert_eq!(text(&system.ask("run", &shell(&[], "echo ran")).await.stdout), "ran\n");
}

#[tokio::test]
async fn signals_reach_the_program_and_the_token_file_goes_with_it() {
    let data = folder();
    let system = system(data.path()).await;
    for (signal, name, code) in
        [(Signal::TERM, "TERM", 41), (Signal::INT, "INT", 42), (Signal::HUP, "HUP", 43)]
    {
        let script = format!(
            "trap 'exit {code}' {name}; echo \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\"; while :; do sleep 0.02; done"
        );
        // Whatever the tests' own parent ignores (nohup does), a person's shell does not.
        let run = system.command("run", &shell(&[], &script));
        let mut command = tokio::process::Command::new("env");
        command.arg("--default-signal").arg(run.as_std().get_program()).args(run.as_std().get_args());
        command.kill_on_drop(true);
        // Away from the terminal that may have started the tests: Ctrl-C there is not forwarded, it arrives by itself.
        let mut child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let file = lines.next_line().await.unwrap().unwrap();
        assert!(Path::new(&file).exists());
        send(&child, signal);
        let status = tokio::time::timeout(testkit::process::SOON, child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(code), "{name}");
        assert!(!Path::new(&file).exists(), "{name}: the token file outlives the program");
    }
}

#[tokio::test]
async fn a_program_that_is_to_outlive_its_terminal_does() {
    let data = folder();
    let system = system(data.path()).await;
    let run = system.command("run", &shell(&[], "kill -HUP $PPID; kill -HUP $$; echo alive"));
    let mut nohup = tokio::process::Command::new("nohup");
    nohup.arg(run.as_std().get_program()).args(run.as_std().get_args());
    let output = finished(nohup).await;
    assert_eq!(text(&output.stdout), "alive\n", "{output:?}");
}

#[tokio::test]
async fn the_token_file_is_renewed_while_the_program_runs() {
    let data = folder();
    let system = system(data.path()).await;
    // The program itself waits for the second token: of a lifetime of 1 s, after 0.8 s.
    let script = r#"first=$(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        while [ "$(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")" = "$first" ]; do sleep 0.02; done
        cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE""#;
    let output = system.ask("run", &shell(&["--token-lifetime", "1s"], script)).await;
    assert!(output.status.success(), "{output:?}");
    ServiceAccountToken::parse(&text(&output.stdout)).unwrap();
}
