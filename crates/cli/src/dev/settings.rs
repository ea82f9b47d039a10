//! What `dev` was told: flags and environment together, checked against each other.

use std::collections::BTreeMap;
use std::time::Duration;

use control_plane::issuer::KeyKind;
use eks_auth::{SessionDuration, TransportError, TransportSettings};
use identity::Cluster;
use runtime::Environment;
use thiserror::Error;

use super::{Folder, FolderError};
use crate::command::{Pairing, Start, StsKind};

/// Flags or variables that do not go together.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Two listeners on one port.
    #[error("{one} and {other} are both {port}: give one of them another port, or 0 for any free one")]
    SamePort {
        /// A flag.
        one: &'static str,
        /// Another flag.
        other: &'static str,
        /// Their value.
        port: u16,
    },
    /// An endpoint for an STS that is not called.
    #[error("--sts-endpoint names an STS that --sts embedded does not call: leave one of them out")]
    EndpointOfNobody,
    /// STS has a lower bound.
    #[error(
        "--session-duration is shorter than the 15m that STS allows: give it a longer one, or use --sts embedded"
    )]
    TooShortForSts,
    /// One service account twice.
    #[error("--associate gives {account} two roles, {one} and {other}: leave one of them out")]
    TwoRoles {
        /// Namespace and service account.
        account: String,
        /// A role.
        one: String,
        /// Another role.
        other: String,
    },
    /// How AWS is reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Which STS assumes the roles.
#[derive(Clone, Debug)]
pub(crate) enum StsSettings {
    /// The one in this process.
    Embedded,
    /// AWS's, or one that speaks its protocol.
    Aws {
        /// Where, if not at AWS's own endpoint.
        endpoint: Option<String>,
        /// How.
        transport: Box<TransportSettings>,
    },
}

/// Everything a development system needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) folder: Folder,
    pub(crate) ephemeral: bool,
    pub(crate) cluster: Cluster,
    pub(crate) agent_port: u16,
    pub(crate) api_port: u16,
    pub(crate) metrics_port: u16,
    pub(crate) associate: Vec<Pairing>,
    pub(crate) sts: StsSettings,
    pub(crate) session_duration: SessionDuration,
    pub(crate) max_associations: u64,
    /// `None` is whatever there is.
    pub(crate) signing_key: Option<KeyKind>,
}

impl Settings {
    /// Puts flags and environment together.
    pub(crate) fn read(start: Start, environment: &impl Environment) -> Result<Self, SettingsError> {
        let folder = Folder::find(start.data.data.as_deref(), environment)?;
        let Start {
            ephemeral,
            cluster,
            region,
            account,
            agent_port,
            api_port,
            metrics_port,
            associate,
            max_associations,
            signing_key,
            ..
        } = start;
        ports_differ(&[
            ("--agent-port", agent_port),
            ("--api-port", api_port),
            ("--metrics-port", metrics_port),
        ])?;
        one_role_each(&associate)?;
        let sts = sts(start.sts, start.sts_endpoint, start.session_duration, environment)?;
        let partition = partition_of(&region).to_owned();
        let single = start.session_duration;
        let session_duration =
            SessionDuration { single, chained: single.min(SessionDuration::default().chained) };
        let cluster = Cluster { name: cluster, region, account, partition };
        Ok(Self {
            folder,
            ephemeral,
            cluster,
            agent_port,
            api_port,
            metrics_port,
            associate,
            sts,
            session_duration,
            max_associations,
            signing_key: signing_key.map(KeyKind::from),
        })
    }
}

