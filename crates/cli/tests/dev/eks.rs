//! The EKS API of a running system, called as AWS's tools call it: signed, over a real connection.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::wire;

use crate::system::{ACCOUNT, ROLE, System, folder, text};

pub(crate) const ASSOCIATIONS: &str = "/clusters/dev/pod-identity-associations";

/// A caller with the key pair that `dev keys` prints.
pub(crate) struct Caller {
    credentials: Credentials,
    region: &'static str,
}

impl Caller {
    pub(crate) async fn of(system: &System) -> Self {
        let keys = system.answer("keys", &[]).await;
        let value =
            |name: &str| keys.split_once(&format!("export {name}=")).unwrap().1.lines().next().unwrap();
        let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
        Self { credentials: Credentials::new(id, secret, None, None, "test"), region: "us-west-2" }
    }

    pub(crate) async fn call(&self, system: &System, method: &str, path: &str, body: &str) -> wire::Answer {
        let host = system.api.to_string();
        let headers = [("host", host.as_str()), ("content-type", "application/json")];
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("eks")
            .time(runtime::Clock::system().now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let signable =
            SignableRequest::new(method, path, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let instructions = sign(signable.unwrap(), &parameters).unwrap().into_parts().0;
        let mut head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        wire::ask(system.api, format!("{head}\r\n{body}").as_bytes()).await
    }

    /// A call that must succeed; gives its body.
    pub(crate) async fn done(&self, system: &System, method: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(system, method, path, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

fn web() -> Value {
    json!({ "namespace": "shop", "serviceAccount": "web", "roleArn": ROLE, "tags": { "team": "shop" } })
}

#[tokio::test]
async fn an_association_made_as_with_aws_gives_pods_their_role_until_it_is_deleted() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let caller = Caller::of(&system).await;
    let created = caller.done(&system, "POST", ASSOCIATIONS, web()).await["association"].clone();
    let id = created["associationId"].as_str().unwrap();
    let listed = system.answer("associations", &[]).await;
    assert!(listed.starts_with(id) && listed.ends_with(ROLE), "{listed}");
    assert_eq!(system.credentials(&system.token().await).await.status, 200);

    caller.done(&system, "DELETE", &format!("{ASSOCIATIONS}/{id}"), Value::Null).await;
    let refused = system.credentials(&system.token().await).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (404, Some("ResourceNotFoundException")));
}

#[tokio::test]
async fn an_association_made_by_a_command_is_there_for_awss_tools() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--cluster", "prod"]).await;
    system.associate().await;
    let caller = Caller::of(&system).await;
    let clusters = caller.done(&system, "GET", "/clusters", Value::Null).await;
    assert_eq!(clusters, json!({ "clusters": ["prod"] }));
    let list = "/clusters/prod/pod-identity-associations?namespace=shop&serviceAccount=web";
    let found = caller.done(&system, "GET", list, Value::Null).await["associations"][0].clone();
    let arn = found["associationArn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    let tags = json!({ "tags": { "team": "shop" } });
    caller.done(&system, "POST", &format!("/tags/{arn}"), tags.clone()).await;
    assert_eq!(caller.done(&system, "GET", &format!("/tags/{arn}"), Value::Null).await, tags);
}

#[tokio::test]
async fn a_cluster_takes_as_many_associations_as_it_was_told_to_by_either_way_in() {
    let data = folder();
    let system = System::ephemeral(data.path(), &["--max-associations", "1"]).await;
    let caller = Caller::of(&system).await;
    let mut other = web();
    other["serviceAccount"] = json!("api");
    caller.done(&system, "POST", ASSOCIATIONS, other).await;
    let refused = caller.call(&system, "POST", ASSOCIATIONS, &web().to_string()).await;
    assert_eq!(refused.header("x-amzn-errortype"), Some("ResourceLimitExceededException"), "{refused:?}");
    let refused = system.ask("associate", &[&ACCOUNT[..], &["--role-arn", ROLE]].concat()).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("1 associations, and that is the limit"), "{refused:?}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill_and_a_repeated_request_gets_it_again() {
    let data = folder();
    let system = System::start(data.path(), &[]).await;
    let mut request = web();
    request["clientRequestToken"] = json!("5d0a7d2e-2f0a-4f9c-8d9b-0f6f5b8a9c11");
    let caller = Caller::of(&system).await;
    let created = caller.done(&system, "POST", ASSOCIATIONS, request.clone()).await;
    system.signal(Signal::KILL);
    system.ended().await;
    let system = System::start(data.path(), &[]).await;
    let path = format!("{ASSOCIATIONS}/{}", created["association"]["associationId"].as_str().unwrap());
    assert_eq!(caller.done(&system, "GET", &path, Value::Null).await, created);
    assert_eq!(caller.done(&system, "POST", ASSOCIATIONS, request).await, created);
}

#[tokio::test]
async fn calls_that_are_refused_change_nothing() {
    let data = folder();
    let system = System::ephemeral(data.path(), &[]).await;
    let caller = Caller::of(&system).await;
    let elsewhere = Caller { region: "eu-west-1", ..Caller::of(&system).await };
    let stranger = Caller {
        credentials: Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "test"),
        ..Caller::of(&system).await
    };
    // One byte too long: all of it is read before it is refused, so the answer cannot be lost in a reset.
    let (good, long) = (web().to_string(), "x".repeat(control_plane::api::MAX_BODY_BYTES + 1));
    for (caller, body, status, name) in [
        (&elsewhere, good.as_str(), 403, "InvalidSignatureException"),
        (&stranger, &good, 403, "UnrecognizedClientException"),
        (&caller, "{", 400, "InvalidRequestException"),
        (&caller, "{}", 400, "InvalidParameterException"),
        (&caller, &long, 400, "InvalidRequestException"),
    ] {
        let refused = caller.call(&system, "POST", ASSOCIATIONS, body).await;
        assert_eq!((refused.status, refused.header("x-amzn-errortype")), (status, Some(name)), "{refused:?}");
        assert!(refused.json()["message"].as_str().is_some_and(|text| text.ends_with('.')), "{refused:?}");
    }
    assert!(system.answer("associations", &[]).await.contains("no service account has a role"));
}
