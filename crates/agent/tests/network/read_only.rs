//! A file system that takes nothing: what the agent cannot do without ends the start with one message, the rest is told and done
//! without.

use std::collections::HashMap;
use std::time::Duration;

use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::network::in_namespace;
use testkit::process::{AgentProcess, Start};
use testkit::signing::key_set;
use testkit::{SigningKey, TokenBuilder};

use super::{BINARY, IPV4};

/// Nobody else sees it: the namespace has mounts of its own.
const READ_ONLY: &str = "mount -t tmpfs -o ro,mode=700 tmpfs /mnt";

#[test]
fn what_the_agent_was_asked_to_write_and_needs_ends_the_start() {
    in_namespace("read-only-start", &[IPV4, READ_ONLY], || async {
        for (flag, file, text) in [
            ("--probe-socket", "/mnt/probe.sock", "the probe socket /mnt/probe.sock cannot be made"),
            ("--audit-log", "/mnt/audit.log", "the audit log /mnt/audit.log cannot be opened"),
        ] {
            let arguments = ["server", "-c", "dev", "-b", "169.254.170.23", flag, file];
            let mut command = tokio::process::Command::new(BINARY);
            let output = command.args(arguments).env_clear().output().await.unwrap();
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success(), "{flag}");
            assert!(message.contains(text) && message.contains("Read-only file system"), "{flag}: {message}");
        }
    });
}

#[test]
fn what_it_can_do_without_is_told_and_pods_are_served() {
    in_namespace("read-only", &[IPV4, READ_ONLY], || async {
        let keys = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(keys.path(), key_set([&SigningKey::ec("k1")])).unwrap();
        let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
        let agent = AgentProcess::start_on_node(Start {
            binary: BINARY,
            upstream: Some(&upstream.url()),
            arguments: &[
                "--jwks-file",
                keys.path().to_str().unwrap(),
                "--signing-keys-cache",
                "/mnt/keys.json",
                "--handover-socket",
                "/mnt/agent.sock",
                "--refuse-forged-tokens",
                "off",
            ],
            environment: HashMap::new(),
        })
        .await;
        agent.logged("the agent that takes this one's place will start without its sessions").await;
        let line = agent.logged("/mnt/keys.json").await;
        assert!(line.contains("Read-only file system"), "{line}");
        assert_eq!(agent.ask(&TokenBuilder::made_now("web-0")).await.status, 200);
        assert_eq!(agent.probe("/readyz").await.status, 200);
        agent.leaks_nothing().await;
    });
}
