//! `pod-identity explain`: what becomes of one token. What it says and whether that holds, which association and roles follow from it,
//! what the agent answers, and what an SDK makes of the answer.

mod answer;
mod association;
mod clients;
mod eks;
mod explanation;
mod token;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use eks_auth::SigningKeys;
use identity::{Secret, ServiceAccountToken};
use runtime::environment::ProcessEnvironment;
use runtime::{Clock, Environment};
use thiserror::Error;

use crate::command::{Explain, ServiceAccount};
use crate::control::{Client, ControlError, Status, TokenRequest};
use crate::dial::{self, Answer, NoAnswer};
use crate::doctor;
use crate::proc;
use association::Known;
use clients::Situation;
pub(crate) use explanation::Explanation;

/// Where EKS's webhook sends SDKs.
const AWSS: &str = "http://169.254.170.23/v1/credentials";

/// How long a token is good that is issued only to be explained.
const LIFETIME_SECONDS: u64 = 600;

/// There is nothing to explain.
#[derive(Debug, Error)]
pub(crate) enum ExplainError {
    /// The token.
    #[error("the token file {} cannot be read: name a file that this user may read", path.display())]
    TokenFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process.
    #[error("process {pid} cannot be looked at: name one that runs, as its user or as root")]
    Process {
        /// Its id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// It has no token.
    #[error(
        "process {0} has no AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: pod-identity doctor --pid {0} says what that means"
    )]
    NoTokenFile(u32),
    /// The development system would have to issue one.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The agent's address.
    #[error("{0} is no address of an agent: name it with --agent, such as http://127.0.0.1:17023")]
    Agent(String),
}

/// What the development system knows.
struct Dev {
    status: Status,
    associations: Vec<crate::control::AssociationView>,
    keys: Option<SigningKeys>,
}

/// Explains what was asked for.
///
/// # Errors
/// When there is no token, or nobody to ask that was named.
pub(crate) async fn explain(
    asked: &Explain,
    client: &Client,
    clock: Clock,
) -> Result<Explanation, ExplainError> {
    let dev = match asked.cluster {
        // What dev knows is of another cluster.
        Some(_) => Err(String::new()),
        None => match dev(client).await {
            Ok(dev) => Ok(dev),
            Err(error) if asked.subject.account.is_some() => return Err(error.into()),
            Err(error) => Err(error.to_string()),
        },
    };
    let Token { text, from, url } = token_of(asked, client).await?;
    let issuer = dev.as_ref().ok().map(|dev| (dev.status.api.as_str(), dev.keys.as_ref()));
    let said = token::read(text.expose_str(), clock.now(), issuer);
    let known = match (&dev, &asked.cluster, &said.account) {
        (Err(_), Some(cluster), Some(account)) => eks::find(cluster, account, &ProcessEnvironment).await,
        (Ok(dev), _, Some(account)) => association::find(&dev.associations, account, &dev.status),
        (Ok(_), _, None) | (Err(_), Some(_), None) => {
            Known::Unknown("the token names no service account".to_owned())
        }
        (Err(reason), None, _) => Known::Unknown(reason.clone()),
    };
    let answer = if asked.ask {
        let url = url.or_else(|| dev.as_ref().ok().map(|dev| dev.status.credentials_uri.clone()));
        let target = match asked.agent {
            Some(address) => address,
            None => address_of(&url.unwrap_or_else(|| AWSS.to_owned()))?,
        };
        Some(answer::read(target, ask(asked, target, &text).await))
    } else {
        None
    };
    let situation = situation(&said, &known, answer.as_ref());
    Ok(Explanation::new(from, said, known, answer, situation))
}

/// A token, where it comes from in words, and where its process is sent.
struct Token {
    text: Secret,
    from: String,
    url: Option<String>,
}

async fn token_of(asked: &Explain, client: &Client) -> Result<Token, ExplainError> {
    if let Some(path) = &asked.subject.token_file {
        let bytes =
            std::fs::read(path).map_err(|source| ExplainError::TokenFile { path: path.clone(), source })?;
        return Ok(Token { text: secret(bytes), from: format!("the file {}", path.display()), url: None });
    }
    if let Some(pid) = asked.subject.pid {
        let variables = proc::variables(pid).map_err(|source| ExplainError::Process { pid, source })?;
        let path =
            variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").ok_or(ExplainError::NoTokenFile(pid))?;
        let bytes = proc::read_below_root(pid, Path::new(&path))
            .map_err(|source| ExplainError::TokenFile { path: PathBuf::from(&path), source })?;
        let url = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        return Ok(Token { text: secret(bytes), from: format!("the file {path} of process {pid}"), url });
    }
    let ServiceAccount { namespace, service_account } =
        asked.subject.account.clone().expect("clap requires one of the three");
    let request = TokenRequest { namespace, service_account, pod: None, lifetime_seconds: LIFETIME_SECONDS };
    let reply = client.token(&request).await?;
    Ok(Token { text: reply.token, from: "dev, issued just now for ten minutes".to_owned(), url: None })
}

fn secret(bytes: Vec<u8>) -> Secret {
    let text = String::from_utf8(bytes);
    Secret::from(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

async fn dev(client: &Client) -> Result<Dev, ControlError> {
    let status = client.status().await?;
    let associations = client.associations().await?.associations;
    let keys = match address_of(&status.api) {
        Ok(address) => dial::get(address, "/openid/v1/jwks", None, None).await.ok(),
        Err(_) => None,
    };
    let keys = keys.and_then(|page| SigningKeys::from_jwks(page.body.as_bytes()).ok());
    Ok(Dev { status, associations, keys })
}

fn address_of(url: &str) -> Result<SocketAddr, ExplainError> {
    dial::address_of(url).ok_or_else(|| ExplainError::Agent(url.to_owned()))
}

/// As its process would, where there is one: from its network.
async fn ask(asked: &Explain, target: SocketAddr, token: &Secret) -> Result<Answer, NoAnswer> {
    // What no header can hold is never sent.
    if token.expose_str().contains(|character: char| character.is_control()) {
        return Err(NoAnswer::NoWay("a token with a line end fits into no header".to_owned()));
    }
    match asked.subject.pid {
        Some(pid) => doctor::ask_from(pid, target, Some(token.clone())).await,
        None => doctor::ask(target, Some(token)).await,
    }
}

/// What an SDK meets: the answer, if it was asked for, or else what is to be expected.
fn situation(said: &token::Said, known: &Known, answer: Option<&answer::Answered>) -> Situation {
    if said.has_line_end() {
        return Situation::LineEnd;
    }
    if let Some(answer) = answer {
        return answer.situation();
    }
    match known {
        _ if said.fails() => Situation::Refused,
        Known::None => Situation::Refused,
        Known::Found(_) => Situation::Served,
        Known::Unknown(_) => Situation::Unknown,
    }
}

/// The token, if it is one once the space around it is gone.
fn parse(text: &str) -> Result<ServiceAccountToken, identity::TokenError> {
    ServiceAccountToken::parse(text.trim())
}
