//! The command line. What can be read into a type is read here; what needs the environment is for `dev::Settings`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use control_plane::issuer::KeyKind;
use identity::{AccountId, ClusterName, RoleArn};
use runtime::go_duration;
use runtime::log::Verbosity;

use crate::dial;

/// Pod identity for people: a whole development system in one process, and the commands to use it.
#[derive(Debug, Parser)]
#[command(
    name = "pod-identity",
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Line {
    #[command(subcommand)]
    asked: Asked,
}

/// What a person asks for.
#[derive(Debug, Subcommand)]
pub enum Asked {
    /// Runs agent, EKS Auth, token issuer and STS in one process on 127.0.0.1, or talks to that process
    Dev(Box<Dev>),
    /// Looks for why pods of this node get no credentials, and says what to do; changes nothing
    Doctor(Box<Doctor>),
    /// Explains what becomes of one token: what it says, which roles follow, what the agent and SDKs make of it
    Explain(Box<Explain>),
    /// Prints the version
    Version,
}

/// `dev` by itself starts the system; its sub-commands use one that runs.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Dev {
    /// The flags of the system itself.
    #[command(flatten)]
    pub start: Start,
    /// What to do with one that runs.
    #[command(subcommand)]
    pub errand: Option<Errand>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at the agent at this URL alone [default: the agent of this node, on all its addresses]
    #[arg(long, value_name = "URL", value_parser = agent_address)]
    pub agent: Option<SocketAddr>,
    /// Process of the agent [default: looked for]
    #[arg(long, value_name = "PID")]
    pub agent_pid: Option<u32>,
    /// Look at this process of a pod too: its variables, its token, its network
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// How to say it
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub output: OutputForm,
    /// For a process of doctor's own, with the environment of an agent
    #[arg(long, hide = true)]
    pub as_agent: bool,
    /// The line of that agent
    #[arg(last = true, hide = true)]
    pub agent_line: Vec<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Whose token.
    #[command(flatten)]
    pub subject: Subject,
    /// Look the association up at EKS, with your own AWS credentials, in place of dev
    #[arg(long, value_name = "NAME", conflicts_with = "account")]
    pub cluster: Option<ClusterName>,
    /// Ask the agent, and say what it answers
    #[arg(long)]
    pub ask: bool,
    /// The agent to ask [default: that of the process, of dev, or http://169.254.170.23]
    #[arg(long, value_name = "URL", value_parser = agent_address, requires = "ask")]
    pub agent: Option<SocketAddr>,
    /// How to say it
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub output: OutputForm,
    /// The system that knows the associations.
    #[command(flatten)]
    pub data: Data,
}

/// What is explained: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Subject {
    /// The token in this file
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token of this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// A token of this service account, which dev issues for it
    #[arg(value_name = "NAMESPACE/SERVICE_ACCOUNT", value_parser = service_account)]
    pub account: Option<ServiceAccount>,
}

fn service_account(text: &str) -> Result<ServiceAccount, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(ServiceAccount { namespace: namespace.to_owned(), service_account: name.to_owned() })
        }
        _ => Err("NAMESPACE/SERVICE_ACCOUNT, such as shop/web".to_owned()),
    }
}

/// For whom a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// How the development system is to be.
#[derive(Clone, Debug, Args)]
pub struct Start {
    /// Which folder it keeps its state in
    #[command(flatten)]
    pub data: Data,
    /// Keep everything in memory; only the control socket is in DIR
    #[arg(long)]
    pub ephemeral: bool,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "dev")]
    pub cluster: ClusterName,
    /// AWS region that it pretends to be in
    #[arg(long, default_value = "us-west-2", value_parser = region)]
    pub region: String,
    /// AWS account that owns the cluster
    #[arg(long, default_value = "111122223333")]
    pub account: AccountId,
    /// Port on which programs ask for credentials; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 17023)]
    pub agent_port: u16,
    /// Port of EKS Auth and of the token issuer's documents; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 17024)]
    pub api_port: u16,
    /// Port of /healthz, /readyz and /metrics; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 17025)]
    pub metrics_port: u16,
    /// Give a service account a role; repeatable
    #[arg(long, value_name = "NAMESPACE/SERVICE_ACCOUNT=ROLE_ARN")]
    pub associate: Vec<Pairing>,
    /// Who issues credentials: embedded ones open nothing, AWS's are real [default: embedded, or aws with --sts-endpoint]
    #[arg(long, value_name = "STS")]
    pub sts: Option<StsKind>,
    /// An STS of one's own (MinIO, Ceph, LocalStack), called with the default credential chain
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub sts_endpoint: Option<String>,
    /// How long credentials live, at most 12h
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = session_duration)]
    pub session_duration: Duration,
    /// How many associations the cluster may have; EKS allows 5000
    #[arg(long, value_name = "COUNT", default_value_t = control_plane::store::DEFAULT_LIMIT)]
    pub max_associations: u64,
    /// Of what kind the key is that signs tokens, when it is made; a key that is there stays [default: rsa]
    #[arg(long, value_name = "KIND")]
    pub signing_key: Option<SigningKeyKind>,
    /// How much is logged: error, warn, info, debug or trace
    #[arg(long, short = 'v', value_name = "LEVEL", default_value = "warn")]
    pub verbosity: Verbosity,
}

/// Which STS assumes the roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StsKind {
    /// The development STS in this process.
    Embedded,
    /// AWS's, or one that speaks its protocol.
    Aws,
}

