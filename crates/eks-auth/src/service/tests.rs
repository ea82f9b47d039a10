mod told;

use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use identity::{AssumedRoleUser, Credentials, ObjectReference, Principal, Secret};

use super::*;
use testkit::canary::MARKER;

use crate::{AssumeRole, AssumeRoleError, RoleSession};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjJ9.c2ln";

/// All three neighbours in one: what it finds, believes and says, and the calls it got.
struct Neighbours {
    association: Option<Association>,
    believed: Result<(), TokenRefused>,
    /// Which call is refused, and how.
    refusal: Mutex<Option<(usize, AssumeRoleError)>>,
    calls: Mutex<Vec<AssumeRole>>,
    caller: Option<Principal>,
    packed_policy_size: Mutex<Option<u32>>,
}

impl Associations for Neighbours {
    fn find<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Option<Association>, AssociationLookupError>> {
        assert_eq!((namespace, service_account), ("shop", "web"));
        Box::pin(std::future::ready(Ok(self.association.clone())))
    }
}

impl TokenVerifier for Neighbours {
    fn verify<'a>(
        &'a self,
        _: &'a ServiceAccountToken,
        _: SystemTime,
    ) -> BoxFuture<'a, Result<PodIdentity, TokenRefused>> {
        let object = |name: &str| ObjectReference { name: name.to_owned(), uid: format!("uid-of-{name}") };
        let pod = PodIdentity {
            namespace: "shop".to_owned(),
            service_account: object("web"),
            pod: object("web-6c9d8f7b5-x2x4q"),
            node: None,
        };
        Box::pin(std::future::ready(self.believed.clone().map(|()| pod)))
    }
}

impl RoleAssumer for Neighbours {
    fn assume(&self, call: AssumeRole) -> BoxFuture<'_, Result<RoleSession, AssumeRoleError>> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call.clone());
            calls.len()
        };
        if let Some((_, refusal)) = self.refusal.lock().unwrap().take_if(|(refused, _)| *refused == number) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let arn =
            format!("arn:aws:sts::111122223333:assumed-role/{}/{}", call.role.name(), call.session_name);
        let session = RoleSession {
            credentials: Credentials {
                access_key_id: format!("ASIA{number}"),
                secret_access_key: Secret::from(format!("secret-{MARKER}")),
                session_token: Secret::from(format!("token-{MARKER}")),
                expiration: UNIX_EPOCH + call.duration,
            },
            user: AssumedRoleUser { arn: arn.parse().unwrap(), assume_role_id: "AROA:x".to_owned() },
            packed_policy_size: *self.packed_policy_size.lock().unwrap(),
        };
        Box::pin(std::future::ready(Ok(session)))
    }

    fn caller(&self) -> BoxFuture<'_, Option<Principal>> {
        Box::pin(std::future::ready(self.caller.clone()))
    }
}

fn association() -> Association {
    Association {
        id: "a-8mvwvh57cu74mgcst".parse().unwrap(),
        namespace: "shop".to_owned(),
        service_account: "web".to_owned(),
        role_arn: "arn:aws:iam::111122223333:role/web".parse().unwrap(),
        target_role_arn: None,
        disable_session_tags: false,
        policy: None,
    }
}

fn neighbours(association: Option<Association>) -> Neighbours {
    Neighbours {
        association,
        believed: Ok(()),
        refusal: Mutex::default(),
        calls: Mutex::default(),
        caller: None,
        packed_policy_size: Mutex::default(),
    }
}

fn service(neighbours: &Arc<Neighbours>) -> Service {
    let cluster = Cluster {
        name: "production-1".parse().unwrap(),
        region: "us-west-2".to_owned(),
        account: "111122223333".parse().unwrap(),
        partition: "aws".to_owned(),
    };
    let (associations, tokens) = (neighbours.clone(), neighbours.clone());
    Service::new(cluster, SessionDuration::default(), associations, tokens, neighbours.clone())
}

async fn exchange(neighbours: Neighbours) -> (Result<Exchange, Refusal>, Vec<AssumeRole>) {
    let neighbours = Arc::new(neighbours);
    let outcome = service(&neighbours).exchange("production-1", TOKEN, UNIX_EPOCH).await;
    let calls = neighbours.calls.lock().unwrap().clone();
    (outcome, calls)
}

#[tokio::test]
async fn a_single_role_is_assumed_for_six_hours_with_six_tags_and_a_telling_session_name() {
    let (outcome, calls) = exchange(neighbours(Some(association()))).await;
    let exchange = outcome.unwrap();
    assert_eq!(exchange.credentials.access_key_id, "ASIA1");
    assert_eq!(
        exchange.association_arn,
        "arn:aws:eks:us-west-2:111122223333:podidentityassociation/production-1/a-8mvwvh57cu74mgcst"
    );
    let [call] = &calls[..] else { panic!("one call, not {calls:?}") };
    assert_eq!(call.duration, Duration::from_secs(21_600));
    assert!(call.session_name.as_str().starts_with("eks-production-web-6c9d8f-"), "{}", call.session_name);
    let tags: Vec<_> = call.tags.as_ref().unwrap().iter().collect();
    let wanted = [
        ("eks-cluster-arn", "arn:aws:eks:us-west-2:111122223333:cluster/production-1"),
        ("eks-cluster-name", "production-1"),
        ("kubernetes-namespace", "shop"),
        ("kubernetes-service-account", "web"),
        ("kubernetes-pod-name", "web-6c9d8f7b5-x2x4q"),
        ("kubernetes-pod-uid", "uid-of-web-6c9d8f7b5-x2x4q"),
    ];
    assert_eq!(tags, wanted);
}

