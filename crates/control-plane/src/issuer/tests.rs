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

/// The kinds of signing key and what tokens and documents call their algorithm.
const KINDS: [(KeyKind, &str); 2] = [(KeyKind::Rsa, "RS256"), (KeyKind::Ec, "ES256")];

fn issuer_of(cluster_uid: Uuid, kind: KeyKind) -> TokenIssuer {
    TokenIssuer::new("http://127.0.0.1:17024".to_owned(), SigningKey::ephemeral(kind).unwrap(), cluster_uid)
}

fn issuer(kind: KeyKind) -> TokenIssuer {
    issuer_of(Uuid::from_u128(1), kind)
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
fn a_token_has_the_header_of_an_api_servers() {
    for (kind, algorithm) in KINDS {
        let issuer = issuer(kind);
        let token = issue(&issuer, &web());
        assert_eq!(part(&token, 0), json!({ "alg": algorithm, "kid": issuer.key.public().common.key_id }));
    }
}

#[test]
fn a_token_has_the_claims_of_an_api_servers() {
    let token = issue(&issuer(KeyKind::Ec), &web());
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
    let (one, other) = (issuer(KeyKind::Ec), issuer_of(Uuid::from_u128(2), KeyKind::Ec));
    assert_eq!(uid(&one, "web-0"), uid(&one, "web-0"));
    assert_ne!(uid(&one, "web-0"), uid(&one, "web-1"));
    assert_ne!(uid(&one, "web-0"), uid(&other, "web-0"));
}

#[test]
fn the_discovery_document_has_the_members_of_an_api_servers() {
    for (kind, algorithm) in KINDS {
        let discovery: Value = serde_json::from_slice(&issuer(kind).discovery()).unwrap();
        let wanted = json!({
            "issuer": "http://127.0.0.1:17024", "jwks_uri": "http://127.0.0.1:17024/openid/v1/jwks",
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [algorithm]
        });
        assert_eq!(discovery, wanted);
    }
}

#[test]
fn the_key_set_has_the_members_of_an_api_servers() {
    let key = |kind| {
        let mut keys: Value = serde_json::from_slice(&issuer(kind).key_set()).unwrap();
        let mut key = keys["keys"][0].take();
        assert!(key["kid"].take().as_str().is_some_and(|id| id.len() == 43));
        key
    };
    let mut rsa = key(KeyKind::Rsa);
    // 2048 bits and two coordinates of 256 bits, as base64url.
    assert_eq!(rsa["n"].take().as_str().map(str::len), Some(342));
    let wanted = json!({ "use": "sig", "kty": "RSA", "kid": null, "alg": "RS256", "n": null, "e": "AQAB" });
    assert_eq!(rsa, wanted);
    let mut ec = key(KeyKind::Ec);
    for coordinate in ["x", "y"] {
        assert_eq!(ec[coordinate].take().as_str().map(str::len), Some(43));
    }
    let wanted = json!({
        "use": "sig", "kty": "EC", "kid": null, "crv": "P-256", "alg": "ES256", "x": null, "y": null
    });
    assert_eq!(ec, wanted);
}

#[tokio::test]
async fn a_token_is_believed_by_whoever_knows_the_published_keys_until_it_expires() {
    for (kind, _) in KINDS {
        let issuer = issuer(kind);
        let token = ServiceAccountToken::parse(&issue(&issuer, &web())).unwrap();
        let verifier = issuer.verifier().unwrap();
        let pod = verifier.verify(&token, noon()).await.unwrap();
        assert_eq!((pod.namespace.as_str(), pod.pod.name.as_str()), ("shop", "web-0"));
        let expired = verifier.verify(&token, noon() + DAY).await.unwrap_err();
        assert!(matches!(expired, TokenRefused::Expired(_)), "{expired:?}");
    }
}

#[tokio::test]
async fn a_token_of_another_key_is_not_believed() {
    for (ours, theirs) in
        [(KeyKind::Rsa, KeyKind::Rsa), (KeyKind::Ec, KeyKind::Ec), (KeyKind::Ec, KeyKind::Rsa)]
    {
        let (one, other) = (issuer(ours), issuer(theirs));
        let forged = ServiceAccountToken::parse(&issue(&other, &web())).unwrap();
        let refused = one.verifier().unwrap().verify(&forged, noon()).await.unwrap_err();
        assert!(matches!(refused, TokenRefused::Invalid(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_of_another_url_is_not_believed() {
    let one = issuer(KeyKind::Ec);
    let moved = TokenIssuer { url: "http://127.0.0.1:1".to_owned(), ..issuer(KeyKind::Ec) };
    let token = ServiceAccountToken::parse(&issue(&moved, &web())).unwrap();
    let refused = one.verifier().unwrap().verify(&token, noon()).await;
    assert!(refused.unwrap_err().to_string().contains("another issuer"));
}
