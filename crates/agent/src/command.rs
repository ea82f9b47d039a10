//! The command line: AWS's agent's commands and flags, and a few of our own. Values are read as text here; what they
//! mean is for [`crate::settings`] to say, so that all mistakes come out together.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use runtime::log::Verbosity;
use runtime::probe::Question;

/// Gives Kubernetes pods temporary AWS credentials.
#[derive(Debug, Parser)]
#[command(name = "eks-pod-identity-agent", args_override_self = true, disable_version_flag = true)]
struct Line {
    /// How much is logged: panic, fatal, error, warn, warning, info, debug or trace [default: info]
    #[arg(long, short = 'v', global = true, value_name = "LEVEL", allow_hyphen_values = true)]
    verbosity: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answers pods until it is told to stop
    #[command(args_override_self = true)]
    Server(Box<ServerFlags>),
    /// Gives the node the link, addresses and routes that pods reach the agent by; run again, it changes nothing
    Initialize(InitializeFlags),
    /// Asks the agent of this pod over its --probe-socket, for exec probes; fails if it says no
    Probe(ProbeFlags),
    /// Tells how much the agent of this pod logs, over its --probe-socket, or changes it
    LogLevel(LogLevelFlags),
    /// Prints the version
    Version,
}

/// The flags of `log-level`.
#[derive(Clone, Debug, Args)]
pub struct LogLevelFlags {
    /// How much it is to log from now on: error, warn, info, debug or trace
    #[arg(value_name = "LEVEL")]
    pub level: Option<Verbosity>,
    /// The agent's --probe-socket
    #[arg(long, value_name = "PATH")]
    pub probe_socket: std::path::PathBuf,
}

/// The flags of `probe`.
#[derive(Clone, Debug, Args)]
pub struct ProbeFlags {
    /// What to ask: live or ready
    #[arg(value_name = "QUESTION", value_parser = read_question)]
    pub question: Question,
    /// The agent's --probe-socket
    #[arg(long, value_name = "PATH")]
    pub probe_socket: std::path::PathBuf,
}

fn read_question(word: &str) -> Result<Question, &'static str> {
    match word {
        "live" => Ok(Question::Live),
        "ready" => Ok(Question::Ready),
        _ => Err("live or ready"),
    }
}

/// The flags of `initialize`.
#[derive(Clone, Debug, Default, Args)]
pub struct InitializeFlags {
    /// Print what would be done, and do nothing; fails if anything is missing
    #[arg(long)]
    pub check: bool,

    /// Directory of --handover-socket, to be given to the agents' group
    #[arg(long, value_name = "DIRECTORY", requires = "handover_group", allow_hyphen_values = true)]
    pub handover_directory: Option<String>,

    /// Id of the agents' group
    #[arg(long, value_name = "GID", requires = "handover_directory", allow_hyphen_values = true)]
    pub handover_group: Option<String>,

    /// How much is logged; filled from the flag of the whole command
    #[arg(skip)]
    pub verbosity: Option<String>,

    /// Words that belong to nothing, as with `server`.
    #[arg(hide = true)]
    stray: Vec<String>,
}

