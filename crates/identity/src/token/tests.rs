use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;

fn jwt(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(header), part(claims))
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": ["pods.eks.amazonaws.com"], "exp": 2_000, "nbf": 1_000, "iat": 1_000,
        "jti": "one", "kubernetes.io": {
            "namespace": "shop", "serviceaccount": { "name": "web", "uid": "sa-uid" },
            "pod": { "name": "web-0", "uid": "pod-uid" }, "node": { "name": "node-1", "uid": "node-uid" }
        }
    })
}

fn token(claims: &Value) -> Result<ServiceAccountToken, TokenError> {
    ServiceAccountToken::parse(&jwt(&json!({ "alg": "RS256", "kid": "k1" }), claims))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn audience() -> Vec<String> {
    vec![AUDIENCE.to_owned()]
}

#[test]
fn a_projected_token_names_its_pod_key_and_times() {
    let token = token(&claims()).unwrap();
    let pod = token.claims().pod().unwrap();
    assert_eq!((pod.namespace.as_str(), pod.service_account.name.as_str()), ("shop", "web"));
    assert_eq!((pod.pod.name.as_str(), pod.pod.uid.as_str()), ("web-0", "pod-uid"));
    assert_eq!(pod.node.unwrap().name, "node-1");
    assert_eq!((token.key_id(), token.algorithm()), (Some("k1"), "RS256"));
    assert_eq!(token.claims().check(at(1_500), &audience()), Ok(()));
}

#[test]
fn a_token_ends_at_exp_without_leeway_and_begins_a_minute_early() {
    let token = token(&claims()).unwrap();
    let check = |seconds| token.claims().check(at(seconds), &audience());
    assert_eq!(check(1_999), Ok(()));
    assert_eq!(check(2_000), Err(TokenError::Expired { at: at(2_000), now: at(2_000) }));
    assert_eq!(check(940), Ok(()));
    assert_eq!(check(939), Err(TokenError::NotYetValid { from: at(1_000), now: at(939) }));
}

#[test]
fn the_audience_may_be_one_string_or_many() {
    for (aud, fits) in [
        (json!("pods.eks.amazonaws.com"), true),
        (json!(["sts.amazonaws.com", "pods.eks.amazonaws.com"]), true),
        (json!("sts.amazonaws.com"), false),
        (json!([]), false),
    ] {
        let mut claims = claims();
        claims["aud"] = aud.clone();
        let checked = token(&claims).unwrap().claims().check(at(1_500), &audience());
        assert_eq!(checked.is_ok(), fits, "{aud}");
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("aud");
    assert!(token(&without).unwrap().claims().check(at(1_500), &audience()).is_err());
}

#[test]
fn texts_that_are_no_token_say_what_to_do() {
    let good = jwt(&json!({ "alg": "RS256" }), &claims());
    for (given, wanted) in [
        (String::new(), "cannot be empty"),
        (format!("Bearer {good}"), "remove the \"Bearer \" prefix"),
        (format!("bearer {good}"), "remove the \"Bearer \" prefix"),
        ("x".repeat(1_000_000), "three parts"),
        ("..".into(), "part of the JWT is empty"),
        ("a.b".into(), "three parts"),
        (format!("{good}.x"), "three parts"),
        (good.replace("c2lnbmF0dXJl", ""), "not signed"),
        (jwt(&json!({ "alg": "none" }), &claims()), "not signed"),
        (jwt(&json!({ "alg": "NoNe" }), &claims()), "not signed"),
        (jwt(&json!({ "kid": "k1" }), &claims()), "header cannot be read"),
        (format!("{good} "), "signature is not base64url"),
        (format!("{good}\u{e4}"), "signature is not base64url"),
        ("a b.c.d".into(), "header is not base64url"),
        (jwt(&json!({ "alg": "RS256" }), &json!([])), "lacks the claims"),
    ] {
        let error = ServiceAccountToken::parse(&given).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn claims_of_wrong_types_are_malformed_never_a_panic() {
    for (name, value) in [
        ("exp", json!("tomorrow")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!([])),
        ("iat", json!({})),
        ("iss", json!(7)),
        ("aud", json!(7)),
        ("aud", json!([7])),
        ("kubernetes.io", json!("shop")),
        ("kubernetes.io", json!({ "namespace": 7 })),
        ("kubernetes.io", json!({ "namespace": "shop", "serviceaccount": "web" })),
        ("kubernetes.io", json!({ "namespace": "shop", "serviceaccount": { "name": "web" }, "pod": [] })),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        let error = token(&claims).unwrap_err();
        assert_eq!(error.reason(), "TokenMalformed", "{name}: {value}");
    }
}

#[test]
fn a_token_that_is_bound_to_no_pod_is_read_but_speaks_for_none() {
    let mut claims = claims();
    claims["kubernetes.io"] = json!({ "namespace": "shop", "serviceaccount": { "name": "web", "uid": "u" } });
    let unbound = token(&claims).unwrap();
    assert_eq!(unbound.claims().pod(), None);
    assert_eq!(unbound.claims().service_account(), Some(("shop", "web")));
}

#[test]
fn neither_a_token_nor_its_errors_print_the_token() {
    let raw = jwt(&json!({ "alg": "RS256" }), &claims());
    let token = ServiceAccountToken::parse(&raw).unwrap();
    let signature = "c2lnbmF0dXJl";
    assert!(!format!("{token:?} {:?}", token.digest()).contains(signature));
    for wrong in [format!("Bearer {raw}"), format!("{raw}.x")] {
        let error = ServiceAccountToken::parse(&wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(signature));
    }
}

#[test]
fn tokens_are_found_by_digest_and_only_eight_digits_of_it_are_shown() {
    let digest = TokenDigest::of(b"abc");
    assert_eq!(digest, TokenDigest::of(b"abc"));
    assert_ne!(digest, TokenDigest::of(b"abd"));
    assert_eq!(format!("{digest:?}"), "ba7816bf");
}

#[test]
fn whatever_happens_to_a_token_on_its_way_it_is_read_or_refused_and_never_a_panic() {
    let whole = jwt(&json!({ "alg": "RS256", "kid": "k1" }), &claims());
    // A fixed sequence (Knuth's MMIX constants): the same damage in every run.
    let mut state = 7_u64;
    let mut choice = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut damaged = whole.clone().into_bytes();
        for _ in 0..=choice(3) {
            let at = choice(damaged.len());
            match choice(4) {
                0 => damaged[at] = u8::try_from(choice(256)).unwrap(),
                1 => drop(damaged.remove(at)),
                2 => damaged.insert(at, b".=-_ \n\0{"[choice(8)]),
                _ => damaged.truncate(at.max(1)),
            }
        }
        match ServiceAccountToken::parse(&String::from_utf8_lossy(&damaged)) {
            Ok(token) => {
                let _ = (token.claims().pod(), token.claims().check(at(1_500), &audience()));
                read += 1;
            }
            Err(error) => {
                assert!(error.to_string().len() < 400);
                refused += 1;
            }
        }
    }
    assert!(read > 100 && refused > 10_000, "{read} read, {refused} refused: the damage is of one kind only");
}
