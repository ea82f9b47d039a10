//! An agent's flags and variables for a process of our own, with copies of the files that they name.
//!
//! The other process may not be what it seems. So its files are read below its own root, by a way that no link leads out of; only
//! variables that concern AWS and the API server count; and no program is run for it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use agent::api_server::SERVICE_ACCOUNT_DIRECTORY;
use tempfile::TempDir;
use thiserror::Error;
use tokio::process::Command;

use crate::doctor::agent_process::AgentProcess;
use crate::doctor::finding::Finding;
use crate::proc::{Variables, read_below_root};

/// Beside `AWS_…`, the variables by which the agent finds its way. Nothing else of another process's environment is taken over.
const TAKEN: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "NODE_NAME",
    "HOME",
];

/// Where copies with secrets in them go if it can be had: it is memory.
const MEMORY: &str = "/dev/shm";

/// Why an agent is not followed.
#[derive(Debug, Error)]
pub(super) enum NotFollowed {
    /// A file of its profiles names something that is not looked into for another process.
    #[error("{} of the agent has {key}, which is not followed here", file.display())]
    Names {
        /// The file.
        file: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// There is no room for copies.
    #[error("the agent's files cannot be copied")]
    Copy(#[from] io::Error),
}

/// What a process of our own is given to look as that agent. The copies of its files go with it.
pub(super) struct Disguise {
    folder: TempDir,
    line: Vec<String>,
    variables: HashMap<String, String>,
    /// Where copies are of which file.
    copies: Vec<(PathBuf, PathBuf)>,
}

impl Disguise {
    /// The disguise of this agent.
    pub(super) fn of(agent: &AgentProcess, variables: &Variables) -> Result<Self, NotFollowed> {
        let is_taken = |name: &String| name.starts_with("AWS_") || TAKEN.contains(&name.as_str());
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("pod-identity-doctor-");
        let taken = variables.0.iter().filter(|(name, _)| is_taken(name));
        let mut disguise = Self {
            folder: folder.tempdir_in(MEMORY).or_else(|_| folder.tempdir())?,
            line: agent.line.clone(),
            variables: taken.map(|(name, value)| (name.clone(), value.clone())).collect(),
            copies: Vec::new(),
        };
        disguise.take_profiles(agent.pid)?;
        for name in ["AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
        {
            if let Some(original) = disguise.variables.get(name).map(PathBuf::from) {
                let copy = disguise.folder.path().join(name);
                disguise.copy(agent.pid, &original, &copy)?;
                disguise.variables.insert(name.to_owned(), copy.display().to_string());
            }
        }
        disguise.take_service_account(agent)?;
        Ok(disguise)
    }

    /// The shared files, at their places in a home of their own or where the variables say.
    fn take_profiles(&mut self, pid: u32) -> Result<(), NotFollowed> {
        let files = self.folder.path().join(".aws");
        std::fs::create_dir(&files)?;
        let home = self.variables.insert("HOME".to_owned(), self.folder.path().display().to_string());
        let home = home.map(PathBuf::from);
        for (name, file) in [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")] {
            let named = self.variables.get(name).map(|path| match (path.strip_prefix("~/"), &home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => PathBuf::from(path),
            });
            let is_named = named.is_some();
            let Some(original) = named.or_else(|| Some(home.as_ref()?.join(".aws").join(file))) else {
                continue;
            };
            let copy = files.join(file);
            self.copy(pid, &original, &copy)?;
            // In any case and anywhere: the SDK reads keys in either case, and a comment too many does no harm.
            let copied = String::from_utf8_lossy(&std::fs::read(&copy).unwrap_or_default()).to_lowercase();
            for key in ["credential_process", "web_identity_token_file"] {
                if copied.contains(key) {
                    return Err(NotFollowed::Names { file: original, key });
                }
            }
            if is_named {
                self.variables.insert(name.to_owned(), copy.display().to_string());
            }
        }
        Ok(())
    }

    fn take_service_account(&mut self, agent: &AgentProcess) -> io::Result<()> {
        let named =
            agent.flags.service_account_directory.as_deref().filter(|directory| !directory.is_empty());
        let original = Path::new(named.unwrap_or(SERVICE_ACCOUNT_DIRECTORY));
        let copy = self.folder.path().join("serviceaccount");
        std::fs::create_dir(&copy)?;
        for file in ["token", "ca.crt"] {
            self.copy(agent.pid, &original.join(file), &copy.join(file))?;
        }
        // The last of two counts.
        self.line.extend(["--service-account-directory".to_owned(), copy.display().to_string()]);
        Ok(())
    }

    /// A file that the agent cannot read either has no copy.
    fn copy(&mut self, pid: u32, original: &Path, copy: &Path) -> io::Result<()> {
        self.copies.push((copy.to_owned(), original.to_owned()));
        match read_below_root(pid, original) {
            Ok(content) => std::fs::write(copy, content),
            Err(_) => Ok(()),
        }
    }

    /// Runs this program once more as that agent; `None` if it does not say what it found.
    pub(super) async fn run(&self) -> Option<Vec<Finding>> {
        let output = Command::new("/proc/self/exe")
            .args(["doctor", "--as-agent", "--"])
            .args(&self.line)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .ok()?;
        let mut findings: Vec<Finding> = serde_json::from_slice(&output.stdout).ok()?;
        for finding in &mut findings {
            for (copy, original) in &self.copies {
                let (copy, original) = (copy.display().to_string(), original.display().to_string());
                finding.what = finding.what.replace(&copy, &original);
            }
        }
        Some(findings)
    }
}
