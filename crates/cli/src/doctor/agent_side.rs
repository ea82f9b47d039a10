//! What depends on the agent's own flags and environment: its settings, what it signs with, EKS Auth, the API server.
//!
//! AWS's SDK reads the environment of its process, so where an agent runs, this part runs as a process of its own with that
//! agent's variables, and with copies of the files that they name. Files are read below that agent's root, by a way that no link
//! leads out of, and only variables that concern AWS and the API server count. What is found comes back as JSON.

mod api_server;
mod disguise;
mod eks_auth;
mod own_credentials;

use std::time::Duration;

use agent::Settings;
use agent::command::ServerFlags;
use runtime::{Clock, Environment};
use tokio::time::timeout;

use super::agent_process::AgentProcess;
use super::cause::Cause;
use super::finding::{Finding, Severity};
use disguise::{Disguise, NotFollowed};

/// All of it; what it does in turn is bounded too.
const PATIENCE: Duration = Duration::from_secs(17);

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
        Ok(disguise) => disguise,
        Err(error @ NotFollowed::Names { .. }) => {
            let remedy = "run this command where the agent runs, with its environment";
            return vec![Finding::note(Cause::OwnCredentialsUnchecked, error.to_string(), remedy)];
        }
        Err(error @ NotFollowed::Copy(_)) => {
            let what = runtime::log::with_causes(&error);
            return vec![Finding::note(Cause::CheckTimedOut, what, "make room in /dev/shm or /tmp")];
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
