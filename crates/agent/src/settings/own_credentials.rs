//! The credentials that the agent itself calls AWS with: never those that it hands out, and nobody else's to read.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use http::Uri;
use runtime::Environment;

use super::bind_hosts::{AWS_IPV4, AWS_IPV6, BindHost};
use super::mistakes::Mistake;

/// The variable by which EKS's webhook sends an SDK to the agent.
const ENDPOINT: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// The shared credentials file: `AWS_SHARED_CREDENTIALS_FILE`, or its default place in the home folder.
pub(super) fn file(environment: &impl Environment) -> Option<PathBuf> {
    let named = environment.get("AWS_SHARED_CREDENTIALS_FILE").filter(|path| !path.is_empty());
    let default = || Some(PathBuf::from(environment.get("HOME")?).join(".aws/credentials"));
    named.map(PathBuf::from).or_else(default)
}

/// The agent would ask itself for the credentials that it needs to answer. EKS's webhook does that to the agent's own pods, if
/// somebody makes an association for their service account.
pub(super) fn loop_through(environment: &impl Environment, ours: &[BindHost]) -> Option<Mistake> {
    let given = environment.get(ENDPOINT).filter(|url| !url.is_empty())?;
    let url: Uri = given.parse().ok()?;
    let host: IpAddr = url.host()?.trim_matches(['[', ']']).parse().ok()?;
    let is_ours = host == AWS_IPV4 || host == AWS_IPV6 || ours.iter().any(|own| own.address == host);
    let remedy = "another address than the agent's own, where it would ask itself for credentials; remove the association of the \
                  agent's own service account, and give the node's role or a credentials file instead";
    is_ours.then(|| Mistake::new(ENDPOINT, &given, remedy))
}

/// Whether others than the owner and its group may read the file, or others than the owner write it.
pub(super) fn open_to_others(file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.mode() & 0o777;
    (mode & 0o027 != 0).then(|| {
        format!(
            "{} has mode {mode:o}: the node's AWS credentials can be read or changed by others; chmod 600 it",
            file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::bind_hosts;

    #[test]
    fn the_agent_never_asks_itself_for_its_own_credentials() {
        let looped = |url| {
            let environment = HashMap::from([(ENDPOINT, url)]);
            loop_through(&environment, &bind_hosts::default())
        };
        for url in [
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://169.254.170.23:80/",
        ] {
            let mistake = looped(url).unwrap();
            assert!(mistake.to_string().contains("would ask itself"), "{mistake}");
        }
        for url in ["http://169.254.170.2/v2/credentials", "https://credentials.example/", ""] {
            assert_eq!(looped(url), None, "{url}");
        }
    }

    #[test]
    fn a_credentials_file_that_others_can_read_is_warned_about() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o660, true)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_to_others(file.path()).is_some(), warned, "{mode:o}");
        }
    }

    #[test]
    fn the_file_is_where_awss_tools_look_for_it() {
        let at =
            |pairs: &[(&'static str, &'static str)]| file(&pairs.iter().copied().collect::<HashMap<_, _>>());
        assert_eq!(at(&[("HOME", "/root")]), Some("/root/.aws/credentials".into()));
        assert_eq!(at(&[("HOME", "/root"), ("AWS_SHARED_CREDENTIALS_FILE", "/x")]), Some("/x".into()));
        assert_eq!(at(&[]), None);
    }
}
