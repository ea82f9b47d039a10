//! What an exchange needs of IAM, as statements to paste: one for a role's trust policy, one for a role's permissions.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::{Arn, RoleArn, SessionTags};

/// The service principal of EKS, the same in every partition.
const EKS: &str = "pods.eks.amazonaws.com";

/// What stands for an identity that could not be found out, so that nobody takes it for one.
const UNKNOWN: &str = "<the identity that signs AssumeRole; aws sts get-caller-identity names it>";

/// Who makes an AssumeRole call, as the `Principal` of a trust policy names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Principal {
    /// A service of AWS's, by its principal.
    Service(String),
    /// A role, a user or an account, by ARN.
    #[serde(rename = "AWS")]
    Aws(String),
}

impl Principal {
    /// EKS, which signs the first call on AWS.
    pub fn eks() -> Self {
        Self::Service(EKS.to_owned())
    }

    /// A role, whichever of its sessions calls.
    pub fn of_role(role: &RoleArn) -> Self {
        Self::Aws(role.as_str().to_owned())
    }

    /// Whoever STS's GetCallerIdentity names. A role's session stands for its role; such an ARN does not tell the role's
    /// path, so a role that has one must be looked up.
    pub fn of_caller(caller: &Arn) -> Self {
        let session =
            if caller.service() == "sts" { caller.resource().strip_prefix("assumed-role/") } else { None };
        Self::Aws(match session.and_then(|session| session.split('/').next()) {
            Some(role) => format!("arn:{}:iam::{}:role/{role}", caller.partition(), caller.account()),
            None => caller.as_str().to_owned(),
        })
    }

    /// Somebody who cannot say who they are.
    pub fn unknown() -> Self {
        Self::Aws(UNKNOWN.to_owned())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Service(name) | Self::Aws(name)) = self;
        f.write_str(name)
    }
}

/// The `Condition` of a statement: what must be equal to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Condition {
    string_equals: BTreeMap<String, String>,
}

impl Condition {
    /// Holds for calls with these session tags, from whichever pod of the service account: its name and uid are left out,
    /// because the next pod has others.
    pub fn on_tags(tags: &SessionTags) -> Self {
        let lasting = tags.iter().filter(|(key, _)| !key.starts_with("kubernetes-pod-"));
        let keys = lasting.map(|(key, value)| (format!("aws:RequestTag/{key}"), value.to_owned()));
        Self { string_equals: keys.collect() }
    }

    fn on_external_id(id: &str) -> Self {
        Self { string_equals: [("sts:ExternalId".to_owned(), id.to_owned())].into() }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json(self, f)
    }
}

/// What a role's trust policy must hold for one AssumeRole call. Displays as JSON in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrustStatement {
    effect: Effect,
    principal: Principal,
    action: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
}

impl TrustStatement {
    /// Lets `caller` assume the role. `tagged` is whether session tags are passed or come along from an earlier role;
    /// an external id, where one is sent, is the condition AWS advises for roles of other accounts.
    pub fn new(caller: Principal, tagged: bool, external_id: Option<&str>) -> Self {
        let condition = external_id.map(Condition::on_external_id);
        Self { effect: Effect::Allow, principal: caller, action: actions(tagged), condition }
    }
}

impl fmt::Display for TrustStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json(self, f)
    }
}

/// What the permissions of a role must hold so that it may assume another. Displays as JSON in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PermissionStatement {
    effect: Effect,
    action: &'static [&'static str],
    resource: RoleArn,
}

impl PermissionStatement {
    /// Lets the role that has it assume `target`, with session tags or without.
    pub fn new(target: RoleArn, tagged: bool) -> Self {
        Self { effect: Effect::Allow, action: actions(tagged), resource: target }
    }
}

impl fmt::Display for PermissionStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json(self, f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Effect {
    Allow,
}

/// A call with session tags, inherited ones too, needs both.
fn actions(tagged: bool) -> &'static [&'static str] {
    if tagged { &["sts:AssumeRole", "sts:TagSession"] } else { &["sts:AssumeRole"] }
}

fn json(statement: &impl Serialize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&serde_json::to_string(statement).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cluster, ObjectReference, PodIdentity};

    fn role(name: &str) -> RoleArn {
        format!("arn:aws:iam::111122223333:role/{name}").parse().unwrap()
    }

    #[test]
    fn a_trust_statement_is_one_line_to_paste() {
        let external_id = "us-west-2/111122223333/dev/shop/web";
        for (caller, tagged, external_id, wanted) in [
            (
                Principal::eks(),
                true,
                None,
                r#"{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}"#,
            ),
            (
                Principal::of_role(&role("teams/web")),
                false,
                Some(external_id),
                r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/teams/web"},"Action":["sts:AssumeRole"],"Condition":{"StringEquals":{"sts:ExternalId":"us-west-2/111122223333/dev/shop/web"}}}"#,
            ),
            (
                Principal::unknown(),
                false,
                None,
                r#"{"Effect":"Allow","Principal":{"AWS":"<the identity that signs AssumeRole; aws sts get-caller-identity names it>"},"Action":["sts:AssumeRole"]}"#,
            ),
        ] {
            assert_eq!(TrustStatement::new(caller, tagged, external_id).to_string(), wanted);
        }
    }

    #[test]
    fn the_first_role_needs_permission_for_the_target_and_for_the_tags_that_come_along() {
        for (tagged, actions) in
            [(true, r#"["sts:AssumeRole","sts:TagSession"]"#), (false, r#"["sts:AssumeRole"]"#)]
        {
            let wanted = format!(
                r#"{{"Effect":"Allow","Action":{actions},"Resource":"arn:aws:iam::111122223333:role/data"}}"#
            );
            assert_eq!(PermissionStatement::new(role("data"), tagged).to_string(), wanted);
        }
    }

    #[test]
    fn a_caller_is_named_so_that_its_next_session_is_trusted_too() {
        for (caller, wanted) in [
            (
                "arn:aws-cn:sts::111122223333:assumed-role/operator/i-0abc",
                "arn:aws-cn:iam::111122223333:role/operator",
            ),
            ("arn:aws:iam::111122223333:user/people/anna", "arn:aws:iam::111122223333:user/people/anna"),
            ("arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root"),
            (
                "arn:aws:sts::111122223333:federated-user/anna",
                "arn:aws:sts::111122223333:federated-user/anna",
            ),
        ] {
            assert_eq!(Principal::of_caller(&caller.parse().unwrap()), Principal::Aws(wanted.to_owned()));
        }
    }

    #[test]
    fn a_condition_on_tags_holds_for_the_next_pod_as_well() {
        let cluster = Cluster {
            name: "dev".parse().unwrap(),
            region: "us-west-2".to_owned(),
            account: "111122223333".parse().unwrap(),
            partition: "aws".to_owned(),
        };
        let object = |name: &str| ObjectReference { name: name.to_owned(), uid: format!("uid-of-{name}") };
        let pod = PodIdentity {
            namespace: "shop".to_owned(),
            service_account: object("web"),
            pod: object("web-0"),
            node: None,
        };
        assert_eq!(
            Condition::on_tags(&SessionTags::of(&cluster, &pod)).to_string(),
            r#"{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"arn:aws:eks:us-west-2:111122223333:cluster/dev","aws:RequestTag/eks-cluster-name":"dev","aws:RequestTag/kubernetes-namespace":"shop","aws:RequestTag/kubernetes-service-account":"web"}}"#
        );
    }
}
