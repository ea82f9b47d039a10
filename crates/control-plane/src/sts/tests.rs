use std::time::UNIX_EPOCH;

use identity::{Cluster, ObjectReference, PodIdentity, SessionName};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn call(role: &str) -> AssumeRole {
    AssumeRole {
        role: format!("arn:aws:iam::111122223333:role/{role}").parse().unwrap(),
        session_name: SessionName::new(
            &"dev".parse().unwrap(),
            "web-0",
            "b1844cc2-38a1-4d21-9d7e-2a66a9c2a2f1",
        )
        .unwrap(),
        duration: 6 * HOUR,
        tags: None,
        policy: None,
        external_id: None,
        signed_by: None,
    }
}

fn chained(first: &RoleSession) -> AssumeRole {
    AssumeRole { duration: HOUR, signed_by: Some(first.credentials.clone()), ..call("target") }
}

fn tags() -> SessionTags {
    let cluster = Cluster {
        name: "dev".parse().unwrap(),
        region: "us-west-2".into(),
        account: "111122223333".parse().unwrap(),
        partition: "aws".into(),
    };
    let object = |name: &str| ObjectReference { name: name.into(), uid: "uid".into() };
    let pod = PodIdentity {
        namespace: "shop".into(),
        service_account: object("web"),
        pod: object("web-0"),
        node: None,
    };
    SessionTags::of(&cluster, &pod)
}

fn sts() -> DevelopmentSts {
    DevelopmentSts::new(Clock::anchored(UNIX_EPOCH))
}

#[tokio::test(start_paused = true)]
async fn a_session_has_the_names_and_shapes_of_the_real_sts() {
    let session = sts().assume(call("teams/shop/web")).await.unwrap();
    let Credentials { access_key_id, secret_access_key, session_token, expiration } = &session.credentials;
    assert!(access_key_id.starts_with("ASIA") && access_key_id.len() == 20, "{access_key_id}");
    assert_eq!((secret_access_key.len(), *expiration), (40, UNIX_EPOCH + 6 * HOUR));
    assert!(
        (600..=900).contains(&session_token.len())
            && session_token.expose_str().starts_with("IQoJb3JpZ2luX2Vj")
    );
    let name = "eks-dev-web-0-b1844cc2-38a1-4d21-9d7e-2a66a9c2a2f1";
    assert_eq!(session.user.arn.as_str(), format!("arn:aws:sts::111122223333:assumed-role/web/{name}"));
    let (id, of) = session.user.assume_role_id.split_once(':').unwrap();
    assert!(id.starts_with("AROA") && id.len() == 21 && of == name, "{id}:{of}");
}

#[tokio::test(start_paused = true)]
async fn every_session_has_its_own_credentials_and_a_role_keeps_its_id() {
    let sts = sts();
    let (one, other) = (sts.assume(call("web")).await.unwrap(), sts.assume(call("web")).await.unwrap());
    assert_ne!(one.credentials.access_key_id, other.credentials.access_key_id);
    assert_ne!(one.credentials.session_token, other.credentials.session_token);
    assert_eq!(one.user.assume_role_id, other.user.assume_role_id);
}

#[tokio::test(start_paused = true)]
async fn sessions_live_no_longer_than_sts_lets_them() {
    let sts = sts();
    let lasting = |duration| AssumeRole { duration, ..call("web") };
    assert!(sts.assume(lasting(12 * HOUR)).await.is_ok());
    for duration in [Duration::ZERO, 12 * HOUR + Duration::from_secs(1)] {
        let error = sts.assume(lasting(duration)).await.unwrap_err();
        assert!(matches!(&error, AssumeRoleError::Invalid(text) if text.contains("1 to 43200")), "{error}");
    }
    let first = sts.assume(call("web")).await.unwrap();
    let second = AssumeRole { duration: 2 * HOUR, ..chained(&first) };
    assert!(
        matches!(sts.assume(second).await, Err(AssumeRoleError::Invalid(text)) if text.contains("1 to 3600"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_hop_is_signed_with_credentials_of_this_sts_that_are_alive() {
    let sts = sts();
    let first = sts.assume(call("web")).await.unwrap();
    assert!(sts.assume(chained(&first)).await.is_ok());

    let mut tampered = first.clone();
    tampered.credentials.secret_access_key = Secret::from("another");
    let stranger = DevelopmentSts::new(Clock::anchored(UNIX_EPOCH)).assume(call("web")).await.unwrap();
    for (session, why) in [(&tampered, "do not have the secret"), (&stranger, "not of this STS")] {
        let error = sts.assume(chained(session)).await.unwrap_err();
        assert!(matches!(&error, AssumeRoleError::Denied(text) if text.contains(why)), "{error}");
        assert!(!error.to_string().contains(session.credentials.secret_access_key.expose_str()));
    }
    tokio::time::advance(6 * HOUR).await;
    let late = sts.assume(chained(&first)).await.unwrap_err();
    assert!(matches!(&late, AssumeRoleError::Denied(text) if text.contains("expired")), "{late}");
}

#[tokio::test(start_paused = true)]
async fn tags_that_a_second_hop_inherits_cannot_be_passed_to_it_again() {
    let sts = sts();
    let first = sts.assume(AssumeRole { tags: Some(tags()), ..call("web") }).await.unwrap();
    let again = sts.assume(AssumeRole { tags: Some(tags()), ..chained(&first) }).await.unwrap_err();
    assert!(matches!(&again, AssumeRoleError::Invalid(text) if text.contains("eks-cluster-arn")), "{again}");
    // They go on through every hop.
    let second = sts.assume(chained(&first)).await.unwrap();
    assert!(sts.assume(AssumeRole { tags: Some(tags()), ..chained(&second) }).await.is_err());
    // And where the first hop had none, the second may.
    let untagged = sts.assume(call("web")).await.unwrap();
    assert!(sts.assume(AssumeRole { tags: Some(tags()), ..chained(&untagged) }).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let sts = sts();
    let first = sts.assume(call("web")).await.unwrap();
    for _ in 0..REMEMBERED.get() {
        sts.assume(call("web")).await.unwrap();
    }
    assert_eq!(sts.lock().len(), REMEMBERED.get());
    assert!(matches!(sts.assume(chained(&first)).await, Err(AssumeRoleError::Denied(_))));
}
