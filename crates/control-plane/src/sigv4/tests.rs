use http::{HeaderValue, Request};

use super::*;

/// AWS's own example key, as botocore signed with it below.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const BODY: &[u8] = br#"{"token": "a.b.c"}"#;
const SIGNED_AT: &str = "20261122T041032Z";

/// What botocore 1.43 sent for the call above at that time.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-west-2/eks-auth/aws4_request, \
    SignedHeaders=content-type;host;x-amz-date, \
    Signature=bc2af2a2e036830c59d091eb4e3b3ff250238261e7e8edafb4a929ca819c3305";

fn signed_at() -> SystemTime {
    identity::from_rfc3339("2026-11-22T04:10:32Z").unwrap()
}

fn check() -> SignatureCheck {
    let keys = [AccessKey { id: KEY_ID.to_owned(), secret: Secret::from(SECRET) }];
    SignatureCheck::new(keys.into_iter().collect(), "us-west-2", "eks-auth")
}

fn call() -> Parts {
    let request = Request::post("/clusters/dev/assume-role-for-pod-identity")
        .header("Host", "127.0.0.1:17024")
        .header("Content-Type", "application/json")
        .header("User-Agent", "Boto3/1.43.11")
        .header("X-Amz-Date", SIGNED_AT)
        .header("Authorization", AUTHORIZATION);
    request.body(()).unwrap().into_parts().0
}

fn with(name: &'static str, value: &str) -> Parts {
    let mut head = call();
    head.headers.insert(name, HeaderValue::from_str(value).unwrap());
    head
}

fn without(name: &'static str) -> Parts {
    let mut head = call();
    head.headers.remove(name);
    head
}

fn with_authorization(from: &str, to: &str) -> Parts {
    assert!(AUTHORIZATION.contains(from), "{from}");
    with("authorization", &AUTHORIZATION.replace(from, to))
}

fn refusal_of(head: &Parts) -> SignatureRefused {
    check().check(head, BODY, signed_at()).unwrap_err()
}

#[test]
fn a_call_that_botocore_signed_is_believed() {
    let signer = check().check(&call(), BODY, signed_at()).unwrap();
    assert_eq!(signer.access_key_id, KEY_ID);
}

#[test]
fn a_query_that_botocore_signed_is_believed_whatever_is_encoded_in_it() {
    let path =
        "/clusters/dev/pod-identity-associations?serviceAccount=web&namespace=a%20b&nextToken=a%2Fb%3D";
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-west-2/eks-auth/aws4_request, \
        SignedHeaders=host;x-amz-date;x-amz-security-token, \
        Signature=351f17040b22e4efb36cd9d091c3b039031b75e6d1bdf906e846ff7d69bd5878";
    let request = Request::get(path)
        .header("Host", "127.0.0.1:17024")
        .header("X-Amz-Date", SIGNED_AT)
        .header("X-Amz-Security-Token", "session-token")
        .header("Authorization", authorization);
    let head = request.body(()).unwrap().into_parts().0;
    assert!(check().check(&head, b"", signed_at()).is_ok());
}

