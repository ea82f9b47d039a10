//! The programs: an agent of this node, processes of pods, and doctor with what it says.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use testkit::canary;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::network::Namespace;
use testkit::process::{AgentProcess, Start};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The longest that doctor may take, as docs/doctor.md has it.
const LONGEST: Duration = Duration::from_secs(20);

/// The agent is another package's program: made once, by the cargo that runs these tests, where it made them.
pub(crate) fn agent_binary() -> &'static str {
    static BINARY: OnceLock<String> = OnceLock::new();
    BINARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_pod-identity")).parent().unwrap();
        let profile = match folder.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        let target = folder.parent().unwrap();
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--package", "agent", "--bin", "eks-pod-identity-agent"]);
        cargo.args(["--profile", profile, "--target-dir"]).arg(target);
        assert!(cargo.status().unwrap().success(), "the agent cannot be built");
        folder.join("eks-pod-identity-agent").to_str().unwrap().to_owned()
    })
}

/// What doctor said.
#[derive(Debug)]
pub(crate) struct Examined {
    output: Output,
    document: Value,
    took: Duration,
}

impl Examined {
    /// These are all the warnings and errors.
    #[track_caller]
    pub(crate) fn finds(&self, ids: &[&str]) {
        let text = String::from_utf8_lossy(&self.output.stdout);
        let found: BTreeSet<&str> = self.bad().map(|finding| finding["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids.iter().copied().collect(), "{text}");
        let severities: Vec<&str> = self.bad().map(|finding| finding["severity"].as_str().unwrap()).collect();
        let code = if severities.contains(&"error") { 2 } else { i32::from(!severities.is_empty()) };
        assert_eq!(self.output.status.code(), Some(code), "{text}");
        for finding in self.bad() {
            for member in ["what", "why", "remedy"] {
                assert!(!finding[member].as_str().unwrap().is_empty(), "{member} of {finding}");
            }
        }
        canary::assert_absent("what doctor says", &text);
        assert!(self.took < LONGEST, "doctor took {:?}", self.took);
    }

    /// What is said of a finding.
    #[track_caller]
    pub(crate) fn says(&self, id: &str, text: &str) {
        let findings = self.document["findings"].as_array().unwrap();
        let said = findings.iter().filter(|finding| finding["id"] == id);
        let said: Vec<String> =
            said.map(|finding| format!("{} {}", finding["what"], finding["remedy"])).collect();
        assert!(said.iter().any(|said| said.contains(text)), "{id} does not say {text}: {}", self.document);
    }

    /// Whether there is any warning or error.
    pub(crate) fn is_bad(&self) -> bool {
        self.bad().next().is_some()
    }

    fn bad(&self) -> impl Iterator<Item = &Value> {
        let findings = self.document["findings"].as_array().unwrap();
        findings.iter().filter(|finding| finding["severity"] == "error" || finding["severity"] == "warning")
    }
}

/// Runs doctor in the calling thread's network.
pub(crate) async fn doctor(arguments: &[&str]) -> Examined {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pod-identity"));
    command.args(["doctor", "--output", "json"]).args(arguments);
    examine(command).await
}

/// Runs doctor where this folder has other content than for everybody else.
pub(crate) async fn doctor_without(folder: &Path) -> Examined {
    let mut command = Command::new("unshare");
    let script = format!(
        "mount -t tmpfs tmpfs {} && exec {} doctor --output json",
        folder.display(),
        env!("CARGO_BIN_EXE_pod-identity")
    );
    command.args(["--mount", "sh", "-ec", &script]);
    examine(command).await
}

async fn examine(mut command: Command) -> Examined {
    let begun = Instant::now();
    let output = command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        // Where there is no agent, these are doctor's own.
        .env("AWS_REGION", "us-west-2")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", format!("{}doctor", canary::MARKER))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let took = begun.elapsed();
    canary::assert_absent("stderr", &String::from_utf8_lossy(&output.stderr));
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"));
    Examined { output, document, took }
}

/// Prepares the node as `initialize` does.
pub(crate) async fn initialize() {
    let mut command = Command::new(agent_binary());
    let output = command.arg("initialize").env_clear().output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// An agent with its defaults on a node that is prepared for it.
pub(crate) struct Node {
    pub(crate) upstream: EksAuthServer,
    pub(crate) agent: AgentProcess,
}

impl Node {
    /// In good order.
    pub(crate) async fn healthy() -> Self {
        Self::with(Reply::Issue(Duration::ZERO), &[], &[]).await
    }

    /// With an EKS Auth that replies so, and an agent with these arguments and variables.
    pub(crate) async fn with(reply: Reply, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        initialize().await;
        let upstream = EksAuthServer::start([], reply).await;
        let agent = agent(Some(&upstream.url()), arguments, environment).await;
        Self { upstream, agent }
    }
}

/// An agent at its usual addresses.
pub(crate) async fn agent(
    upstream: Option<&str>,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> AgentProcess {
    let environment: HashMap<&str, &str> = environment.iter().copied().collect();
    AgentProcess::start_on_node(Start { binary: agent_binary(), upstream, arguments, environment }).await
}

/// A pod of the calling thread's node, and a process in it.
pub(crate) struct Pod {
    namespace: Namespace,
    child: Child,
    token: PathBuf,
    _folder: tempfile::TempDir,
}

impl Pod {
    /// With the variables of EKS and a good token, but for these changes; an empty value takes a variable out.
    pub(crate) async fn start(changes: &[(&str, &str)]) -> Self {
        Self::start_as("0", changes).await
    }

    /// The same, as this user and group.
    pub(crate) async fn start_as(user: &str, changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("eks-pod-identity-token");
        std::fs::write(&token, testkit::TokenBuilder::made_now("web-0")).unwrap();
        let namespace = Namespace::add("web");
        namespace.link("veth-web", "eth0");
        namespace.shell(&["ip address add 10.0.1.11/32 dev eth0", "ip route add default dev eth0"]);
        testkit::network::shell(&["ip route add 10.0.1.11/32 dev veth-web"]);
        let good = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        ];
        let variables: HashMap<&str, &str> = good.iter().chain(changes).copied().collect();
        let child = Command::new("nsenter")
            .args(["--net=/run/netns/web", "--setuid", user, "--setgid", user, "sleep", "600"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(variables.into_iter().filter(|(_, value)| !value.is_empty()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pod = Self { namespace, child, token, _folder: folder };
        pod.until_started().await;
        pod
    }

    /// `nsenter` becomes the program, in its network.
    async fn until_started(&self) {
        let started = async {
            while std::fs::read_to_string(format!("/proc/{}/comm", self.pid())).unwrap().trim() != "sleep" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(testkit::process::SOON, started)
            .await
            .expect("the pod's process does not start");
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().unwrap().to_string()
    }

    pub(crate) fn shell(&self, commands: &[&str]) {
        self.namespace.shell(commands);
    }

    /// Puts something else into the token file.
    pub(crate) fn write_token(&self, content: &str) {
        std::fs::write(&self.token, content).unwrap();
    }

    /// For root alone.
    pub(crate) fn protect_token(&self) {
        std::fs::set_permissions(&self.token, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(&self.token).unwrap()
    }

    pub(crate) fn remove_token(&self) {
        std::fs::remove_file(&self.token).unwrap();
    }

    /// What doctor says of it.
    pub(crate) async fn examined(&self) -> Examined {
        doctor(&["--pid", &self.pid()]).await
    }
}

/// The tool that a set-up of firewall rules needs.
pub(crate) fn needs(tool: &str, package: &str) {
    let there =
        std::process::Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
    assert!(there.status.success(), "missing: {tool} (Debian package {package})");
}
