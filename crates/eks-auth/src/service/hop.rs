//! The AssumeRole calls of an exchange, one or two, and what the log tells of each: for a role that was denied, which
//! statements let it be assumed. Outside the log nobody learns of policies.

use identity::{
    Association, Condition, PermissionStatement, PodIdentity, Principal, SessionName, SessionTags,
    TrustStatement,
};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::Service;
use super::packed_policies::Change;
use crate::{AssumeRole, AssumeRoleError, ErrorCode, Refusal, RoleSession};

/// Which AssumeRole of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hop {
    /// The association's role, and no other.
    Only,
    /// The association's role, in front of a target role.
    First,
    /// The target role.
    Second,
}

impl Hop {
    fn as_str(self) -> &'static str {
        match self {
            Self::Only => "association role, 1 of 1",
            Self::First => "association role, 1 of 2",
            Self::Second => "target role, 2 of 2",
        }
    }
}

impl Service {
    /// One hop, or two when the association has a target role; the pod gets the credentials of the last.
    pub(super) async fn assume(
        &self,
        association: &Association,
        pod: &PodIdentity,
    ) -> Result<RoleSession, Refusal> {
        let unique = Uuid::new_v4().to_string();
        let session_name = SessionName::new(&self.cluster.name, &pod.pod.name, &unique).map_err(|error| {
            Refusal::new(ErrorCode::InvalidToken, format!("The pod's name is not usable: {error}"))
        })?;
        let tags = (!association.disable_session_tags).then(|| SessionTags::of(&self.cluster, pod));
        let chained = association.target_role_arn.is_some();
        let first = AssumeRole {
            role: association.role_arn.clone(),
            session_name,
            duration: if chained { self.duration.chained } else { self.duration.single },
            tags: tags.clone(),
            policy: if chained { None } else { association.policy.clone() },
            external_id: None,
            signed_by: None,
        };
        let hop = if chained { Hop::First } else { Hop::Only };
        let session = self.make(hop, first.clone(), association, tags.as_ref()).await?;
        let Some(target) = &association.target_role_arn else { return Ok(session) };
        let second = AssumeRole {
            role: target.clone(),
            // Transitive tags come along by themselves; STS refuses a call that passes them once more.
            tags: None,
            policy: association.policy.clone(),
            external_id: association.disable_session_tags.then(|| association.external_id(&self.cluster)),
            signed_by: Some(session.credentials),
            ..first
        };
        self.make(Hop::Second, second, association, tags.as_ref()).await
    }

    /// `tags` are those that STS sees with this call, passed or inherited.
    async fn make(
        &self,
        hop: Hop,
        call: AssumeRole,
        association: &Association,
        tags: Option<&SessionTags>,
    ) -> Result<RoleSession, Refusal> {
        let session = match self.roles.assume(call.clone()).await {
            Ok(session) => session,
            Err(AssumeRoleError::Denied(text)) => {
                self.tell_denied(hop, &call, association, tags, &text).await;
                return Err(refusal(AssumeRoleError::Denied(text)));
            }
            Err(error @ AssumeRoleError::CallerRefused(_)) => {
                error!(
                    association = %association.id, role = %call.role, hop = hop.as_str(), error = %error,
                    "STS refuses whoever signs this call, which is not the pod: renew the credentials that EKS Auth runs with"
                );
                return Err(refusal(error));
            }
            Err(error) => {
                warn!(
                    association = %association.id, role = %call.role, hop = hop.as_str(), error = %error,
                    "the role was not assumed"
                );
                return Err(refusal(error));
            }
        };
        let packed_policy_size = session.packed_policy_size;
        info!(
            association = %association.id, role = %call.role, hop = hop.as_str(), packed_policy_size,
            access_key_id = session.credentials.access_key_id, "role assumed"
        );
        match self.packed_policies.note(&association.id, hop, packed_policy_size) {
            Some(Change::Crowded) => warn!(
                association = %association.id, role = %call.role, hop = hop.as_str(), packed_policy_size,
                remedy = remedy(call.policy.is_some(), tags.is_some()),
                "over 80 per cent of STS's room for session policy and tags is used; over 100 it refuses the call"
            ),
            Some(Change::Relieved) => info!(
                association = %association.id, role = %call.role, hop = hop.as_str(), packed_policy_size,
                "session policy and tags have room again"
            ),
            None => {}
        }
        Ok(session)
    }

    async fn tell_denied(
        &self,
        hop: Hop,
        call: &AssumeRole,
        association: &Association,
        tags: Option<&SessionTags>,
        text: &str,
    ) {
        let tagged = tags.is_some();
        let (caller, permission) = match hop {
            Hop::Only | Hop::First => (self.roles.caller().await.unwrap_or_else(Principal::unknown), None),
            Hop::Second => (
                Principal::of_role(&association.role_arn),
                Some(PermissionStatement::new(call.role.clone(), tagged).to_string()),
            ),
        };
        let remedy = match hop {
            Hop::Only | Hop::First => "the role must exist and its trust policy hold trust-statement",
            Hop::Second => {
                "the role must exist, its trust policy hold trust-statement, and the caller's permissions hold caller-permission"
            }
        };
        warn!(
            association = %association.id, role = %call.role, hop = hop.as_str(), caller = %caller, error = text, remedy,
            trust_statement = %TrustStatement::new(caller.clone(), tagged, call.external_id.as_deref()),
            // Where the trust policy has the statement, a condition on other tags than these is the next to look for.
            condition_that_would_hold = tags.map(|tags| Condition::on_tags(tags).to_string()),
            caller_permission = permission,
            "STS denied the role"
        );
    }
}

/// What to take away, of what takes room.
fn remedy(has_policy: bool, has_tags: bool) -> &'static str {
    match (has_policy, has_tags) {
        (true, true) => "shorten the session policy, or disable session tags",
        (true, false) => "shorten the session policy",
        (false, true) => "disable session tags",
        (false, false) => "none: this call carries neither, ask whoever runs this STS",
    }
}

fn refusal(error: AssumeRoleError) -> Refusal {
    match error {
        // EKS Auth says the same whatever STS found, so that a pod learns nothing of trust policies.
        AssumeRoleError::Denied(_) => Refusal::new(
            ErrorCode::AccessDenied,
            "Unauthorized Exception! EKS does not have permissions to assume the associated role.",
        ),
        AssumeRoleError::Invalid(text) => Refusal::new(ErrorCode::InvalidParameter, text),
        AssumeRoleError::RegionDisabled(text) => Refusal::new(ErrorCode::InvalidRequest, text),
        // Never ExpiredToken: the token in the request is the pod's, and an agent would forget its session for it.
        AssumeRoleError::CallerRefused(_) => Refusal::new(
            ErrorCode::InternalServer,
            "EKS Auth has no valid credentials of its own to call STS with; whoever runs it must renew them.",
        ),
        AssumeRoleError::Throttled(text) => Refusal::new(ErrorCode::Throttling, text),
        AssumeRoleError::Unavailable(_) => {
            Refusal::new(ErrorCode::ServiceUnavailable, "STS does not answer at the moment, try again.")
        }
    }
}
