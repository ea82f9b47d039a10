//! Which association a service account has, and the roles that its pods go through.

use identity::{PermissionStatement, Principal, RoleArn, TrustStatement};
use serde::Serialize;

use crate::command::ServiceAccount;
use crate::control::{AssociationView, Status};

/// What is known of the association.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// This one.
    Found(Found),
    /// There is none.
    None,
    /// Nobody could be asked.
    Unknown(String),
}

/// An association and its hops.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    pub(super) association_id: String,
    pub(super) session_tags: bool,
    pub(super) hops: Vec<Hop>,
}

/// One AssumeRole call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hop {
    pub(super) role: String,
    pub(super) assumed_by: String,
    /// What its trust policy must hold on EKS, as JSON to paste.
    pub(super) trust_statement: String,
    /// What the permissions of the role before it must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caller_permission: Option<String>,
}

/// The association of this service account.
pub(super) fn find(all: &[AssociationView], account: &ServiceAccount, status: &Status) -> Known {
    let ServiceAccount { namespace, service_account } = account;
    let is_its =
        |one: &&AssociationView| one.namespace == *namespace && one.service_account == *service_account;
    match all.iter().find(is_its) {
        None => Known::None,
        Some(one) => Known::Found(found(one, status)),
    }
}

/// An association with the roles that follow from it.
pub(super) fn found(one: &AssociationView, status: &Status) -> Found {
    Found {
        association_id: one.association_id.to_string(),
        session_tags: !one.disable_session_tags,
        hops: hops(one, status),
    }
}

fn hops(one: &AssociationView, status: &Status) -> Vec<Hop> {
    let tagged = !one.disable_session_tags;
    let hop = |role: &RoleArn, caller: Principal, external_id: Option<&str>, permission| Hop {
        role: role.to_string(),
        assumed_by: caller.to_string(),
        trust_statement: TrustStatement::new(caller, tagged, external_id).to_string(),
        caller_permission: permission,
    };
    let mut hops = vec![hop(&one.role_arn, Principal::eks(), None, None)];
    if let Some(target) = &one.target_role_arn {
        let Status { region, account, cluster, .. } = status;
        // Where no session tags tell pods apart, the external id does.
        let external_id = format!("{region}/{account}/{cluster}/{}/{}", one.namespace, one.service_account);
        let external_id = one.disable_session_tags.then_some(external_id.as_str());
        let permission = PermissionStatement::new(target.clone(), tagged).to_string();
        hops.push(hop(target, Principal::of_role(&one.role_arn), external_id, Some(permission)));
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn association(target: Option<&str>, disable_session_tags: bool) -> AssociationView {
        AssociationView {
            association_id: "a-abcdefghijklmnop1".parse().unwrap(),
            namespace: "shop".into(),
            service_account: "web".into(),
            role_arn: "arn:aws:iam::111122223333:role/web".parse().unwrap(),
            target_role_arn: target.map(|target| target.parse().unwrap()),
            disable_session_tags,
        }
    }

    fn found_for(one: AssociationView) -> Found {
        let account = ServiceAccount { namespace: "shop".into(), service_account: "web".into() };
        match find(&[one], &account, &Status::example()) {
            Known::Found(found) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_role_is_one_hop_and_a_target_role_the_second() {
        let one = found_for(association(None, false));
        assert_eq!(one.hops.len(), 1);
        assert_eq!(one.hops[0].assumed_by, "pods.eks.amazonaws.com");
        assert!(one.hops[0].trust_statement.contains("sts:TagSession"));
        let target = "arn:aws:iam::444455556666:role/target";
        let two = found_for(association(Some(target), true)).hops;
        assert_eq!(
            (two[1].role.as_str(), two[1].assumed_by.as_str()),
            (target, "arn:aws:iam::111122223333:role/web")
        );
        assert!(
            two[1].trust_statement.contains("us-west-2/111122223333/dev/shop/web"),
            "{}",
            two[1].trust_statement
        );
        assert!(two[1].caller_permission.as_ref().unwrap().contains(target));
    }

    #[test]
    fn names_are_compared_whole() {
        let account = ServiceAccount { namespace: "shop".into(), service_account: "web-2".into() };
        assert!(matches!(find(&[association(None, false)], &account, &Status::example()), Known::None));
    }
}
