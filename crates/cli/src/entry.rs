//! From what was asked to what is done: the wiring of every command, and the exit codes.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use runtime::environment::ProcessEnvironment;
use runtime::process::{self, StopSignals};
use runtime::{Clock, Drain, log};
use thiserror::Error;

use crate::command::{Asked, Data, Dev, Doctor, Errand, Explain, OutputForm, Start};
use crate::control::{Client, ControlError};
use crate::dev::{Folder, FolderError, OpenError, PartEnded, Settings, SettingsError, System, greeting};
use crate::doctor::DoctorError;
use crate::explain::ExplainError;
use crate::pod::RunError;
use crate::{doctor, errand, explain, pod, terminal};

/// How long open requests get when the system is told to stop.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// What `doctor` and `explain` exit with when they looked at nothing.
const CANNOT_LOOK: u8 = 125;

/// Why a command failed.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Broken(#[from] PartEnded),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error("signals cannot be handled")]
    Signals(#[source] io::Error),
    #[error("the result cannot be printed")]
    Output(#[from] io::Error),
}

impl Failed {
    fn code(&self) -> ExitCode {
        match self {
            Self::Run(error) => error.code(),
            // 1 and 2 tell of what was found.
            Self::Doctor(_) | Self::Explain(_) => ExitCode::from(CANNOT_LOOK),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Does what was asked, and tells a person when it cannot.
pub fn carry_out(asked: Asked) -> ExitCode {
    let outcome = match asked {
        Asked::Version => {
            terminal::print(env!("CARGO_PKG_VERSION")).map(|()| ExitCode::SUCCESS).map_err(Failed::from)
        }
        Asked::Dev(dev) => in_runtime(*dev),
        Asked::Doctor(asked) => doctor_in_runtime(&asked),
        Asked::Explain(asked) => explain_in_runtime(&asked),
    };
    outcome.unwrap_or_else(|failed| {
        terminal::complain(&failed);
        failed.code()
    })
}

// One thread is plenty for a development system, and makes its order of events easy to follow.
#[tokio::main(flavor = "current_thread")]
async fn in_runtime(dev: Dev) -> Result<ExitCode, Failed> {
    match dev.errand {
        None => start(dev.start).await,
        Some(errand) => run(errand).await,
    }
}

/// Not to its very end: a name server that does not answer must not keep the person waiting.
fn doctor_in_runtime(asked: &Doctor) -> Result<ExitCode, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(examine(asked));
    runtime.shutdown_background();
    outcome
}

#[tokio::main(flavor = "current_thread")]
async fn explain_in_runtime(asked: &Explain) -> Result<ExitCode, Failed> {
    let explanation = explain::explain(asked, &client(&asked.data)?, Clock::system()).await?;
    match asked.output {
        OutputForm::Json => terminal::print(&explanation.json())?,
        OutputForm::Text => terminal::print(&explanation.text())?,
    }
    Ok(explanation.code())
}

async fn examine(asked: &Doctor) -> Result<ExitCode, Failed> {
    let clock = Clock::system();
    if asked.as_agent {
        process::harden();
        return say(&doctor::look_as_agent(&asked.agent_line, clock).await);
    }
    let report = doctor::examine(asked, clock).await?;
    match asked.output {
        OutputForm::Json => terminal::print(&report.json())?,
        OutputForm::Text => terminal::print(&report.text(terminal::has_colours(&ProcessEnvironment)))?,
    }
    Ok(report.code())
}

async fn start(flags: Start) -> Result<ExitCode, Failed> {
    process::harden();
    let clock = Clock::system();
    log::start(flags.verbosity, clock, io::stderr());
    let signals = StopSignals::listen().map_err(Failed::Signals)?;
    let settings = Settings::read(flags, &ProcessEnvironment)?;
    let (folder, ephemeral) = (settings.folder.clone(), settings.ephemeral);
    let system = System::open(settings, clock).await?;
    // Whoever started it in the background with its output closed still wants it to run.
    let _ = terminal::print(&greeting(&system, &folder, ephemeral).await);
    let (drain, readiness) = (Drain::new(), system.readiness());
    let mut served = Ok(());
    let work = async { served = system.serve(drain.watch()).await };
    process::run_until_stopped(signals, &drain, DRAIN_PATIENCE, || readiness.revoke(), work).await;
    served?;
    Ok(ExitCode::SUCCESS)
}

async fn run(errand: Errand) -> Result<ExitCode, Failed> {
    match errand {
        Errand::Run(run) => {
            let client = client(&run.data)?;
            Ok(pod::run(run, &client, &ProcessEnvironment, Clock::system()).await?)
        }
        Errand::Token(token) => {
            let client = client(&token.data)?;
            let (text, note) = errand::token(&token, &client).await?;
            note.inspect(|note| terminal::note(note));
            say(&text)
        }
        Errand::Associate(associate) => say(&errand::associate(&associate, &client(&associate.data)?).await?),
        Errand::Associations(data) => say(&errand::associations(&client(&data)?).await?),
        Errand::Dissociate(dissociate) => {
            say(&errand::dissociate(&dissociate, &client(&dissociate.data)?).await?)
        }
        Errand::Keys(data) => say(&errand::keys(&client(&data)?).await?),
    }
}

fn say(text: &str) -> Result<ExitCode, Failed> {
    terminal::print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn client(data: &Data) -> Result<Client, FolderError> {
    let folder = Folder::find(data.data.as_deref(), &ProcessEnvironment)?;
    Ok(Client::new(folder.path(), &folder.control_socket(), folder.is_default()))
}
