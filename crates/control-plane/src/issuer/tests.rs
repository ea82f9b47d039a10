use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eks_auth::{TokenRefused, TokenVerifier};
use identity::ServiceAccountToken;
use serde_json::{Value, json};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_320_632_750)
}

fn issuer_of(cluster_uid: Uuid) -> TokenIssuer {
    TokenIssuer::new("http://127.0.0.1:17024".to_owned(), SigningKey::ephemeral().unwrap(), cluster_uid)
}

fn issuer() -> TokenIssuer {
    issuer_of(Uuid::from_u128(1))
}

fn web() -> Subject {
    Subject::new("shop", "web", "web-0", Some("laptop")).unwrap()
}

fn issue(issuer: &TokenIssuer, subject: &Subject) -> String {
    issuer.issue(subject, DAY, noon()).unwrap().token.expose_str().to_owned()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_token_has_the_header_and_claims_of_an_api_servers() {
    let issuer = issuer();
    let token = issue(&issuer, &web());
    assert_eq!(part(&token, 0), json!({ "alg": "RS256", "kid": issuer.key.public().common.key_id }));
    let mut claims = part(&token, 1);
    let jti = claims["jti"].take();
    assert!(Uuid::try_parse(jti.as_str().unwrap()).is_ok());
    for object in ["node", "pod", "serviceaccount"] {
        let uid = claims["kubernetes.io"][object]["uid"].take();
        assert!(Uuid::try_parse(uid.as_str().unwrap()).is_ok(), "{object}");
    }
    let wanted = json!({
        "aud": ["pods.eks.amazonaws.com"], "exp": 1_795_407_032, "iat": 1_795_320_632, "nbf": 1_795_320_632,
        "iss": "http://127.0.0.1:17024", "jti": null, "sub": "system:serviceaccount:shop:web",
        "kubernetes.io": {
            "namespace": "shop", "node": { "name": "laptop", "uid": null },
            "pod": { "name": "web-0", "uid": null }, "serviceaccount": { "name": "web", "uid": null }
        }
    });
    assert_eq!(claims, wanted);
}

#[test]
fn the_same_name_has_the_same_uid_in_one_cluster_and_another_in_the_next() {
    let uid = |issuer: &TokenIssuer, pod: &str| {
        let subject = Subject::new("shop", "web", pod, None).unwrap();
        part(&issue(issuer, &subject), 1)["kubernetes.io"]["pod"]["uid"].clone()
    };
    let (one, other) = (issuer(), issuer_of(Uuid::from_u128(2)));
    assert_eq!(uid(&one, "web-0"), uid(&one, "web-0"));
    assert_ne!(uid(&one, "web-0"), uid(&one, "web-1"));
    assert_ne!(uid(&one, "web-0"), uid(&other, "web-0"));
}

#[test]
fn the_two_documents_have_the_members_of_an_api_servers() {
    let issuer = issuer();
    let discovery: Value = serde_json::from_slice(&issuer.discovery()).unwrap();
    let wanted = json!({
        "issuer": "http://127.0.0.1:17024", "jwks_uri": "http://127.0.0.1:17024/openid/v1/jwks",
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"]
    });
    assert_eq!(discovery, wanted);
    let keys: Value = serde_json::from_slice(&issuer.key_set()).unwrap();
    let mut names: Vec<_> = keys["keys"][0].as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["e"]), (&json!("RSA"), &json!("AQAB")));
}

#[tokio::test]
async fn a_token_is_believed_by_whoever_knows_the_published_keys_until_it_expires() {
    let issuer = issuer();
    let token = ServiceAccountToken::parse(&issue(&issuer, &web())).unwrap();
    let verifier = issuer.verifier().unwrap();
    let pod = verifier.verify(&token, noon()).await.unwrap();
    assert_eq!((pod.namespace.as_str(), pod.pod.name.as_str()), ("shop", "web-0"));
    let expired = verifier.verify(&token, noon() + DAY).await.unwrap_err();
    assert!(matches!(expired, TokenRefused::Expired(_)), "{expired:?}");
}

#[tokio::test]
async fn a_token_of_another_key_or_another_url_is_not_believed() {
    let (one, other) = (issuer(), issuer());
    let forged = ServiceAccountToken::parse(&issue(&other, &web())).unwrap();
    let refused = one.verifier().unwrap().verify(&forged, noon()).await.unwrap_err();
    assert!(matches!(refused, TokenRefused::Invalid(_)), "{refused:?}");
    let moved = TokenIssuer { url: "http://127.0.0.1:1".to_owned(), ..other };
    let refused = one
        .verifier()
        .unwrap()
        .verify(&ServiceAccountToken::parse(&issue(&moved, &web())).unwrap(), noon())
        .await;
    assert!(refused.unwrap_err().to_string().contains("another issuer"));
}
