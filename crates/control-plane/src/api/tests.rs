use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use eks_auth::{Service, SessionDuration};
use identity::{Cluster, Secret};
use runtime::{Drain, Limits, Listener};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::access_key::AccessKey;
use crate::issuer::{KeyKind, SigningKey, Subject};
use crate::store::{AssociationStore, Grant, Lookup, MemoryStore, NewAssociation, Tags, everything};
use crate::sts::DevelopmentSts;

const OPERATION: &str = "/clusters/dev/assume-role-for-pod-identity";
mod eks;

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    api: Api,
    key: AccessKey,
    issuer: TokenIssuer,
    store: Arc<dyn AssociationStore>,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        Self::at(Clock::anchored(noon()))
    }

    fn at(clock: Clock) -> Self {
        Self::of(Arc::new(MemoryStore::new()), clock)
    }

    fn of(store: Arc<dyn AssociationStore>, clock: Clock) -> Self {
        let key = SigningKey::ephemeral(KeyKind::default()).unwrap();
        let issuer = TokenIssuer::new("http://127.0.0.1:17024".into(), key, store.cluster_uid());
        let cluster = Cluster {
            name: "dev".parse().unwrap(),
            region: "us-west-2".into(),
            account: "111122223333".parse().unwrap(),
            partition: "aws".into(),
        };
        let key = AccessKey::long_term(&cluster.account);
        let service = Service::new(
            cluster,
            SessionDuration::default(),
            Arc::new(Lookup(store.clone())),
            Arc::new(issuer.verifier().unwrap()),
            Arc::new(DevelopmentSts::new(clock)),
        );
        let api = Api::new(service, store.clone(), &issuer, [key.clone()].into_iter().collect(), clock);
        Self { api, key, issuer, store, clock }
    }

    async fn associate(&self, grant: Grant) {
        let (namespace, service_account) = ("shop".into(), "web".into());
        let new =
            NewAssociation { namespace, service_account, grant, tags: Tags::new(), request_token: None };
        self.store.create(new, self.clock.now()).await.unwrap();
    }

    fn token(&self, service_account: &str) -> Secret {
        let subject = Subject::new("shop", service_account, "web-0", None).unwrap();
        self.issuer.issue(&subject, DAY, self.clock.now()).unwrap().token
    }

    fn body(&self, service_account: &str) -> String {
        json!({ "token": self.token(service_account).expose_str() }).to_string()
    }

    fn signed(&self, path: &str, body: &str) -> Parts {
        self.signed_for("eks-auth", "POST", path, body)
    }

    fn signed_for(&self, service: &str, method: &str, path: &str, body: &str) -> Parts {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:17024");
        let mut request = request.header("content-type", "application/json").body(()).unwrap();
        let identity =
            Credentials::new(&self.key.id, self.key.secret.expose_str(), None, None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-west-2")
            .name(service)
            .time(self.clock.now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let body = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new(method, path, headers, body).unwrap();
        let instructions = sign(signable, &parameters).unwrap().into_parts().0;
        instructions.apply_to_request_http1x(&mut request);
        request.into_parts().0
    }

    async fn call(&self, path: &str, body: &str) -> Reply {
        Reply::of(self.api.answer(&self.signed(path, body), body.as_bytes()).await).await
    }

    async fn get(&self, path: &str) -> Reply {
        let head = Request::get(path).body(()).unwrap().into_parts().0;
        Reply::of(self.api.answer(&head, b"").await).await
    }
}

struct Reply {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl Reply {
    async fn of(response: Response<Full<Bytes>>) -> Self {
        let (head, body) = response.into_parts();
        let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        Self { status: head.status.as_u16(), headers: head.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, error name and text; every error has all three and a request id.
    fn refusal(&self) -> (u16, &str, &str) {
        assert_eq!(self.header("content-type"), "application/json");
        assert!(Uuid::try_parse(self.header("x-amzn-requestid")).is_ok());
        let mut members = self.body.as_object().unwrap().keys();
        assert!(members.all(|name| name == "message" || name == "clusterName"), "{}", self.body);
        (self.status, self.header("x-amzn-errortype"), self.body["message"].as_str().unwrap())
    }
}

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_320_632)
}

fn web() -> Grant {
    Grant::of_role("arn:aws:iam::111122223333:role/web".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_signed_call_with_a_good_token_gets_every_member_of_the_model() {
    let world = World::new();
    world.associate(web()).await;
    let reply = world.call(OPERATION, &world.body("web")).await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (200, ""));
    assert!(Uuid::try_parse(reply.header("x-amzn-requestid")).is_ok());
    let body = &reply.body;
    assert_eq!(body["subject"], json!({ "namespace": "shop", "serviceAccount": "web" }));
    assert_eq!(body["audience"], "pods.eks.amazonaws.com");
    let id = body["podIdentityAssociation"]["associationId"].as_str().unwrap();
    let arn = format!("arn:aws:eks:us-west-2:111122223333:podidentityassociation/dev/{id}");
    assert_eq!(body["podIdentityAssociation"]["associationArn"], arn);
    let user = body["assumedRoleUser"]["arn"].as_str().unwrap();
    assert!(user.starts_with("arn:aws:sts::111122223333:assumed-role/web/eks-dev-web-0-"), "{user}");
    assert!(body["assumedRoleUser"]["assumeRoleId"].as_str().unwrap().starts_with("AROA"));
    assert!(body["credentials"]["accessKeyId"].as_str().unwrap().starts_with("ASIA"));
    assert!(
        body["credentials"]["secretAccessKey"].is_string() && body["credentials"]["sessionToken"].is_string()
    );
    // Six hours from now, as a number of epoch seconds.
    assert_eq!(body["credentials"]["expiration"].as_f64(), Some(1_795_320_632.0 + 21_600.0));
}

#[tokio::test(start_paused = true)]
async fn members_of_newer_models_and_unknown_ones_are_accepted() {
    let world = World::new();
    world.associate(web()).await;
    let token = world.token("web");
    let body = json!({
        "token": token.expose_str(), "eksNodeName": "node-1", "instanceId": "i-0", "zone": "usw2-az1", "clusterName": "x",
        "tomorrow": [1, 2]
    });
    assert_eq!(world.call(OPERATION, &body.to_string()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn refusals_have_the_models_names_and_statuses() {
    let world = World::new();
    world.associate(web()).await;
    let (stranger, good) = (World::new().body("web"), world.body("web"));
    for (path, body, status, name, wanted) in [
        (
            OPERATION,
            world.body("api"),
            404,
            "ResourceNotFoundException",
            "service account api in cluster dev",
        ),
        (
            "/clusters/prod/assume-role-for-pod-identity",
            good,
            404,
            "ResourceNotFoundException",
            "for name: prod",
        ),
        (
            "/clusters/-/assume-role-for-pod-identity",
            world.body("web"),
            400,
            "InvalidParameterException",
            "clusterName",
        ),
        (OPERATION, stranger, 400, "InvalidTokenException", "was not signed by"),
        (OPERATION, r#"{"token":"a.b.c"}"#.into(), 400, "InvalidTokenException", "cannot be parsed"),
        (OPERATION, r#"{"token":""}"#.into(), 400, "InvalidParameterException", "must not be empty"),
        (OPERATION, r#"{"token":7}"#.into(), 400, "InvalidParameterException", "as a string"),
        (OPERATION, r#"{"jwt":"a.b.c"}"#.into(), 400, "InvalidParameterException", "in its member token"),
        (OPERATION, "[]".into(), 400, "InvalidParameterException", "must be a JSON object"),
        (OPERATION, "token=a.b.c".into(), 400, "InvalidRequestException", "no JSON"),
        (OPERATION, String::new(), 400, "InvalidRequestException", "no JSON"),
    ] {
        let reply = world.call(path, &body).await;
        let (got_status, got_name, text) = reply.refusal();
        assert_eq!((got_status, got_name), (status, name), "{body}: {text}");
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_told_from_an_invalid_one() {
    let world = World::new();
    world.associate(web()).await;
    let body = world.body("web");
    tokio::time::advance(DAY).await;
    let reply = world.call(OPERATION, &body).await;
    let (status, name, text) = reply.refusal();
    assert_eq!((status, name), (400, "ExpiredTokenException"));
    assert!(text.contains("current date/time 2026-11-23T04:10:32Z"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn nobody_who_does_not_sign_learns_what_is_wrong_with_the_rest() {
    let world = World::new();
    world.associate(web()).await;
    let body = world.body("web");
    let head = Request::post(OPERATION).header("host", "127.0.0.1").body(()).unwrap().into_parts().0;
    let unsigned = Reply::of(world.api.answer(&head, body.as_bytes()).await).await;
    assert_eq!(unsigned.refusal().0, 403);
    assert_eq!(unsigned.refusal().1, "MissingAuthenticationTokenException");
    let changed = Reply::of(world.api.answer(&world.signed(OPERATION, &body), b"not even JSON").await).await;
    assert_eq!(changed.refusal().1, "InvalidSignatureException");
    let other = World { key: AccessKey::long_term(&"111122223333".parse().unwrap()), ..World::new() };
    let unknown = Reply::of(world.api.answer(&other.signed(OPERATION, &body), body.as_bytes()).await).await;
    assert_eq!(unknown.refusal().1, "UnrecognizedClientException");
}

#[tokio::test(start_paused = true)]
async fn no_answer_repeats_a_secret_it_was_sent() {
    let world = World::new();
    let canary = "c4n4ry-do-not-repeat";
    for body in [
        format!("\"{canary}\""),
        format!("{{\"token\":\"{canary}\"}}"),
        format!("{{\"zone\":1,\"token\":\"{canary}\"}}"),
    ] {
        let reply = world.call(OPERATION, &body).await;
        assert!(!reply.body.to_string().contains(canary), "{}", reply.body);
    }
}

#[tokio::test(start_paused = true)]
async fn the_issuers_documents_are_public_and_have_kubernetes_types() {
    let world = World::new();
    let discovery = world.get("/.well-known/openid-configuration").await;
    assert_eq!((discovery.status, discovery.header("content-type")), (200, "application/json"));
    assert_eq!(discovery.body["jwks_uri"], "http://127.0.0.1:17024/openid/v1/jwks");
    let keys = world.get("/openid/v1/jwks").await;
    assert_eq!((keys.status, keys.header("content-type")), (200, "application/jwk-set+json"));
    assert_eq!(keys.header("cache-control"), "public, max-age=3600");
}

#[tokio::test(start_paused = true)]
async fn everything_else_is_an_unknown_operation() {
    let world = World::new();
    for path in [
        "/",
        "/cluster",
        "/tags",
        "/clusters/dev/nodegroups",
        OPERATION,
        "/clusters/a/b/assume-role-for-pod-identity",
    ] {
        let reply = world.get(path).await;
        let (status, name, text) = reply.refusal();
        assert_eq!((status, name), (404, "UnknownOperationException"), "{path}");
        assert!(text.contains("this address serves"), "{text}");
    }
    assert_eq!(world.call("/clusters/dev/assume-role-for-pod-identity/", "{}").await.status, 404);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_without_being_read_to_its_end() {
    let world = World::new();
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Limits::default()).unwrap();
    let address = listener.local_addr();
    let drain = Drain::new();
    let serving = tokio::spawn(listener.serve(world.api.clone(), drain.watch()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("POST {OPERATION} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; MAX_BODY_BYTES + 1]).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 400");
    drop(stream);
    drain.within(Duration::from_secs(5)).await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn awss_sdk_reads_the_answer_and_the_errors_over_a_real_connection() {
    let world = World::at(Clock::system());
    world.associate(web()).await;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Limits::default()).unwrap();
    let endpoint = format!("http://{}", listener.local_addr());
    let drain = Drain::new();
    let serving = tokio::spawn(listener.serve(world.api.clone(), drain.watch()));
    let settings = eks_auth::UpstreamSettings {
        cluster: "dev".parse().unwrap(),
        region: Some("us-west-2".into()),
        endpoint: Some(endpoint.clone()),
        budget: eks_auth::TimeBudget::default(),
        credentials: eks_auth::OwnCredentials::Fixed {
            access_key_id: world.key.id.clone(),
            secret_access_key: world.key.secret.clone(),
        },
        node: eks_auth::NodeDetails { name: Some("laptop".into()), ask_instance_metadata: false },
        transport: eks_auth::TransportSettings::default(),
    };
    let client =
        eks_auth::EksAuth::connect(settings, aws_smithy_async::time::SharedTimeSource::default()).await;
    let token = |name: &str| identity::ServiceAccountToken::parse(world.token(name).expose_str()).unwrap();
    let exchange = client.exchange(&token("web")).await.unwrap();
    assert_eq!((exchange.namespace.as_str(), exchange.service_account.as_str()), ("shop", "web"));
    let error = client.exchange(&token("api")).await.unwrap_err();
    assert!(format!("{error:?}").contains("ResourceNotFound"), "{error:?}");

    drop(client);
    drain.within(Duration::from_secs(5)).await.unwrap();
    serving.await.unwrap();
}
