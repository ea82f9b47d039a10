use std::time::UNIX_EPOCH;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::StaticTimeSource;
use identity::SessionName;
use testkit::canary::{self, MARKER};
// Whatever its name says, it sends what its script says.
use testkit::eks_auth_server::{EksAuthServer as StsServer, Reply};

use super::*;

const SESSION: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
    <AssumedRoleUser><AssumedRoleId>AROAX:s</AssumedRoleId>
      <Arn>arn:aws:sts::111122223333:assumed-role/web/s</Arn></AssumedRoleUser>
    <Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>secret-C4n4ryS3cr3t</SecretAccessKey>
      <SessionToken>token-C4n4ryS3cr3t</SessionToken><Expiration>1970-01-01T06:00:00Z</Expiration></Credentials>
    <PackedPolicySize>55</PackedPolicySize>
  </AssumeRoleResult></AssumeRoleResponse>"#;

fn xml(status: u16, body: &str) -> Reply {
    Reply::Raw(status, String::new(), body.to_owned())
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
           <Code>{code}</Code><Message>told by STS</Message></Error><RequestId>r</RequestId></ErrorResponse>"#
    );
    xml(status, &body)
}

fn who_we_are(arn: &str) -> Reply {
    xml(
        200,
        &format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>u</UserId>\
             <Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ),
    )
}

/// A credential chain that finds nothing.
#[derive(Debug)]
struct Penniless;

impl ProvideCredentials for Penniless {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("nothing in the chain")))
    }
}

async fn sts(server: &StsServer, own: Option<SdkCredentials>) -> Sts {
    let clock = SharedTimeSource::new(StaticTimeSource::new(UNIX_EPOCH));
    let loader = loader("us-west-2", TransportSettings::default(), clock);
    let own = own.map_or_else(|| SharedCredentialsProvider::new(Penniless), SharedCredentialsProvider::new);
    Sts::with(&loader.credentials_provider(own).load().await, Some(&server.url()))
}

fn own() -> Option<SdkCredentials> {
    Some(SdkCredentials::new("AKIAOWN", format!("own-{MARKER}"), None, None, "test"))
}

fn call() -> AssumeRole {
    let unique = "b1844cc2-38a1-4d21-9d7e-2a66a9c2a2f1";
    AssumeRole {
        role: "arn:aws:iam::111122223333:role/web".parse().unwrap(),
        session_name: SessionName::new(&"dev".parse().unwrap(), "web-0", unique).unwrap(),
        duration: Duration::from_secs(21_600),
        tags: None,
        policy: None,
        external_id: None,
        signed_by: None,
    }
}

fn kind(error: &AssumeRoleError) -> &'static str {
    match error {
        AssumeRoleError::Denied(_) => "denied",
        AssumeRoleError::Invalid(_) => "invalid",
        AssumeRoleError::RegionDisabled(_) => "region disabled",
        AssumeRoleError::CallerRefused(_) => "caller refused",
        AssumeRoleError::Throttled(_) => "throttled",
        AssumeRoleError::Unavailable(_) => "unavailable",
    }
}

async fn refused_by(reply: Reply) -> AssumeRoleError {
    let server = StsServer::start([], reply).await;
    let error = sts(&server, own()).await.assume(call()).await.unwrap_err();
    canary::assert_absent("an error of STS", &format!("{error} {error:?}"));
    error
}

#[tokio::test(start_paused = true)]
async fn each_error_that_sts_has_is_of_the_kind_that_is_acted_on() {
    for (status, code, wanted) in [
        (403, "AccessDenied", "denied"),
        (404, "NoSuchEntity", "denied"),
        (400, "PackedPolicyTooLarge", "invalid"),
        (400, "MalformedPolicyDocument", "invalid"),
        (400, "ValidationError", "invalid"),
        (403, "RegionDisabledException", "region disabled"),
        (403, "ExpiredToken", "caller refused"),
        (400, "ExpiredTokenException", "caller refused"),
        (403, "InvalidClientTokenId", "caller refused"),
        (403, "SignatureDoesNotMatch", "caller refused"),
        (403, "MissingAuthenticationToken", "caller refused"),
        (400, "Throttling", "throttled"),
        (429, "TooManyRequestsException", "throttled"),
        (503, "SlowDown", "throttled"),
        (500, "InternalFailure", "unavailable"),
        (503, "ServiceUnavailable", "unavailable"),
        (400, "SomethingNew", "unavailable"),
    ] {
        let error = refused_by(error(status, code)).await;
        assert_eq!((kind(&error), error.to_string().as_str()), (wanted, "told by STS"), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_is_unavailable_and_no_part_of_it_is_told() {
    let torn = SESSION.replace("1970-01-01T06:00:00Z", "tomorrow");
    let half = SESSION.replace("<AssumedRoleUser>", "<Nobody>").replace("</AssumedRoleUser>", "</Nobody>");
    let page = format!("<html>{MARKER}</html>");
    for (what, reply) in [
        ("credentials that end at no moment", xml(200, &torn)),
        ("credentials of nobody", xml(200, &half)),
        ("a web page", xml(200, &page)),
        ("a web page that refuses", xml(403, &page)),
        ("an empty failure", xml(502, "")),
        ("no HTTP", Reply::Bytes(format!("{MARKER}\r\n\r\n").into_bytes())),
        ("a closed connection", Reply::Bytes(Vec::new())),
    ] {
        assert_eq!(kind(&refused_by(reply).await), "unavailable", "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_sts_that_never_answers_is_given_up_while_the_agent_still_waits() {
    let before = tokio::time::Instant::now();
    assert_eq!(kind(&refused_by(Reply::Silence).await), "unavailable");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn to_have_no_credentials_of_our_own_is_our_fault_and_calls_nobody() {
    let server = StsServer::start([], xml(200, SESSION)).await;
    let error = sts(&server, None).await.assume(call()).await.unwrap_err();
    assert_eq!((kind(&error), server.count()), ("caller refused", 0), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_read_with_how_much_room_its_policy_and_tags_take() {
    let server = StsServer::start([], xml(200, SESSION)).await;
    let session = sts(&server, own()).await.assume(call()).await.unwrap();
    assert_eq!((session.credentials.access_key_id.as_str(), session.packed_policy_size), ("ASIAX", Some(55)));
}

#[tokio::test(start_paused = true)]
async fn who_we_are_is_asked_once_and_a_failure_is_not_remembered() {
    let arn = "arn:aws:sts::111122223333:assumed-role/operator/session";
    let server = StsServer::start([error(500, "InternalFailure"), who_we_are(arn)], Reply::Silence).await;
    let sts = sts(&server, own()).await;
    assert_eq!(sts.caller().await, None);
    let operator = Some(Principal::Aws("arn:aws:iam::111122223333:role/operator".to_owned()));
    assert_eq!(sts.caller().await, operator);
    assert_eq!(sts.clone().caller().await, operator);
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_sts_that_does_not_say_who_we_are_keeps_the_pod_waiting_for_a_second_at_most() {
    let server = StsServer::start([], Reply::Silence).await;
    let before = tokio::time::Instant::now();
    assert_eq!(sts(&server, own()).await.caller().await, None);
    assert!(before.elapsed() <= Duration::from_secs(1), "{:?}", before.elapsed());
}