#[tokio::test]
async fn a_target_role_is_a_second_hop_signed_by_the_first_for_59_minutes() {
    let target = "arn:aws:iam::444455556666:role/data".parse().unwrap();
    let with_tags = Association { target_role_arn: Some(target), ..association() };
    let (outcome, calls) = exchange(neighbours(Some(with_tags.clone()))).await;
    assert_eq!(outcome.unwrap().credentials.access_key_id, "ASIA2");
    let [first, second] = &calls[..] else { panic!("two calls, not {calls:?}") };
    assert!(first.tags.is_some() && first.signed_by.is_none());
    assert_eq!(second.signed_by.as_ref().unwrap().access_key_id, "ASIA1");
    assert!(second.tags.is_none(), "transitive tags come along by themselves");
    assert_eq!((second.external_id.as_deref(), second.duration), (None, Duration::from_secs(3_540)));

    let without_tags = Association { disable_session_tags: true, ..with_tags };
    let (_, calls) = exchange(neighbours(Some(without_tags.clone()))).await;
    assert!(calls.iter().all(|call| call.tags.is_none() && call.policy.is_none()));
    assert_eq!(calls[0].external_id, None);
    assert_eq!(calls[1].external_id.as_deref(), Some("us-west-2/111122223333/production-1/shop/web"));
}

#[tokio::test]
async fn a_session_policy_narrows_the_last_hop_and_no_other() {
    let policy = Some(r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned());
    let single = Association { policy: policy.clone(), disable_session_tags: true, ..association() };
    let target = "arn:aws:iam::444455556666:role/data".parse().unwrap();
    let chained = Association { target_role_arn: Some(target), ..single.clone() };
    for (association, wanted) in [(single, vec![policy.clone()]), (chained, vec![None, policy])] {
        let (_, calls) = exchange(neighbours(Some(association))).await;
        assert_eq!(calls.into_iter().map(|call| call.policy).collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test]
async fn a_pod_without_association_is_told_which_names_one_must_have() {
    let (outcome, calls) = exchange(neighbours(None)).await;
    let refusal = outcome.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::ResourceNotFound);
    assert!(
        refusal.message.contains("namespace shop and service account web in cluster production-1"),
        "{refusal}"
    );
    assert!(calls.is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_believed_gets_the_error_of_its_kind_and_no_role_is_assumed() {
    for (believed, code) in [
        (TokenRefused::Expired("late".into()), ErrorCode::ExpiredToken),
        (TokenRefused::Invalid("forged".into()), ErrorCode::InvalidToken),
        (TokenRefused::Undecided("no keys".into()), ErrorCode::ServiceUnavailable),
    ] {
        let doubting = Neighbours { believed: Err(believed), ..neighbours(Some(association())) };
        let (outcome, calls) = exchange(doubting).await;
        assert_eq!(outcome.unwrap_err().code, code);
        assert!(calls.is_empty());
    }
}

#[tokio::test]
async fn what_sts_says_becomes_an_error_of_eks_auth_and_trust_policies_stay_private() {
    let detail = "the trust policy of role/web lacks pods.eks.amazonaws.com".to_owned();
    for (refusal, code, told) in [
        (AssumeRoleError::Denied(detail.clone()), ErrorCode::AccessDenied, false),
        (AssumeRoleError::Invalid(detail.clone()), ErrorCode::InvalidParameter, true),
        (AssumeRoleError::RegionDisabled(detail.clone()), ErrorCode::InvalidRequest, true),
        (AssumeRoleError::CallerRefused(detail.clone()), ErrorCode::InternalServer, false),
        (AssumeRoleError::Throttled(detail.clone()), ErrorCode::Throttling, true),
        (AssumeRoleError::Unavailable(detail.clone()), ErrorCode::ServiceUnavailable, false),
    ] {
        let refusing =
            Neighbours { refusal: Mutex::new(Some((1, refusal))), ..neighbours(Some(association())) };
        let (outcome, _) = exchange(refusing).await;
        let refused = outcome.unwrap_err();
        assert_eq!((refused.code, refused.message.contains(&detail)), (code, told));
    }
}

#[tokio::test]
async fn another_cluster_is_not_found() {
    let service = service(&Arc::new(neighbours(None)));
    let refusal = service.exchange("prod", TOKEN, UNIX_EPOCH).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (ErrorCode::ResourceNotFound, "No cluster found for name: prod.")
    );
}
