//! The agent's own credentials from a shared file that somebody else keeps fresh (hybrid nodes).

use std::sync::Mutex;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_smithy_async::time::SharedTimeSource;
use tracing::{info, warn};

/// How long one reading of the file counts. Less than the ten seconds before their end in which the SDK asks for new ones, so it
/// asks before each call: reading a file costs nothing beside one, and a change counts at once on every file system.
const REREAD_AFTER: Duration = Duration::from_secs(5);

/// The default profile of `AWS_SHARED_CREDENTIALS_FILE` (or its default place), read again before each call. A file that
/// cannot be read at that moment, half-written perhaps, leaves the last good credentials in use.
#[derive(Debug)]
pub(super) struct RotatingSharedFile {
    clock: SharedTimeSource,
    /// How the profile's own sources (a role to assume, say) reach AWS.
    config: ProviderConfig,
    files: EnvConfigFiles,
    last_good: Mutex<LastGood>,
}

#[derive(Debug, Default)]
struct LastGood {
    credentials: Option<Credentials>,
    /// Whether they are in use because the file is unusable, so that logs tell changes and not every call.
    stands_in: bool,
}

impl RotatingSharedFile {
    pub(super) fn new(clock: SharedTimeSource, config: ProviderConfig, files: EnvConfigFiles) -> Self {
        Self { clock, config, files, last_good: Mutex::default() }
    }

    async fn read(&self) -> aws_credential_types::provider::Result {
        // A new provider each time: the SDK's keeps the file's first content for good.
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(&self.config)
            .profile_files(self.files.clone())
            .build();
        let read = provider.provide_credentials().await;
        let mut last_good = self.last_good.lock().expect("no holder of this lock panics");
        let credentials = match (read, last_good.credentials.clone()) {
            (Ok(credentials), _) => {
                if std::mem::take(&mut last_good.stands_in) {
                    info!("the shared credentials file can be used again");
                }
                last_good.credentials = Some(credentials.clone());
                credentials
            }
            (Err(error), Some(kept)) => {
                if !std::mem::replace(&mut last_good.stands_in, true) {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the shared credentials file cannot be used, the last good credentials stay in use"
                    );
                }
                kept
            }
            (Err(error), None) => return Err(error),
        };
        // The expiry makes the SDK's identity cache ask again; a nearer one of the file's own stays.
        let reread = self.clock.now() + REREAD_AFTER;
        let expiry = credentials.expiry().map_or(reread, |expiry| expiry.min(reread));
        let token = credentials.session_token().map(str::to_owned);
        Ok(Credentials::new(
            credentials.access_key_id(),
            credentials.secret_access_key(),
            token,
            Some(expiry),
            "RotatingSharedFile",
        ))
    }
}

impl ProvideCredentials for RotatingSharedFile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.read())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use aws_runtime::env_config::file::EnvConfigFileKind;
    use aws_smithy_async::time::StaticTimeSource;

    use super::*;
    use crate::{Transport, TransportSettings};

    const NOW: SystemTime = UNIX_EPOCH;

    #[tokio::test]
    async fn the_file_is_read_again_before_each_call_and_an_unusable_one_leaves_the_last_good_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, &path).build();
        let http_client = Transport::new(TransportSettings::default()).http_client();
        let config = ProviderConfig::without_region().with_http_client(http_client);
        let provider = RotatingSharedFile::new(StaticTimeSource::new(NOW).into(), config, files);

        assert!(provider.read().await.is_err(), "there is no file yet");
        write("[default]\naws_access_key_id = one\naws_secret_access_key = s\n");
        let first = provider.read().await.unwrap();
        assert_eq!((first.access_key_id(), first.expiry()), ("one", Some(NOW + REREAD_AFTER)));
        write("[default]\naws_access_key_id = two\naws_secret_access_key = s\naws_session_token = t\n");
        let second = provider.read().await.unwrap();
        assert_eq!((second.access_key_id(), second.session_token()), ("two", Some("t")));
        for unusable in ["[default]\naws_access_key_id = three\n", "", "[default"] {
            write(unusable);
            assert_eq!(provider.read().await.unwrap().access_key_id(), "two", "{unusable:?}");
        }
        write("[default]\naws_access_key_id = four\naws_secret_access_key = s\n");
        assert_eq!(provider.read().await.unwrap().access_key_id(), "four");
    }
}
