//! Roles assumed by a real STS: AWS's, or any service that speaks its AssumeRole (MinIO, Ceph).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials as SdkCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::{AssumeRoleError as StsError, AssumeRoleOutput};
use aws_sdk_sts::types::Tag;
use aws_smithy_async::time::SharedTimeSource;
use futures_util::future::BoxFuture;
use identity::{Arn, AssumedRoleUser, Credentials, Principal, Secret};
use tokio::sync::OnceCell;

use crate::cause::{causes, missing_credentials, shortened};
use crate::{AssumeRole, AssumeRoleError, RoleAssumer, RoleSession, Transport, TransportSettings};

/// Until a connection to STS stands.
const CONNECT: Duration = Duration::from_secs(1);

/// Until one attempt is answered.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Until a call has succeeded or failed, retries included: less than the 5 s for which an agent waits for the exchange.
const CALL: Duration = Duration::from_secs(4);

/// How long STS may take to say who we are, while a pod waits for its refusal.
const WHO_WE_ARE: Duration = Duration::from_secs(1);

/// STS through AWS's SDK; its own calls are signed with the default credential chain.
#[derive(Clone, Debug)]
pub struct Sts {
    config: aws_sdk_sts::Config,
    caller: Arc<OnceCell<Principal>>,
}

impl Sts {
    /// Makes ready to call STS in `region`, at `endpoint` if one is given.
    pub async fn connect(
        region: &str,
        endpoint: Option<&str>,
        transport: TransportSettings,
        clock: SharedTimeSource,
    ) -> Self {
        Self::with(&loader(region, transport, clock).load().await, endpoint)
    }

    fn with(sdk: &SdkConfig, endpoint: Option<&str>) -> Self {
        let mut config = aws_sdk_sts::config::Builder::from(sdk);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self { config: config.build(), caller: Arc::default() }
    }

    /// Whose credentials sign, by STS's own account. Needs no permission at AWS; not every other STS knows the call.
    async fn ask_who_we_are(&self) -> Option<Principal> {
        let config = self.config.to_builder().retry_config(RetryConfig::disabled()).build();
        let output = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await.ok()?;
        let arn: Arn = output.arn()?.parse().ok()?;
        Some(Principal::of_caller(&arn))
    }

    async fn call(&self, call: AssumeRole) -> Result<RoleSession, AssumeRoleError> {
        let mut config = self.config.to_builder();
        if let Some(signer) = &call.signed_by {
            config = config.credentials_provider(SharedCredentialsProvider::new(SdkCredentials::new(
                &signer.access_key_id,
                signer.secret_access_key.expose_str(),
                Some(signer.session_token.expose_str().to_owned()),
                Some(signer.expiration),
                "first role",
            )));
        }
        let tags: Vec<Tag> = call
            .tags
            .iter()
            .flat_map(|tags| tags.iter())
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect::<Result<_, _>>()
            .map_err(|error| AssumeRoleError::Invalid(error.to_string()))?;
        let transitive = tags.iter().map(|tag| tag.key().to_owned()).collect();
        let output = aws_sdk_sts::Client::from_conf(config.build())
            .assume_role()
            .role_arn(call.role.as_str())
            .role_session_name(call.session_name.as_str())
            .duration_seconds(whole_seconds(call.duration))
            .set_tags((!tags.is_empty()).then_some(tags))
            .set_transitive_tag_keys(call.tags.is_some().then_some(transitive))
            .set_policy(call.policy)
            .set_external_id(call.external_id)
            .send()
            .await
            .map_err(|error| refused(&error))?;
        read(output)
            .ok_or_else(|| AssumeRoleError::Unavailable("STS's answer lacks credentials or role".to_owned()))
    }
}

impl RoleAssumer for Sts {
    fn assume(&self, call: AssumeRole) -> BoxFuture<'_, Result<RoleSession, AssumeRoleError>> {
        Box::pin(self.call(call))
    }

    fn caller(&self) -> BoxFuture<'_, Option<Principal>> {
        Box::pin(async {
            // What was found stays; a failure is tried again with the next role that is denied.
            let found = self.caller.get_or_try_init(|| async { self.ask_who_we_are().await.ok_or(()) });
            tokio::time::timeout(WHO_WE_ARE, found).await.ok()?.ok().cloned()
        })
    }
}

fn loader(region: &str, transport: TransportSettings, clock: SharedTimeSource) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        // Given, so that it is not read from the environment, where a value that makes no sense would be a panic.
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts)
        .http_client(Transport::new(transport).http_client())
        .region(Region::new(region.to_owned()))
        .time_source(clock)
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// By the codes of AWS's STS, and of those that speak like it.
fn refused(error: &SdkError<StsError>) -> AssumeRoleError {
    if let Some(text) = missing_credentials(error) {
        return AssumeRoleError::CallerRefused(text);
    }
    let text = error.message().map_or_else(|| causes(error), shortened);
    match error.code() {
        // AWS denies a role that does not exist; others say so.
        Some("AccessDenied" | "AccessDeniedException" | "NoSuchEntity") => AssumeRoleError::Denied(text),
        Some(
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "SlowDown",
        ) => AssumeRoleError::Throttled(text),
        Some(
            "ValidationError"
            | "MalformedPolicyDocument"
            | "PackedPolicyTooLarge"
            | "InvalidParameterValue"
            | "InvalidParameterCombination"
            | "MissingParameter",
        ) => AssumeRoleError::Invalid(text),
        Some("RegionDisabledException") => AssumeRoleError::RegionDisabled(text),
        Some(
            "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "OptInRequired",
        ) => AssumeRoleError::CallerRefused(text),
        _ => AssumeRoleError::Unavailable(text),
    }
}

#[expect(deprecated, reason = "STS-compatible services send PackedPolicySize, not its successor")]
fn read(output: AssumeRoleOutput) -> Option<RoleSession> {
    let found = output.credentials?;
    let user = output.assumed_role_user?;
    Some(RoleSession {
        credentials: Credentials {
            expiration: SystemTime::try_from(found.expiration).ok()?,
            access_key_id: found.access_key_id,
            secret_access_key: Secret::from(found.secret_access_key),
            session_token: Secret::from(found.session_token),
        },
        user: AssumedRoleUser { arn: user.arn.parse().ok()?, assume_role_id: user.assumed_role_id },
        packed_policy_size: output.packed_policy_size.and_then(|size| u32::try_from(size).ok()),
    })
}

#[cfg(test)]
mod tests;