/// What kind of key signs tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SigningKeyKind {
    /// RSA with 2048 bits, RS256.
    Rsa,
    /// P-256, ES256.
    Ec,
}

impl From<SigningKeyKind> for KeyKind {
    fn from(kind: SigningKeyKind) -> Self {
        match kind {
            SigningKeyKind::Rsa => Self::Rsa,
            SigningKeyKind::Ec => Self::Ec,
        }
    }
}

/// Where the state is.
#[derive(Clone, Debug, Default, Args)]
pub struct Data {
    /// Folder of the state and of the control socket [default: $XDG_STATE_HOME/pod-identity/dev]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What can be done with a system that runs.
#[derive(Debug, Subcommand)]
pub enum Errand {
    /// Runs a program as a pod: its environment and token file are those of EKS
    Run(Run),
    /// Prints a service account token
    Token(Token),
    /// Gives a service account a role, or another one
    Associate(Associate),
    /// Lists the associations
    Associations(Data),
    /// Takes a service account its role
    Dissociate(Dissociate),
    /// Prints the key pair that signs calls to this EKS Auth and EKS, as shell exports
    Keys(Data),
}

/// A service account by its names.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ServiceAccount {
    /// Namespace of the pod
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub namespace: String,
    /// Service account of the pod
    #[arg(long, short = 's', value_name = "NAME")]
    pub service_account: String,
}

/// `dev run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Whose pod it is.
    #[command(flatten)]
    pub account: ServiceAccount,
    /// Name of the pod [default: the service account's with -0]
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// How long each token is good; the file is re-written at four fifths of it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = token_lifetime)]
    pub token_lifetime: Duration,
    /// The system.
    #[command(flatten)]
    pub data: Data,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `dev token`.
#[derive(Debug, Args)]
pub struct Token {
    /// Whose token it is.
    #[command(flatten)]
    pub account: ServiceAccount,
    /// Name of the pod [default: the service account's with -0]
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// How long the token is good, 1s to 24h
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = token_lifetime)]
    pub lifetime: Duration,
    /// The system.
    #[command(flatten)]
    pub data: Data,
}

/// `dev associate`.
#[derive(Debug, Args)]
pub struct Associate {
    /// Whose pods get the role.
    #[command(flatten)]
    pub account: ServiceAccount,
    /// The role
    #[arg(long, value_name = "ARN")]
    pub role_arn: RoleArn,
    /// A second role, assumed with the first; the pods get only its credentials
    #[arg(long, value_name = "ARN")]
    pub target_role_arn: Option<RoleArn>,
    /// Leave the six session tags out
    #[arg(long)]
    pub disable_session_tags: bool,
    /// The system.
    #[command(flatten)]
    pub data: Data,
}

/// `dev dissociate`.
#[derive(Debug, Args)]
pub struct Dissociate {
    /// Whose pods lose the role.
    #[command(flatten)]
    pub account: ServiceAccount,
    /// The system.
    #[command(flatten)]
    pub data: Data,
}

/// A service account and its role, as `--associate` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// The service account.
    pub account: ServiceAccount,
    /// Its role.
    pub role_arn: RoleArn,
}

impl FromStr for Pairing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(account, role)| Some((account.split_once('/')?, role)));
        let ((namespace, service_account), role) = parts.ok_or(
            "write NAMESPACE/SERVICE_ACCOUNT=ROLE_ARN, such as shop/web=arn:aws:iam::111122223333:role/web",
        )?;
        let role_arn = role.parse().map_err(|error: identity::ArnError| error.to_string())?;
        let account =
            ServiceAccount { namespace: namespace.to_owned(), service_account: service_account.to_owned() };
        Ok(Self { account, role_arn })
    }
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// clap's error: help that was asked for, or a line that makes no sense, with what is allowed.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, clap::Error> {
    Line::try_parse_from(arguments).map(|line| line.asked)
}

fn session_duration(text: &str) -> Result<Duration, String> {
    duration_within(text, control_plane::sts::LONGEST_SESSION)
}

fn token_lifetime(text: &str) -> Result<Duration, String> {
    duration_within(text, crate::control::LONGEST_TOKEN)
}

fn duration_within(text: &str, longest: Duration) -> Result<Duration, String> {
    let allowed = format!("a duration from 1s to {}h, such as 15m", longest.as_secs() / 3_600);
    match go_duration::parse(text) {
        Ok(duration) if (Duration::from_secs(1)..=longest).contains(&duration) => Ok(duration),
        _ => Err(allowed),
    }
}

/// Regions are labels of host names; an unknown one is fine, since nothing is called there.
fn region(text: &str) -> Result<String, String> {
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(is_label) {
        return Ok(text.to_owned());
    }
    Err("a region such as us-west-2: lower-case letters, digits and hyphens".to_owned())
}

/// `http://127.0.0.1:17023`, with whatever path; agents have addresses, not names.
fn agent_address(text: &str) -> Result<SocketAddr, String> {
    let is_http = text.parse().is_ok_and(|url: http::Uri| url.scheme_str() == Some("http"));
    let address = if is_http { dial::address_of(text) } else { None };
    address.ok_or_else(|| "a URL with an address, such as http://127.0.0.1:17023".to_owned())
}

fn http_url(text: &str) -> Result<String, String> {
    let url: Result<http::Uri, _> = text.parse();
    match url {
        Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() => {
            Ok(text.to_owned())
        }
        _ => Err("a URL such as http://127.0.0.1:9000".to_owned()),
    }
}

#[cfg(test)]
mod tests;
