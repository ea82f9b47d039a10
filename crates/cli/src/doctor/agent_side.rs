//! What depends on the agent's own flags and environment: its settings, what it signs with, EKS Auth, the API server.
//!
//! AWS's SDK reads the environment of its process, so where an agent runs, this part runs as a process of its own with that
//! agent's variables, and with copies of the files that they name. Files are read below that agent's root, by a way that no link
//! leads out of, and only variables that concern AWS and the API server count. What is found comes back as JSON.

mod api_server;
mod eks_auth;
mod own_credentials;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use agent::Settings;
use agent::api_server::SERVICE_ACCOUNT_DIRECTORY;
use agent::command::ServerFlags;
use runtime::{Clock, Environment};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::agent_process::AgentProcess;
use super::cause::Cause;
use super::finding::{Finding, Severity};
use crate::proc::{Variables, read_below_root};

/// All of it; what it does in turn is bounded too.
const PATIENCE: Duration = Duration::from_secs(17);

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

/// Looks with the flags and the environment of this process.
pub(super) async fn look(flags: &ServerFlags, environment: &impl Environment, clock: Clock) -> Vec<Finding> {
    let settings = match Settings::read(flags, environment) {
        Ok(settings) => settings,
        Err(mistakes) => {
            let finding = |mistake: &agent::settings::Mistake| {
                Finding::error(
                    Cause::AgentSettings,
                    mistake.to_string(),
                    "change that setting; all of them: docs/settings.md",
                )
            };
            return mistakes.0.iter().map(finding).collect();
        }
    };
    let (mut aws, api_server) =
        tokio::join!(eks_auth::look(&settings, environment, clock), api_server::look(&settings));
    aws.extend(api_server);
    aws
}

/// The same as somebody who is no agent: what is wrong with these may be right with the agent's, so it accuses nobody.
pub(super) async fn look_without_agent(environment: &impl Environment, clock: Clock) -> Vec<Finding> {
    let mut unnamed = ServerFlags::default();
    unnamed.cluster_name = Some("unknown".to_owned());
    let Ok(mut findings) = timeout(PATIENCE, look(&unnamed, environment, clock)).await else {
        return vec![timed_out()];
    };
    // The name was made up here.
    findings.retain(|finding| finding.cause != Cause::ClusterUnknown);
    for finding in &mut findings {
        finding.severity = finding.severity.min(Severity::Note);
        finding.what = format!("with this command's own environment: {}", finding.what);
    }
    findings
}

/// Looks as this agent would.
pub(super) async fn look_as(agent: &AgentProcess) -> Vec<Finding> {
    let Some(variables) = &agent.variables else {
        let what = format!("this user may not see the environment of the agent (process {})", agent.pid);
        return vec![Finding::note(Cause::AgentProcessHidden, what, "run this command as root")];
    };
    let disguise = match Disguise::of(agent, variables) {
        Ok(Ok(disguise)) => disguise,
        Ok(Err(unfollowed)) => {
            let remedy = "run this command where the agent runs, with its environment";
            return vec![Finding::note(Cause::OwnCredentialsUnchecked, unfollowed, remedy)];
        }
        Err(error) => {
            let what = format!("the agent's files cannot be copied: {error}");
            return vec![Finding::note(Cause::CheckTimedOut, what, "run this command as root")];
        }
    };
    match timeout(PATIENCE, disguise.run()).await {
        Ok(Some(findings)) => findings,
        _ => vec![timed_out()],
    }
}

fn timed_out() -> Finding {
    Finding::note(
        Cause::CheckTimedOut,
        "what the agent needs of AWS and of the API server was not looked at within 17 s",
        "run this command again",
    )
}

/// An agent's flags and variables for a process of our own. The copies of its files go with it.
struct Disguise {
    folder: TempDir,
    line: Vec<String>,
    variables: HashMap<String, String>,
    /// Where copies are of which file.
    copies: Vec<(PathBuf, PathBuf)>,
}

impl Disguise {
    /// Or why that agent cannot be followed.
    fn of(agent: &AgentProcess, variables: &Variables) -> std::io::Result<Result<Self, String>> {
        let taken =
            variables.0.iter().filter(|(name, _)| name.starts_with("AWS_") || TAKEN.contains(&name.as_str()));
        let mut disguise = Self {
            folder: tempfile::Builder::new().prefix("pod-identity-doctor-").tempdir()?,
            line: agent.line.clone(),
            variables: taken.map(|(name, value)| (name.clone(), value.clone())).collect(),
            copies: Vec::new(),
        };
        let files = disguise.folder.path().join(".aws");
        std::fs::create_dir(&files)?;
        let home = disguise.variables.insert("HOME".to_owned(), disguise.folder.path().display().to_string());
        for (name, file) in [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")] {
            let named = variables.get(name).map(PathBuf::from);
            let Some(original) = named.or_else(|| Some(Path::new(home.as_ref()?).join(".aws").join(file)))
            else {
                continue;
            };
            disguise.copy(agent.pid, &original, &files.join(file))?;
            let copied = std::fs::read_to_string(files.join(file)).unwrap_or_default();
            for key in ["credential_process", "web_identity_token_file"] {
                if copied.lines().any(|line| line.trim_start().starts_with(key)) {
                    let what =
                        format!("{} of the agent has {key}, which is not followed here", original.display());
                    return Ok(Err(what));
                }
            }
            if disguise.variables.contains_key(name) {
                disguise.variables.insert(name.to_owned(), files.join(file).display().to_string());
            }
        }
        for name in ["AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
        {
            let Some(original) = variables.get(name).map(PathBuf::from) else { continue };
            let copy = disguise.folder.path().join(name);
            disguise.copy(agent.pid, &original, &copy)?;
            disguise.variables.insert(name.to_owned(), copy.display().to_string());
        }
        let directory =
            agent.flags.service_account_directory.clone().filter(|directory| !directory.is_empty());
        let original = PathBuf::from(directory.unwrap_or_else(|| SERVICE_ACCOUNT_DIRECTORY.to_owned()));
        let copy = disguise.folder.path().join("serviceaccount");
        std::fs::create_dir(&copy)?;
        for file in ["token", "ca.crt"] {
            disguise.copy(agent.pid, &original.join(file), &copy.join(file))?;
        }
        // The last of two counts.
        disguise.line.extend(["--service-account-directory".to_owned(), copy.display().to_string()]);
        Ok(Ok(disguise))
    }

    /// A file that the agent cannot read either has no copy.
    fn copy(&mut self, pid: u32, original: &Path, copy: &Path) -> std::io::Result<()> {
        self.copies.push((copy.to_owned(), original.to_owned()));
        if let Ok(content) = read_below_root(pid, original) {
            let mut file = std::fs::File::create(copy)?;
            file.write_all(&content)?;
        }
        Ok(())
    }

    async fn run(&self) -> Option<Vec<Finding>> {
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
