use std::time::UNIX_EPOCH;

use control_plane::issuer::{KeyKind, SigningKey};
use control_plane::store::MemoryStore;
use identity::ServiceAccountToken;
use serde_json::{Value, json};

use super::*;

const ROLE: &str = "arn:aws:iam::111122223333:role/web";

fn desk() -> Desk {
    let store = Arc::new(MemoryStore::new());
    let key = SigningKey::ephemeral(KeyKind::default()).unwrap();
    let issuer = Arc::new(TokenIssuer::new("http://127.0.0.1:17024".into(), key, store.cluster_uid()));
    let account = "111122223333".parse().unwrap();
    let access_key = AccessKey::long_term(&account);
    let status = Status {
        cluster: "dev".into(),
        account,
        region: "us-west-2".into(),
        credentials_uri: "http://127.0.0.1:17023/v1/credentials".into(),
        api: "http://127.0.0.1:17024".into(),
    };
    Desk::new(store, issuer, access_key, status, Clock::anchored(UNIX_EPOCH))
}

async fn ask(desk: &Desk, method: Method, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = desk.answer(&method, path, body.to_string().as_bytes()).await;
    (status.as_u16(), serde_json::from_slice(&answer).unwrap())
}

async fn associate(desk: &Desk, role: &str) -> Value {
    let body = json!({ "namespace": "shop", "serviceAccount": "web", "roleArn": role });
    let (status, answer) = ask(desk, Method::POST, "/v1/associations", body).await;
    assert_eq!(status, 200, "{answer}");
    answer["outcome"].clone()
}

#[tokio::test(start_paused = true)]
async fn associating_twice_changes_nothing_and_another_role_takes_the_place_of_the_first() {
    let desk = desk();
    assert_eq!(associate(&desk, ROLE).await, "created");
    assert_eq!(associate(&desk, ROLE).await, "unchanged");
    let other = "arn:aws:iam::111122223333:role/other";
    assert_eq!(associate(&desk, other).await, json!({ "changed": { "before": ROLE } }));
    let (_, list) = ask(&desk, Method::GET, "/v1/associations", Value::Null).await;
    assert_eq!(list["associations"].as_array().unwrap().len(), 1);
    assert_eq!(list["associations"][0]["roleArn"], other);
}

#[tokio::test(start_paused = true)]
async fn a_token_tells_whether_its_service_account_has_a_role() {
    let desk = desk();
    let request = json!({ "namespace": "shop", "serviceAccount": "web", "lifetimeSeconds": 60 });
    let (_, reply) = ask(&desk, Method::POST, "/v1/tokens", request.clone()).await;
    assert_eq!(reply["roleArn"], Value::Null);
    associate(&desk, ROLE).await;
    let (_, reply) = ask(&desk, Method::POST, "/v1/tokens", request).await;
    assert_eq!(reply["roleArn"], ROLE);
    let token = ServiceAccountToken::parse(reply["token"].as_str().unwrap()).unwrap();
    assert_eq!(token.claims().pod().unwrap().pod.name, "web-0");
    assert_eq!(token.claims().expires, UNIX_EPOCH + Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn names_that_no_pod_can_have_are_refused_before_anything_is_stored() {
    let desk = desk();
    for (namespace, service_account) in [("Shop", "web"), ("shop", "web/x"), ("", "web"), ("shop", "")] {
        let names = json!({ "namespace": namespace, "serviceAccount": service_account, "roleArn": ROLE, "lifetimeSeconds": 60 });
        for path in ["/v1/associations", "/v1/tokens"] {
            let (status, answer) = ask(&desk, Method::POST, path, names.clone()).await;
            assert_eq!(status, 400);
            assert!(answer["message"].as_str().unwrap().contains("is no name of a"), "{answer}");
        }
    }
    let (_, list) = ask(&desk, Method::GET, "/v1/associations", Value::Null).await;
    assert_eq!(list["associations"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_association_can_be_taken_away_once() {
    let desk = desk();
    associate(&desk, ROLE).await;
    let (status, gone) = ask(&desk, Method::DELETE, "/v1/associations/shop/web", Value::Null).await;
    assert_eq!((status, &gone["roleArn"]), (200, &json!(ROLE)));
    let (status, again) = ask(&desk, Method::DELETE, "/v1/associations/shop/web", Value::Null).await;
    assert_eq!(status, 404);
    assert!(again["message"].as_str().unwrap().contains("shop/web has no association"), "{again}");
}

#[tokio::test(start_paused = true)]
async fn what_it_does_not_understand_it_says_so() {
    let desk = desk();
    for (method, path, body, status) in [
        (Method::GET, "/v2/status", Value::Null, 404),
        (Method::POST, "/v1/tokens", json!("x"), 400),
        (
            Method::POST,
            "/v1/tokens",
            json!({ "namespace": "a", "serviceAccount": "b", "lifetimeSeconds": 86_401 }),
            400,
        ),
        (
            Method::POST,
            "/v1/tokens",
            json!({ "namespace": "a", "serviceAccount": "b", "lifetimeSeconds": 0 }),
            400,
        ),
        (Method::DELETE, "/v1/associations", Value::Null, 400),
    ] {
        let (got, answer) = ask(&desk, method, path, body).await;
        assert_eq!(got, status, "{answer}");
        assert!(answer["message"].is_string(), "{answer}");
    }
}
