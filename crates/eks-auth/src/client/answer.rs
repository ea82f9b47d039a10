//! EKS Auth's answer, read with care: what pods would choke on never becomes a session.

use std::time::{Duration, SystemTime};

use aws_sdk_eksauth::operation::assume_role_for_pod_identity::AssumeRoleForPodIdentityOutput;
use identity::{AssumedRoleUser, Credentials, Secret, to_rfc3339};

use crate::Exchange;

/// Credentials with less life than this are not worth handing out (AWS's agent draws the line here too).
const SHORTEST_USEFUL_LIFE: Duration = Duration::from_secs(15);

/// Turns the SDK's output into an [`Exchange`], or says what is wrong with it. The text holds no secret.
pub(super) fn read(output: AssumeRoleForPodIdentityOutput, now: SystemTime) -> Result<Exchange, String> {
    let audience = output.audience;
    let subject = output.subject.ok_or("it names no subject")?;
    let association = output.pod_identity_association.ok_or("it names no association")?;
    let user = output.assumed_role_user.ok_or("it names no assumed role")?;
    let found = output.credentials.ok_or("it holds no credentials")?;
    let arn = user.arn.parse().map_err(|error| format!("the ARN of the assumed role is none: {error}"))?;
    let expiration = SystemTime::try_from(found.expiration).map_err(|_| "the expiration is no date")?;
    if expiration <= now + SHORTEST_USEFUL_LIFE {
        let (end, now) = (to_rfc3339(expiration), to_rfc3339(now));
        return Err(format!(
            "its credentials end at {end} and it is {now}: check the clocks of node and service"
        ));
    }
    for (name, value) in [
        ("access key id", &found.access_key_id),
        ("secret access key", &found.secret_access_key),
        ("session token", &found.session_token),
    ] {
        // Some SDKs read JSON strings without undoing escapes, so a value that needs one would reach them damaged.
        if value.is_empty()
            || !value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        {
            return Err(format!("the {name} is empty or has characters that no key has"));
        }
    }
    Ok(Exchange {
        namespace: subject.namespace,
        service_account: subject.service_account,
        audience,
        association_id: association.association_id,
        association_arn: association.association_arn,
        assumed_role_user: AssumedRoleUser { arn, assume_role_id: user.assume_role_id },
        credentials: Credentials {
            access_key_id: found.access_key_id,
            secret_access_key: Secret::from(found.secret_access_key),
            session_token: Secret::from(found.session_token),
            expiration,
        },
    })
}
