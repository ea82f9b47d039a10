//! Where the keys come from that sign the cluster's tokens, and how far they are relied on.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use runtime::Environment;
use thiserror::Error;

use super::mistakes::{Mistake, Reader};
use crate::api_server::{ApiServerSettings, SERVICE_ACCOUNT_DIRECTORY};
use crate::command::ServerFlags;
use crate::verification::{Reliance, is_protected};

/// A check that is made where it can be, unless somebody decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Where it can be made.
    #[default]
    Auto,
    /// Always; what it needs must be there.
    On,
    /// Never.
    Off,
}

/// It is none of the words.
#[derive(Debug, Error)]
#[error("auto, on or off")]
pub struct NoChoice;

impl FromStr for Choice {
    type Err = NoChoice;

    fn from_str(word: &str) -> Result<Self, NoChoice> {
        match word {
            "auto" => Ok(Self::Auto),
            "on" | "true" => Ok(Self::On),
            "off" | "false" => Ok(Self::Off),
            _ => Err(NoChoice),
        }
    }
}

/// How tokens are checked on the node.
#[derive(Clone, Debug)]
pub struct SigningKeySettings {
    /// A file with a key set.
    pub file: Option<PathBuf>,
    /// Whose tokens the keys of the file sign, where that is known.
    pub file_issuer: Option<String>,
    /// Issuers that publish their keys.
    pub issuers: Vec<String>,
    /// The API server whose keys are used, if they are.
    pub api_server: Option<ApiServerSettings>,
    /// How far keys are relied on, if that is not left to be found out.
    pub reliance: Option<Reliance>,
    /// How often sources are asked.
    pub refresh: Duration,
    /// The age from which keys are not used any more.
    pub max_age: Duration,
    /// Where the last good keys are kept on disk, if they are.
    pub cache: Option<PathBuf>,
}

impl Default for SigningKeySettings {
    fn default() -> Self {
        let crate::verification::VerificationPolicy { refresh, max_age, .. } = Default::default();
        Self {
            file: None,
            file_issuer: None,
            issuers: Vec::new(),
            api_server: None,
            reliance: None,
            refresh,
            max_age,
            cache: None,
        }
    }
}

impl SigningKeySettings {
    pub(super) fn read(
        flags: &ServerFlags,
        api_server: Option<&ApiServerSettings>,
        reader: &mut Reader,
    ) -> Self {
        let path =
            |given: &Option<String>| given.as_deref().filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut settings = Self {
            file: path(&flags.jwks_file),
            file_issuer: flags.jwks_issuer.clone().filter(|issuer| !issuer.is_empty()),
            cache: path(&flags.signing_keys_cache),
            ..Self::default()
        };
        if let (None, Some(issuer)) = (&settings.file, &settings.file_issuer) {
            reader.add(Mistake::new(
                "--jwks-issuer",
                issuer,
                "used beside --jwks-file, whose issuer it names",
            ));
        }
        for url in &flags.issuer_url {
            if is_protected(url) {
                settings.issuers.push(url.clone());
            } else {
                reader.add(Mistake::new("--issuer-url", url, "an https URL, as in the tokens' iss"));
            }
        }
        let (mut api_server_keys, mut refuse) = (Choice::Auto, Choice::Auto);
        reader.set("--api-server-keys", flags.api_server_keys.as_deref(), &mut api_server_keys);
        reader.set("--refuse-forged-tokens", flags.refuse_forged_tokens.as_deref(), &mut refuse);
        settings.api_server = match api_server_keys {
            Choice::Off => None,
            Choice::Auto | Choice::On => api_server.cloned(),
        };
        if api_server_keys == Choice::On && settings.api_server.is_none() {
            let allowed = "on in a cluster only, where KUBERNETES_SERVICE_HOST is set";
            reader.add(Mistake::new("--api-server-keys", "on", allowed));
        }
        settings.reliance = match refuse {
            Choice::Auto => None,
            Choice::On => Some(Reliance::Whole),
            Choice::Off => Some(Reliance::ConfirmOnly),
        };
        reader.set_duration(
            "--signing-keys-refresh",
            flags.signing_keys_refresh.as_deref(),
            &mut settings.refresh,
        );
        reader.set_duration(
            "--signing-keys-max-age",
            flags.signing_keys_max_age.as_deref(),
            &mut settings.max_age,
        );
        if settings.max_age < settings.refresh {
            let given = flags.signing_keys_max_age.as_deref().unwrap_or("24h");
            reader.add(Mistake::new("--signing-keys-max-age", given, "more than --signing-keys-refresh"));
        }
        settings
    }
}

/// The API server as the environment and the flags have it; `None` outside a cluster.
pub(super) fn api_server(flags: &ServerFlags, environment: &impl Environment) -> Option<ApiServerSettings> {
    let directory = flags.service_account_directory.as_deref().filter(|directory| !directory.is_empty());
    ApiServerSettings::read(environment, directory.unwrap_or(SERVICE_ACCOUNT_DIRECTORY).as_ref())
}
