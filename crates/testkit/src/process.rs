//! The real agent as a process: started with an environment of its own, asked over its sockets, ended by signals.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::eks_auth_server::EksAuthServer;
use crate::ports::Port;
use crate::{canary, wire};

/// How long anything the agent should do soon may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// A running agent. Killed when dropped.
pub struct AgentProcess {
    child: Child,
    log: Arc<Log>,
    reader: JoinHandle<()>,
    _ports: Option<[Port; 3]>,
    /// Where pods reach it.
    pub endpoint: SocketAddr,
    /// Where probes reach it.
    pub probes: SocketAddr,
    /// Where metrics are scraped.
    pub metrics: SocketAddr,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Notify,
}

/// How an agent is to be started.
pub struct Start<'a> {
    /// The path of its binary.
    pub binary: &'a str,
    /// The endpoint it is told to call; `None` leaves that to the environment.
    pub upstream: Option<&'a str>,
    /// Further arguments.
    pub arguments: &'a [&'a str],
    /// Further variables; what is not here is unset but for the AWS key pair and region.
    pub environment: HashMap<&'a str, &'a str>,
}

impl AgentProcess {
    /// Starts `binary` in front of `upstream` with these arguments and no variables of its own.
    pub async fn before(upstream: &EksAuthServer, binary: &str, arguments: &[&str]) -> Self {
        let environment = HashMap::new();
        Self::start(Start { binary, upstream: Some(&upstream.url()), arguments, environment }).await
    }

    /// Starts `binary` in front of `upstream` as the pod of a cluster whose API server is at `api_server`, with the files that
    /// kubelet gave it, on node `node-1`.
    pub async fn in_cluster(
        upstream: &EksAuthServer,
        binary: &str,
        (api_server, files): (SocketAddr, &Path),
        arguments: &[&str],
    ) -> Self {
        let port = api_server.port().to_string();
        let environment = HashMap::from([
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", port.as_str()),
            ("NODE_NAME", "node-1"),
        ]);
        let arguments = [&["--service-account-directory", files.to_str().unwrap()], arguments].concat();
        let upstream = upstream.url();
        Self::start(Start { binary, upstream: Some(&upstream), arguments: &arguments, environment }).await
    }

    /// Starts the agent on free ports of loopback and waits until it answers its health probe.
    pub async fn start(start: Start<'_>) -> Self {
        let claims = [(); 3].map(|()| Port::claim());
        let [endpoint, probes, metrics] = claims.each_ref().map(Port::address);
        let port = |address: SocketAddr| address.port().to_string();
        let ports =
            ["--port", &port(endpoint), "--probe-port", &port(probes), "--metrics-port", &port(metrics)];
        let loopback = ["--bind-hosts", "127.0.0.1", "--metrics-address", "127.0.0.1"];
        let arguments = [&ports[..], &loopback, start.arguments].concat();
        let start = Start { arguments: &arguments, ..start };
        Self { _ports: Some(claims), ..Self::start_at(start, [endpoint, probes, metrics]).await }
    }

    /// Starts the agent where its defaults put it, as on a node. Only for a network namespace of one's own.
    pub async fn start_on_node(start: Start<'_>) -> Self {
        let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
        Self::start_at(
            start,
            [at([169, 254, 170, 23], 80), at([127, 0, 0, 1], 2703), at([127, 0, 0, 1], 2705)],
        )
        .await
    }

    async fn start_at(start: Start<'_>, [endpoint, probes, metrics]: [SocketAddr; 3]) -> Self {
        let mut child = Command::new(start.binary)
            .args(["server", "--cluster-name", "dev"])
            .args(start.upstream.into_iter().flat_map(|upstream| ["--endpoint", upstream]))
            .args(start.arguments)
            .env_clear()
            .env("AWS_REGION", "us-west-2")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", format!("{}own", canary::MARKER))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(&start.environment)
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let of_reader = Arc::clone(&log);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                of_reader.lines.lock().unwrap().push(line);
                of_reader.grown.notify_waiters();
            }
        });
        let agent = Self { child, log, reader, _ports: None, endpoint, probes, metrics };
        agent.until_healthy().await;
        agent
    }

    async fn until_healthy(&self) {
        let healthy = async {
            loop {
                if let Ok(stream) = tokio::net::TcpStream::connect(self.probes).await {
                    drop(stream);
                    // Another agent may have the port, and stand still.
                    let probed = tokio::time::timeout(Duration::from_secs(1), self.probe("/healthz")).await;
                    if probed.is_ok_and(|answer| answer.status == 200) {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SOON, healthy).await.is_err() {
            panic!("the agent does not get healthy: {}", self.log());
        }
    }

    /// Asks for credentials over a connection of its own.
    pub async fn ask(&self, token: &str) -> wire::Answer {
        wire::ask_for_credentials(self.endpoint, token).await
    }

    /// Asks a probe.
    pub async fn probe(&self, path: &str) -> wire::Answer {
        wire::ask(self.probes, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await
    }

    /// The page of metrics.
    pub async fn scrape(&self) -> String {
        wire::ask(self.metrics, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.body
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Waits until a line of the log holds `text`, and gives that line.
    pub async fn logged(&self, text: &str) -> String {
        let found = async {
            loop {
                let grown = self.log.grown.notified();
                let line = self.log.lines.lock().unwrap().iter().find(|line| line.contains(text)).cloned();
                if let Some(line) = line {
                    return line;
                }
                grown.await;
            }
        };
        match tokio::time::timeout(SOON, found).await {
            Ok(line) => line,
            Err(_) => panic!("\"{text}\" is not logged: {}", self.log()),
        }
    }

    /// Where every test of an endpoint ends: nothing that left the process, but answers with credentials, holds a secret.
    pub async fn leaks_nothing(&self) {
        canary::assert_absent("the log", &self.log());
        canary::assert_absent("metrics", &self.scrape().await);
    }

    /// Everything in its memory that it can write to, region by region.
    ///
    /// # Errors
    /// Without the right to look into a process that keeps others out.
    pub fn memory(&self) -> std::io::Result<Vec<Vec<u8>>> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id().unwrap()));
        let maps = std::fs::read_to_string(folder.join("maps"))?;
        let memory = std::fs::File::open(folder.join("mem"))?;
        let mut regions = Vec::new();
        for line in
            maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
        {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut region = vec![0; usize::try_from(to - from).unwrap()];
            // The kernel's own pages cannot be read; nothing of ours is there.
            if memory.read_exact_at(&mut region, from).is_ok() {
                regions.push(region);
            }
        }
        Ok(regions)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended, and gives its status and whole log.
    pub async fn ended(self) -> (ExitStatus, String) {
        let (status, _, log) = self.ended_with_output().await;
        (status, log)
    }

    /// The same, with what it has written to its standard output in between.
    pub async fn ended_with_output(mut self) -> (ExitStatus, String, String) {
        let mut out = self.child.stdout.take().unwrap();
        let mut printed = String::new();
        let ended = async { tokio::join!(self.child.wait(), out.read_to_string(&mut printed)) };
        let (status, read) = tokio::time::timeout(SOON, ended).await.expect("the agent does not end");
        read.unwrap();
        (&mut self.reader).await.unwrap();
        (status.unwrap(), printed, self.log())
    }
}
