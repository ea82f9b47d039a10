//! `pod-identity dev run`: a program on this machine as if it ran in a pod. Its environment and its token file are what
//! EKS's webhook and kubelet would give it.

mod environment;
mod renewal;
mod signals;
mod token_file;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use identity::Secret;
use runtime::{Clock, Environment};
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::command::Run;
use crate::control::{Client, ControlError, TokenRequest};
use crate::{errand, terminal};
use environment::PodEnvironment;
use signals::Signals;
use token_file::TokenFile;

/// A program was not run.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// The system.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The pod would get no credentials. The text says how to change that.
    #[error("{0}")]
    NoAssociation(String),
    /// The token file.
    #[error("the token file cannot be written")]
    TokenFile(#[source] io::Error),
    /// The program is not there, or is none.
    #[error("{} cannot be run", program.display())]
    NotStarted {
        /// The program.
        program: OsString,
        /// Why.
        source: io::Error,
    },
    /// It was started and then lost.
    #[error("the program cannot be waited for")]
    Lost(#[source] io::Error),
}

impl RunError {
    /// What `env`, `timeout` and `nohup` exit with in the same cases, so that scripts can tell them from the program's
    /// own codes.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NotStarted { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::NotStarted { .. } => 126,
            Self::Control(_) | Self::NoAssociation(_) | Self::TokenFile(_) | Self::Lost(_) => 125,
        })
    }
}

/// Runs the program to its end, and exits as it does.
pub(crate) async fn run(
    run: Run,
    client: &Client,
    environment: &impl Environment,
    clock: Clock,
) -> Result<ExitCode, RunError> {
    let status = client.status().await?;
    let request = TokenRequest {
        namespace: run.account.namespace.clone(),
        service_account: run.account.service_account.clone(),
        pod: run.pod.clone(),
        lifetime_seconds: run.token_lifetime.as_secs(),
    };
    let token = client.token(&request).await?;
    if token.role_arn.is_none() {
        return Err(RunError::NoAssociation(errand::without_association(&run.account, client)));
    }
    let mut file = TokenFile::create(&token.token).map_err(RunError::TokenFile)?;
    let pod = PodEnvironment::new(&status, &file, environment);
    pod.shadows().inspect(|shadows| terminal::note(shadows));
    // Listening from before the program starts: a signal in between must not leave it behind alone.
    let mut signals = Signals::listen().map_err(RunError::Lost)?;
    let mut child = spawn(&run.command, &pod)?;
    let renewing = renewal::keep_fresh(
        &mut file,
        run.token_lifetime,
        clock,
        async || -> Result<Secret, ControlError> { Ok(client.token(&request).await?.token) },
    );
    tokio::select! {
        ended = wait(&mut child, &mut signals) => ended.map(exit_code),
        never = renewing => match never {},
    }
}

fn spawn(line: &[OsString], pod: &PodEnvironment) -> Result<Child, RunError> {
    let (program, arguments) = line.split_first().expect("clap requires a program");
    let mut command = Command::new(program);
    command.args(arguments).envs(pod.set());
    for name in environment::SHADOWING {
        command.env_remove(name);
    }
    command.spawn().map_err(|source| RunError::NotStarted { program: program.clone(), source })
}

async fn wait(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus, RunError> {
    loop {
        let signal = tokio::select! {
            ended = child.wait() => return ended.map_err(RunError::Lost),
            signal = signals.next() => signal,
        };
        signals::forward(signal, child.id());
    }
}

/// The program's own code, or that of a shell for a program that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
