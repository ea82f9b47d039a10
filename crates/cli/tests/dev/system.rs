//! The real `pod-identity` as processes: one system on free ports, and commands that talk to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use testkit::process::SOON;
use testkit::wire;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/web";
pub(crate) const ACCOUNT: [&str; 4] = ["--namespace", "shop", "--service-account", "web"];

/// A command with an environment of its own: nothing of the developer's AWS settings gets in.
pub(crate) fn pod_identity(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pod-identity"));
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home).kill_on_drop(true);
    command
}

/// A folder for a system. Short, since a control socket's path must fit.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("pi-").tempdir().unwrap()
}

/// A running system. Killed when dropped.
pub(crate) struct System {
    child: Child,
    data: PathBuf,
    log: JoinHandle<String>,
    /// What it printed when it had started.
    pub(crate) greeting: String,
    /// Where programs ask for credentials.
    pub(crate) agent: SocketAddr,
    /// Where EKS Auth is.
    pub(crate) api: SocketAddr,
    /// Where metrics are.
    pub(crate) metrics: SocketAddr,
}

impl System {
    /// Starts one on free ports and waits until it says that it runs.
    pub(crate) async fn start(data: &Path, flags: &[&str]) -> Self {
        Self::start_with(data, flags, &[]).await
    }

    /// The same, with variables of its own.
    pub(crate) async fn start_with(data: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = pod_identity(data)
            .args([
                "dev",
                "--agent-port",
                "0",
                "--api-port",
                "0",
                "--metrics-port",
                "0",
                "-v",
                "debug",
                "--data",
            ])
            .arg(data)
            .args(flags)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut log = String::new();
            stderr.read_to_string(&mut log).await.unwrap();
            log
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = String::new();
        let read = async {
            // The greeting ends with an empty line.
            while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty()) {
                greeting.push_str(&line);
                greeting.push('\n');
            }
        };
        tokio::time::timeout(SOON, read).await.expect("the system does not start");
        assert!(!greeting.is_empty(), "the system did not start: {}", log.await.unwrap());
        let address = |name: &str| {
            let line = greeting.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            let rest = line.split_once("http://").unwrap().1;
            rest.split(['/', ' ']).next().unwrap().parse().unwrap()
        };
        let (agent, api, metrics) = (address("credentials"), address("EKS Auth"), address("metrics"));
        Self { child, data: data.to_owned(), log, greeting, agent, api, metrics }
    }

    /// Starts one that forgets everything.
    pub(crate) async fn ephemeral(data: &Path, flags: &[&str]) -> Self {
        let flags: Vec<&str> = ["--ephemeral"].iter().chain(flags).copied().collect();
        Self::start(data, &flags).await
    }

    /// A `dev` command for this system; what goes before `--data` must not hold `--`.
    pub(crate) fn command(&self, errand: &str, arguments: &[&str]) -> Command {
        let mut command = pod_identity(&self.data);
        command.args(["dev", errand, "--data"]).arg(&self.data).args(arguments);
        command
    }

    /// Runs a `dev` command to its end.
    pub(crate) async fn ask(&self, errand: &str, arguments: &[&str]) -> Output {
        finished(self.command(errand, arguments)).await
    }

    /// What a `dev` command prints, without its line end; it must succeed.
    pub(crate) async fn answer(&self, errand: &str, arguments: &[&str]) -> String {
        let output = self.ask(errand, arguments).await;
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).trim_end().to_owned()
    }

    /// Gives `shop/web` a role.
    pub(crate) async fn associate(&self) {
        self.answer("associate", &[&ACCOUNT[..], &["--role-arn", ROLE]].concat()).await;
    }

    /// A token of `shop/web`.
    pub(crate) async fn token(&self) -> String {
        self.answer("token", &ACCOUNT).await
    }

    /// What the agent answers to a token.
    pub(crate) async fn credentials(&self, token: &str) -> wire::Answer {
        wire::ask_for_credentials(self.agent, token).await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Waits for its end; gives status and log.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(SOON, self.child.wait()).await.expect("it does not end").unwrap();
        (status, self.log.await.unwrap())
    }
}

/// Runs a command to its end.
pub(crate) async fn finished(mut command: Command) -> Output {
    tokio::time::timeout(SOON, command.output()).await.expect("the command does not end").unwrap()
}

pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