fn ports_differ(ports: &[(&'static str, u16)]) -> Result<(), SettingsError> {
    let mut taken = BTreeMap::new();
    for (flag, port) in ports.iter().copied().filter(|(_, port)| *port != 0) {
        if let Some(one) = taken.insert(port, flag) {
            return Err(SettingsError::SamePort { one, other: flag, port });
        }
    }
    Ok(())
}

fn one_role_each(pairings: &[Pairing]) -> Result<(), SettingsError> {
    let mut roles = BTreeMap::new();
    for Pairing { account, role_arn } in pairings {
        let name = format!("{}/{}", account.namespace, account.service_account);
        match roles.insert(name.clone(), role_arn) {
            Some(before) if before != role_arn => {
                let (one, other) = (before.to_string(), role_arn.to_string());
                return Err(SettingsError::TwoRoles { account: name, one, other });
            }
            _ => {}
        }
    }
    Ok(())
}

fn sts(
    kind: Option<StsKind>,
    endpoint: Option<String>,
    duration: Duration,
    environment: &impl Environment,
) -> Result<StsSettings, SettingsError> {
    /// STS's AssumeRole, DurationSeconds.
    const SHORTEST_AT_STS: Duration = Duration::from_secs(15 * 60);
    match (kind, endpoint) {
        (Some(StsKind::Embedded), Some(_)) => Err(SettingsError::EndpointOfNobody),
        (Some(StsKind::Embedded) | None, None) => Ok(StsSettings::Embedded),
        (Some(StsKind::Aws), _) | (None, Some(_)) if duration < SHORTEST_AT_STS => {
            Err(SettingsError::TooShortForSts)
        }
        (Some(StsKind::Aws) | None, endpoint) => {
            Ok(StsSettings::Aws { endpoint, transport: Box::new(transport(environment)?) })
        }
    }
}

/// How AWS's other tools reach AWS with these variables; the first mistake is told.
fn transport(environment: &impl Environment) -> Result<TransportSettings, TransportError> {
    TransportSettings::from_environment(|name| environment.get(name))
        .map_err(|mut mistakes| mistakes.remove(0).1)
}

/// The partition of a region, by the prefixes of AWS's partition data. Unknown regions are of `aws`.
fn partition_of(region: &str) -> &'static str {
    const BY_PREFIX: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("us-iso-", "aws-iso"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    BY_PREFIX.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::ffi::OsString;

    use super::*;
    use crate::command::{Asked, read};

    fn settings(flags: &str) -> Result<Settings, String> {
        let words = format!("pod-identity dev --data /tmp/x {flags}");
        let Ok(Asked::Dev(dev)) = read(words.split_whitespace().map(OsString::from)) else {
            panic!("{flags}")
        };
        Settings::read(dev.start, &HashMap::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused_with_what_to_change() {
        for (flags, wanted) in [
            ("--agent-port 9 --api-port 9", "--agent-port and --api-port are both 9"),
            ("--metrics-port 17023", "--agent-port and --metrics-port are both 17023"),
            ("--sts embedded --sts-endpoint http://127.0.0.1:9000", "leave one of them out"),
            ("--sts aws --session-duration 5m", "shorter than the 15m"),
            ("--sts-endpoint http://127.0.0.1:9000 --session-duration 5m", "shorter than the 15m"),
            (
                "--associate a/b=arn:aws:iam::111122223333:role/x --associate a/b=arn:aws:iam::111122223333:role/y",
                "gives a/b two roles",
            ),
        ] {
            let error = settings(flags).unwrap_err();
            assert!(error.contains(wanted), "{flags}: {error}");
        }
        assert!(settings("--agent-port 0 --api-port 0 --metrics-port 0").is_ok());
    }

    #[test]
    fn an_sts_endpoint_alone_means_that_sts() {
        assert!(matches!(settings("").unwrap().sts, StsSettings::Embedded));
        assert!(matches!(settings("--sts aws").unwrap().sts, StsSettings::Aws { endpoint: None, .. }));
        let endpoint = settings("--sts-endpoint http://127.0.0.1:9000").unwrap().sts;
        assert!(
            matches!(endpoint, StsSettings::Aws { endpoint: Some(url), .. } if url == "http://127.0.0.1:9000")
        );
    }

    #[test]
    fn a_chained_session_is_never_longer_than_sts_lets_it_be() {
        let chained = |flags: &str| settings(flags).unwrap().session_duration.chained;
        assert_eq!(chained(""), Duration::from_secs(59 * 60));
        assert_eq!(chained("--session-duration 15m"), Duration::from_secs(15 * 60));
    }

    #[test]
    fn a_region_has_the_partition_that_aws_gives_it() {
        for (region, partition) in [
            ("us-west-2", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
            ("moon-1", "aws"),
        ] {
            assert_eq!(partition_of(region), partition, "{region}");
        }
    }
}