/// The flags of `server`, as text.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerFlags {
    /// Name of the cluster whose pods are served [default: found on the node, from its instance's tags and user data or its labels]
    #[arg(long, short = 'c', value_name = "NAME", allow_hyphen_values = true)]
    pub cluster_name: Option<String>,
    /// Port on which pods reach the agent [default: 80]
    #[arg(long, short = 'p', value_name = "PORT", allow_hyphen_values = true)]
    pub port: Option<String>,
    /// Port of /healthz and /readyz on localhost [default: 2703]
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    pub probe_port: Option<String>,
    /// Address of /metrics [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    pub metrics_address: Option<String>,
    /// Port of /metrics [default: 2705]
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    pub metrics_port: Option<String>,
    /// How long credentials are kept before they are renewed; 0 keeps none [default: 3h]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub max_credential_retention_before_renewal: Option<String>,
    /// How many pods' credentials are kept; 0 keeps none [default: 2000]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub max_cache_size: Option<String>,
    /// How many renewals a second may go to EKS Auth [default: 3]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub max_service_qps: Option<String>,
    /// Address on which pods reach the agent; repeatable [default: 169.254.170.23 and, where the node has it, fd00:ec2::23]
    #[arg(long, short = 'b', value_name = "ADDRESS", allow_hyphen_values = true)]
    pub bind_hosts: Vec<String>,
    /// Sign with the default profile of the shared credentials file, read again before each call
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rotate_credentials: Option<String>,
    /// Endpoint of EKS Auth in place of the region's
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    pub endpoint: Option<String>,

    /// Audience of which a token needs one; repeatable [default: pods.eks.amazonaws.com]
    #[arg(long, value_name = "AUDIENCE", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub token_audience: Vec<String>,
    /// File with the keys that sign tokens (a JSON Web Key Set), read again every minute
    #[arg(long, value_name = "PATH", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub jwks_file: Option<String>,
    /// Issuer whose tokens the keys of --jwks-file sign [default: any]
    #[arg(long, value_name = "URL", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub jwks_issuer: Option<String>,
    /// Issuer that publishes the keys of its tokens (OpenID Connect discovery); repeatable
    #[arg(long, value_name = "URL", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub issuer_url: Vec<String>,
    /// Whether the API server is asked for the keys that sign tokens: auto (in a cluster), on or off [default: auto]
    #[arg(long, value_name = "WHEN", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub api_server_keys: Option<String>,
    /// Whether tokens that a known key did not sign are refused here: auto (not on EKS before 1.34), on or off [default:
    /// auto]
    #[arg(long, value_name = "WHEN", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub refuse_forged_tokens: Option<String>,
    /// How often the keys that sign tokens are fetched [default: 10m]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub signing_keys_refresh: Option<String>,
    /// Age from which keys that sign tokens are not used any more [default: 24h]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub signing_keys_max_age: Option<String>,
    /// File in which the last good keys are kept for a start without their source [default: none]
    #[arg(long, value_name = "PATH", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub signing_keys_cache: Option<String>,
    /// Directory with the token and ca.crt by which the API server is asked [default:
    /// /var/run/secrets/kubernetes.io/serviceaccount]
    #[arg(long, value_name = "DIRECTORY", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub service_account_directory: Option<String>,
    /// Whether the pods of this node are watched, so that sessions of those that are gone are forgotten: auto (in a cluster,
    /// where NODE_NAME is set), on or off [default: auto]
    #[arg(long, value_name = "WHEN", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub pod_watch: Option<String>,
    /// Key of a taint that is removed from this node once the agent can serve its pods [default: none]
    #[arg(long, value_name = "KEY", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub remove_startup_taint: Option<String>,
    /// Whether a token serves only from an address of its pod: off, on, or strict (no pods on the host's network, no unknown
    /// ones) [default: off]
    #[arg(long, value_name = "HOW", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub verify_source: Option<String>,
    /// Unix socket for the probe command [default: none]
    #[arg(long, value_name = "PATH", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub probe_socket: Option<String>,
    /// Unix socket over which an agent hands its sessions to the one that takes its place; both share their ports then
    /// [default: none]
    #[arg(long, value_name = "PATH", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub handover_socket: Option<String>,
    /// How long a pod is kept waiting while its token is exchanged, and how long that is tried again [default: 6s]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub hold_timeout: Option<String>,
    /// How long connecting to EKS Auth may take [default: 1s]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub upstream_connect_timeout: Option<String>,
    /// How long one attempt of an exchange may take [default: 2.5s]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub upstream_attempt_timeout: Option<String>,
    /// How many attempts an exchange has within --hold-timeout; throttled ones do not count [default: 20]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub upstream_attempts: Option<String>,
    /// How many requests a second one source (a pod) may make; twice as many at once [default: 2000]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub source_request_rate: Option<String>,
    /// How many new tokens a second one source (a pod) may show; five times as many at once [default: 20]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub source_exchange_rate: Option<String>,
    /// How many new tokens a second all may show together; twice as many at once [default: 2000]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub exchange_rate: Option<String>,
    /// How many connections pods may have open [default: 10000]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub max_connections: Option<String>,
    /// How many of them may be of one address [default: 1000]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub max_connections_per_peer: Option<String>,
    /// How many requests may wait for an exchange at once [default: 4096]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub max_requests: Option<String>,
    /// How long a connection may be open without a request [default: 20s]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub idle_timeout: Option<String>,
    /// How long open requests get when the agent is told to stop [default: 25s]
    #[arg(long, value_name = "DURATION", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub drain_timeout: Option<String>,
    /// Record each answer to a pod in this file, or on standard output with -: see docs/audit.md
    #[arg(long, value_name = "FILE", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub audit_log: Option<String>,
    /// How long that file may get before it is put aside, in MiB [default: 64]
    #[arg(long, value_name = "MIB", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub audit_max_size: Option<String>,
    /// How many files of records there are at most [default: 4]
    #[arg(long, value_name = "COUNT", help_heading = "Beyond AWS's agent", allow_hyphen_values = true)]
    pub audit_files: Option<String>,
    /// Allow --bind-hosts on addresses that other machines may reach
    #[arg(long, help_heading = "Beyond AWS's agent")]
    pub allow_public_bind: bool,

    /// How much is logged; filled from the flag of the whole command
    #[arg(skip)]
    pub verbosity: Option<String>,

    /// Words that belong to nothing. AWS's chart writes `--rotate-credentials true` as two words.
    #[arg(hide = true)]
    stray: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Serve, with these flags.
    Serve(Box<ServerFlags>),
    /// Prepare the node.
    Initialize(InitializeFlags),
    /// Ask the agent that runs.
    Probe(ProbeFlags),
    /// Ask it how much it logs, or change that.
    LogLevel(LogLevelFlags),
    /// Print the version.
    Version,
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// clap's error: help that was asked for, or a line that makes no sense, with the nearest known flag named.
pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Asked, clap::Error> {
    let Line { verbosity, command } = Line::try_parse_from(arguments).map_err(name_nearest_flag)?;
    Ok(match command {
        Command::Server(flags) => Asked::Serve(Box::new(ServerFlags { verbosity, ..*flags })),
        Command::Initialize(flags) => Asked::Initialize(InitializeFlags { verbosity, ..flags }),
        Command::Probe(flags) => Asked::Probe(flags),
        Command::LogLevel(flags) => Asked::LogLevel(flags),
        Command::Version => Asked::Version,
    })
}

/// The flags of a `server` line, for tests.
#[cfg(test)]
pub(crate) fn read_flags(arguments: impl IntoIterator<Item = String>) -> Result<ServerFlags, String> {
    match read(arguments) {
        Ok(Asked::Serve(flags)) => Ok(*flags),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The long names of all flags of `server`, without their dashes.
pub fn server_flags() -> Vec<String> {
    let mut command = Line::command();
    command.build();
    let server = command.find_subcommand("server").expect("the command has this subcommand");
    let flags = server.get_arguments().filter_map(|argument| argument.get_long());
    flags.filter(|flag| *flag != "help").map(str::to_owned).collect()
}

/// clap names a flag only when it is very like the unknown one; an operator wants the nearest in any case.
fn name_nearest_flag(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg).cloned() else {
        return error;
    };
    if error.kind() != ErrorKind::UnknownArgument || error.get(ContextKind::SuggestedArg).is_some() {
        return error;
    }
    let likeness = |flag: &String| strsim::sorensen_dice(flag, unknown.trim_start_matches('-'));
    let flags = server_flags().into_iter();
    if let Some(nearest) = flags.max_by(|one, other| likeness(one).total_cmp(&likeness(other))) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{nearest}")));
    }
    error
}
