//! How a system starts, stops, dies and comes back.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::system::{ACCOUNT, ROLE, System, finished, folder, pod_identity, text};

/// What a person would miss: associations, key pair, signing key, and that a pod is the same pod.
async fn state(system: &System) -> [String; 4] {
    let token = identity::ServiceAccountToken::parse(&system.token().await).unwrap();
    let keys = system.answer("keys", &[]).await;
    let exports = keys.lines().skip(1).collect::<Vec<_>>().join("\n");
    let (key_id, pod) = (token.key_id().unwrap().to_owned(), token.claims().pod().unwrap().pod.uid);
    [system.answer("associations", &[]).await, exports, key_id, pod]
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let data = folder();
    let mut system = System::start(data.path(), &[]).await;
    system.associate().await;
    let before = state(&system).await;
    for (signal, code) in [(Signal::TERM, Some(0)), (Signal::KILL, None), (Signal::INT, Some(0))] {
        system.signal(signal);
        assert_eq!(system.ended().await.0.code(), code, "{signal:?}");
        system = System::start(data.path(), &[]).await;
        assert_eq!(state(&system).await, before, "{signal:?}");
    }
}

#[tokio::test]
async fn an_ephemeral_system_leaves_nothing_behind() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--associate", &format!("shop/web={ROLE}")]).await;
    let names = || -> Vec<_> {
        std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(), ["control.sock"]);
    system.signal(Signal::TERM);
    let (status, log) = system.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(names().is_empty());
    assert!(log.contains("stopped, everything was finished"), "{log}");
}

#[tokio::test]
async fn what_is_kept_is_its_owners_alone() {
    use std::os::unix::fs::MetadataExt;
    let base = folder();
    let data = base.path().join("state");
    let system = System::start(&data, &[]).await;
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().mode() & 0o777;
    assert_eq!(mode("."), 0o700);
    for secret in ["signing-key.pem", "access-key", "control.sock"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    drop(system);
}

#[tokio::test]
async fn a_key_file_that_others_can_read_stops_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let data = folder();
    let system = System::start(data.path(), &[]).await;
    system.signal(Signal::TERM);
    system.ended().await;
    let key = data.path().join("signing-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = pod_identity(data.path());
    command.args(["dev", "--agent-port=0", "--api-port=0", "--metrics-port=0", "--data"]).arg(data.path());
    let refused = finished(command).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("signing-key.pem is open to others (mode 0644)"), "{refused:?}");
}

#[tokio::test]
async fn a_signing_key_is_of_the_kind_asked_for_and_no_flag_changes_one_that_is_there() {
    let data = folder();
    let system = System::start(data.path(), &["--signing-key", "ec"]).await;
    system.associate().await;
    let token = system.token().await;
    assert_eq!(identity::ServiceAccountToken::parse(&token).unwrap().algorithm(), "ES256");
    assert_eq!(system.credentials(&token).await.status, 200);
    system.signal(Signal::TERM);
    system.ended().await;

    let mut command = pod_identity(data.path());
    let ports = ["--agent-port=0", "--api-port=0", "--metrics-port=0"];
    command.args(["dev", "--signing-key=rsa"]).args(ports).arg("--data").arg(data.path());
    let refused = finished(command).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("--signing-key: ") && said.contains("holds an EC key"), "{said}");

    let system = System::start(data.path(), &[]).await;
    assert_eq!(identity::ServiceAccountToken::parse(&system.token().await).unwrap().algorithm(), "ES256");
}

#[tokio::test]
async fn a_second_system_with_the_same_folder_says_that_one_runs() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let mut command = pod_identity(data.path());
    command.args(["dev", "--agent-port=0", "--api-port=0", "--metrics-port=0", "--data"]).arg(data.path());
    let second = finished(command).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("dev is already running with"), "{second:?}");
    // And the first is none the worse.
    system.associate().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_database_hears_which_process_holds_it() {
    let (data, other) = (folder(), folder());
    let system = System::start(data.path(), &[]).await;
    let holder = format!("process {} ({} dev ", system.pid(), env!("CARGO_BIN_EXE_pod-identity"));
    // By another name for the same file, so that only the database knows.
    for file in ["associations.redb", "associations.holder"] {
        std::os::unix::fs::symlink(data.path().join(file), other.path().join(file)).unwrap();
    }
    for (folder, wanted) in [
        (data.path(), format!("dev is already running with {}, as {holder}", data.path().display())),
        (other.path(), format!("{}/associations.redb is open in {holder}", other.path().display())),
    ] {
        let mut command = pod_identity(folder);
        command.args(["dev", "--agent-port=0", "--api-port=0", "--metrics-port=0", "--data"]).arg(folder);
        let second = finished(command).await;
        assert_eq!(second.status.code(), Some(1));
        assert!(text(&second.stderr).contains(&wanted), "{wanted}: {}", text(&second.stderr));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--agent-port", "--api-port", "--metrics-port"] {
        let data = folder();
        let mut command = pod_identity(data.path());
        command.args(["dev", "--ephemeral", "--data"]).arg(data.path());
        for other in ["--agent-port", "--api-port", "--metrics-port"] {
            command.args([other, if other == flag { &port } else { "0" }]);
        }
        let refused = finished(command).await;
        assert_eq!(refused.status.code(), Some(1));
        let stderr = text(&refused.stderr);
        let message = stderr.lines().last().unwrap();
        assert!(
            message.contains(&format!("127.0.0.1:{port}")) && message.contains(&format!("use {flag} PORT")),
            "{message}"
        );
    }
}

#[tokio::test]
async fn without_a_system_every_command_says_how_to_start_one() {
    let data = folder();
    let dir = data.path().to_str().unwrap();
    for (errand, arguments, code) in [
        ("token", &ACCOUNT[..], 1),
        ("associations", &[], 1),
        ("keys", &[], 1),
        ("dissociate", &ACCOUNT[..], 1),
        ("run", &[&ACCOUNT[..], &["--", "true"]].concat(), 125),
    ] {
        let mut command = pod_identity(data.path());
        command.args(["dev", errand, "--data", dir]).args(arguments);
        let output = finished(command).await;
        assert_eq!(output.status.code(), Some(code), "{errand}");
        let wanted = format!("dev is not running with {dir}: start it with pod-identity dev --data {dir}");
        assert!(text(&output.stderr).contains(&wanted), "{errand}: {output:?}");
    }
}

#[tokio::test]
async fn associations_asked_for_at_the_start_are_made_once_and_follow_the_flag() {
    let data = folder();
    let pairing = |role: &str| format!("shop/web=arn:aws:iam::111122223333:role/{role}");
    for (role, wanted) in
        [("web", "role/web\n"), ("web", "role/web already\n"), ("api", "role/api, in place of")]
    {
        let system = System::start(data.path(), &["--associate", &pairing(role)]).await;
        let line = system.greeting.lines().find(|line| line.contains("association ")).unwrap();
        assert!(format!("{line}\n").contains(wanted), "{line}");
        system.signal(Signal::TERM);
        system.ended().await;
    }
}

#[tokio::test]
async fn the_version_is_printed() {
    let data = folder();
    let mut command = pod_identity(data.path());
    command.arg("version");
    assert_eq!(text(&finished(command).await.stdout), format!("{}\n", env!("CARGO_PKG_VERSION")));
}