#[test]
fn whatever_is_not_signed_may_change_and_whatever_is_signed_may_not() {
    assert!(check().check(&with("user-agent", "curl"), BODY, signed_at()).is_ok());
    assert!(check().check(&with("x-forwarded-for", "10.0.0.1"), BODY, signed_at()).is_ok());

    let mut other_path = call();
    other_path.uri = "/clusters/prod/assume-role-for-pod-identity".parse().unwrap();
    let mut other_query = call();
    other_query.uri = "/clusters/dev/assume-role-for-pod-identity?debug=1".parse().unwrap();
    let mut other_method = call();
    other_method.method = http::Method::PUT;
    let changed = [
        other_path,
        other_query,
        other_method,
        with("content-type", "application/xml"),
        with("host", "10.0.0.1"),
        with("x-amz-date", "20261122T041033Z"),
        with_authorization("bc2af2a2", "bc2af2a3"),
        with_authorization("bc2af2a2", ""),
    ];
    for head in changed {
        let refused = refusal_of(&head);
        assert!(matches!(refused, SignatureRefused::Mismatch { .. }), "{refused:?} for {head:?}");
    }
    let refused = check().check(&call(), br#"{"token": "a.b.d"}"#, signed_at()).unwrap_err();
    assert!(matches!(refused, SignatureRefused::Mismatch { .. }), "{refused:?}");
}

#[test]
fn a_wrong_secret_and_an_unknown_key_are_told_apart() {
    let wrong = [AccessKey { id: KEY_ID.to_owned(), secret: Secret::from("another") }].into_iter().collect();
    let refused =
        SignatureCheck::new(wrong, "us-west-2", "eks-auth").check(&call(), BODY, signed_at()).unwrap_err();
    assert_eq!((refused.name(), refused.status()), ("InvalidSignatureException", 403));
    assert!(refused.to_string().contains(KEY_ID) && !refused.to_string().contains("bc2af2a2"), "{refused}");

    let refused = refusal_of(&with_authorization("AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"));
    assert_eq!(refused.name(), "UnrecognizedClientException");
    assert!(refused.to_string().contains("AKIAI44QH8DHBEXAMPLE is not known here"), "{refused}");
}

#[test]
fn a_signature_for_elsewhere_says_what_it_was_for() {
    for (from, to, wanted) in [
        ("us-west-2", "eu-west-1", "scoped to region \"us-west-2\", not \"eu-west-1\""),
        ("eks-auth/", "eks/", "scoped to service \"eks-auth\", not \"eks\""),
    ] {
        let refused = refusal_of(&with_authorization(from, to));
        assert_eq!(refused.name(), "InvalidSignatureException");
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

#[test]
fn a_signature_counts_for_five_minutes_before_and_after_its_time() {
    let second = Duration::from_secs(1);
    let at = |now: SystemTime| check().check(&call(), BODY, now).map(|_| ());
    assert_eq!(at(signed_at() + CLOCK_SKEW), Ok(()));
    assert_eq!(at(signed_at() - CLOCK_SKEW), Ok(()));
    let expired = at(signed_at() + CLOCK_SKEW + second).unwrap_err();
    assert!(expired.to_string().starts_with("Signature expired"), "{expired}");
    assert!(expired.to_string().contains("20261122T041032Z and it is now 20261122T041533Z"), "{expired}");
    let early = at(signed_at() - CLOCK_SKEW - second).unwrap_err();
    assert!(early.to_string().starts_with("Signature not yet current"), "{early}");
    assert_eq!((expired.name(), early.name()), ("InvalidSignatureException", "InvalidSignatureException"));
}

#[test]
fn a_request_without_signature_says_how_to_sign() {
    let refused = refusal_of(&without("authorization"));
    assert_eq!(refused.name(), "MissingAuthenticationTokenException");
    assert!(refused.to_string().contains("sign it with Signature Version 4"), "{refused}");
}

#[test]
fn a_signature_with_a_part_missing_says_which() {
    let mut twice = call();
    twice.headers.append("authorization", HeaderValue::from_static(AUTHORIZATION));
    let mut not_text = call();
    not_text.headers.insert("content-type", HeaderValue::from_bytes(b"\xff").unwrap());
    for (head, wanted) in [
        (with("authorization", "Bearer abc"), "must begin with AWS4-HMAC-SHA256"),
        (with("authorization", "AWS4-HMAC-SHA256"), "requires the \"Credential\" parameter"),
        (with_authorization("Signature=", "Sig="), "requires the \"Signature\" parameter"),
        (with_authorization("SignedHeaders=", "Headers="), "requires the \"SignedHeaders\" parameter"),
        (with_authorization("/aws4_request", ""), "Credential must be"),
        (with_authorization("/20261122/", "/20261121/"), "must be that of X-Amz-Date, 20261122"),
        (without("x-amz-date"), "\"x-amz-date\" is among the SignedHeaders, and the request has none"),
        (with("x-amz-date", "yesterday"), "such as 20261122T041032Z"),
        (with("x-amz-target", "anything"), "\"x-amz-target\" must be one of the SignedHeaders"),
        (
            with_authorization("content-type;host;", "content-type;"),
            "\"host\" must be one of the SignedHeaders",
        ),
        (with_authorization("content-type;host", "content-length;host"), "\"content-length\" is among"),
        (twice, "\"authorization\" must come once"),
        (not_text, "not UTF-8"),
    ] {
        let refused = refusal_of(&head);
        assert_eq!(refused.name(), "IncompleteSignatureException", "{refused}");
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

#[test]
fn odd_requests_are_refused_and_never_a_panic() {
    for uri in
        ["*", "/", "/%zz", "/a//b/../c?%zz=%", "http://elsewhere:1/clusters/dev/assume-role-for-pod-identity"]
    {
        let mut head = call();
        head.uri = uri.parse().unwrap();
        let _ = check().check(&head, BODY, signed_at());
    }
    for authorization in [
        "",
        " ",
        ",",
        "AWS4-HMAC-SHA256 =,=,/;",
        "AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;;,Signature=x",
    ] {
        let refused = refusal_of(&with("authorization", authorization));
        assert_eq!(refused.name(), "IncompleteSignatureException", "{authorization}");
    }
}

/// What botocore 1.43's SigV4QueryAuth made at that time, for 15 minutes.
const PRESIGNED: &str = "http://127.0.0.1:17024/clusters/dev/pod-identity-associations?namespace=a%20b&maxResults=2\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fus-west-2%2Feks%2Faws4_request\
    &X-Amz-Date=20261122T041032Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=fc075d2b85673add6e9f7f09fa26b17064a9add0964c84b5b4f780783a0b25b7";

/// The same with a session token.
const PRESIGNED_WITH_TOKEN: &str = "http://127.0.0.1:17024/clusters/dev/pod-identity-associations\
    ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fus-west-2%2Feks%2Faws4_request\
    &X-Amz-Date=20261122T041032Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=tok%2F%2Ben%3D%3D\
    &X-Amz-Signature=7bb2742b0d5fd131b72de924c705db1d3c15a3daff5263d482fdfd0ba5d9fba5";

fn presigned(url: &str, now: SystemTime) -> Result<Signer, SignatureRefused> {
    let target = url.strip_prefix("http://127.0.0.1:17024").unwrap();
    let head = Request::get(target).header("Host", "127.0.0.1:17024").body(()).unwrap().into_parts().0;
    let keys = [AccessKey { id: KEY_ID.to_owned(), secret: Secret::from(SECRET) }];
    SignatureCheck::new(keys.into_iter().collect(), "us-west-2", "eks").check(&head, b"", now)
}

#[test]
fn a_url_that_botocore_presigned_is_believed_until_it_expires() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    for url in [PRESIGNED, PRESIGNED_WITH_TOKEN] {
        assert_eq!(presigned(url, signed_at()).unwrap().access_key_id, KEY_ID);
        assert!(
            presigned(url, signed_at() + minutes(15)).is_ok(),
            "its own life counts, not the five minutes"
        );
        let expired = presigned(url, signed_at() + minutes(15) + Duration::from_secs(1)).unwrap_err();
        assert!(expired.to_string().contains("counted until 20261122T042532Z"), "{expired}");
        let early = presigned(url, signed_at() - minutes(6)).unwrap_err();
        assert!(matches!(early, SignatureRefused::NotYetCurrent { .. }));
    }
}

#[test]
fn a_presigned_url_in_which_anything_was_changed_is_refused() {
    for (from, to, wanted) in [
        ("maxResults=2", "maxResults=3", "does not match"),
        ("namespace=a%20b", "namespace=c", "does not match"),
        ("Expires=900", "Expires=901", "does not match"),
        ("T041032Z", "T041033Z", "does not match"),
        ("fc075d2b", "fc075d2c", "does not match"),
        ("us-west-2", "us-east-1", "region"),
        ("%2Feks%2F", "%2Feks-auth%2F", "service"),
        ("Expires=900", "Expires=604801", "up to 604800"),
        ("&X-Amz-Expires=900", "", "\"X-Amz-Expires\""),
        ("&X-Amz-Date=", "&X-Amz-Expires=1&X-Amz-Date=", "must come once"),
        ("SignedHeaders=host", "SignedHeaders=date", "\"host\" must be one"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "X-Amz-Algorithm must be"),
    ] {
        assert!(PRESIGNED.contains(from), "{from}");
        let refused = presigned(&PRESIGNED.replace(from, to), signed_at()).unwrap_err();
        assert!(refused.to_string().contains(wanted), "{from} → {to}: {refused}");
    }
    let with_more = format!("{PRESIGNED}&nextToken=x");
    assert!(presigned(&with_more, signed_at()).unwrap_err().to_string().contains("does not match"));
}
