//! One call that looks at the way to EKS Auth and not for credentials: for whoever asks why there are none.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_eksauth::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_eksauth::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_eksauth::error::BoxError;
use aws_sdk_eksauth::primitives::{DateTime, DateTimeFormat};
use identity::{ClusterName, ServiceAccountToken};

use super::{EksAuth, ExchangeError};
use crate::cause::causes;

/// What a call showed, whatever became of it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The URL that was called; `None` if it did not come to a call.
    pub endpoint: Option<String>,
    /// The time of whoever answered, to the second.
    pub date: Option<SystemTime>,
    /// What the exchange came to. Credentials are thrown away.
    pub outcome: Result<(), ExchangeError>,
}

/// The agent's own credentials as they may be told: no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCredentialsFound {
    /// Where they come from, in words; what is derived from another source names that too.
    pub source: String,
    /// When they end, if they do.
    pub expires: Option<SystemTime>,
}

impl EksAuth {
    /// The same client for another cluster.
    #[must_use]
    pub fn for_cluster(self, cluster: ClusterName) -> Self {
        Self { cluster, ..self }
    }

    /// The region, if it was given or found.
    pub fn region(&self) -> Option<String> {
        self.client.config().region().map(ToString::to_string)
    }

    /// Exchanges a token that is good for nothing, to see who answers, and how.
    pub async fn probe(&self, token: &ServiceAccountToken) -> Probe {
        let witness = Witness::default();
        let call = self
            .client
            .assume_role_for_pod_identity()
            .cluster_name(self.cluster.as_str())
            .token(token.secret().expose_str())
            .customize()
            .interceptor(witness.clone());
        let outcome = call.send().await.map(drop).map_err(ExchangeError::from_sdk);
        let Seen { endpoint, date } = std::mem::take(&mut *witness.lock());
        Probe { endpoint, date, outcome }
    }

    /// The credentials that calls are signed with: where they come from. Asks whoever gives them.
    ///
    /// # Errors
    /// The credential chain's words.
    pub async fn find_own_credentials(&self) -> Result<OwnCredentialsFound, String> {
        let Some(credentials) = &self.credentials else {
            return Err("no source of AWS credentials is set up".to_owned());
        };
        let found = credentials.provide_credentials().await.map_err(|error| causes(&error))?;
        Ok(OwnCredentialsFound { source: source(&found), expires: found.expiry() })
    }
}

/// The SDK marks credentials with the steps they came by, the first one first.
fn source(credentials: &Credentials) -> String {
    let features = credentials.get_property::<Vec<AwsCredentialFeature>>();
    let mut names: Vec<&str> = features.into_iter().flatten().filter_map(name).collect();
    names.dedup();
    if names.is_empty() { "a source that does not name itself".to_owned() } else { names.join(", then ") }
}

fn name(feature: &AwsCredentialFeature) -> Option<&'static str> {
    Some(match feature {
        AwsCredentialFeature::CredentialsEnvVars => "environment variables",
        AwsCredentialFeature::CredentialsEnvVarsStsWebIdToken => {
            "a web identity token (AWS_WEB_IDENTITY_TOKEN_FILE)"
        }
        AwsCredentialFeature::CredentialsStsAssumeRole => "AssumeRole",
        AwsCredentialFeature::CredentialsStsAssumeRoleWebId => "AssumeRoleWithWebIdentity",
        AwsCredentialFeature::CredentialsProfile
        | AwsCredentialFeature::CredentialsProfileSourceProfile
        | AwsCredentialFeature::CredentialsProfileNamedProvider
        | AwsCredentialFeature::CredentialsProfileStsWebIdToken => "a profile of the shared files",
        AwsCredentialFeature::CredentialsProfileProcess | AwsCredentialFeature::CredentialsProcess => {
            "a program that a profile names (credential_process)"
        }
        AwsCredentialFeature::CredentialsHttp => "a container credentials endpoint",
        AwsCredentialFeature::CredentialsImds => "the instance metadata service",
        _ => return None,
    })
}

#[derive(Debug, Default)]
struct Seen {
    endpoint: Option<String>,
    date: Option<SystemTime>,
}

/// Looks on while the SDK calls.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Seen>>);

impl Witness {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Intercept for Witness {
    fn name(&self) -> &'static str {
        "Witness"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.lock().endpoint = Some(context.request().uri().to_owned());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok());
        self.lock().date = date.and_then(|date| SystemTime::try_from(date).ok());
        Ok(())
    }
}
