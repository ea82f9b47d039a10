//! The agent's own credentials from a shared file that somebody else keeps fresh (hybrid nodes).

use std::sync::Mutex;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::SharedTimeSource;
use tracing::warn;

/// How long one reading of the file counts.
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// The default profile of `AWS_SHARED_CREDENTIALS_FILE` (or its default place), read again every minute. A file that
/// cannot be read at that moment, half-written perhaps, leaves the last good credentials in use.
#[derive(Debug)]
pub(super) struct RotatingSharedFile {
    clock: SharedTimeSource,
    /// How the profile's own sources (a role to assume, say) reach AWS.
    config: ProviderConfig,
    last_good: Mutex<Option<Credentials>>,
}

impl RotatingSharedFile {
    pub(super) fn new(clock: SharedTimeSource, config: ProviderConfig) -> Self {
        Self { clock, config, last_good: Mutex::default() }
    }

    async fn read(&self) -> aws_credential_types::provider::Result {
        // A new provider each time: the SDK's keeps the file's first content for good.
        let read = ProfileFileCredentialsProvider::builder().configure(&self.config).build().provide_credentials().await;
        let mut last_good = self.last_good.lock().expect("no holder of this lock panics");
        let credentials = match (read, last_good.as_ref()) {
            (Ok(credentials), _) => {
                *last_good = Some(credentials.clone());
                credentials
            }
            (Err(error), Some(kept)) => {
                warn!(error = &error as &dyn std::error::Error, "shared credentials file unusable, keeping the last good");
                kept.clone()
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
