use std::time::UNIX_EPOCH;

use super::way::{Stop, Way};
use super::*;
use crate::doctor::finding::Severity;

const NOW: SystemTime = UNIX_EPOCH;

fn way(addresses: Result<&str, &str>, connected: Result<(), &str>) -> Way {
    let addresses = addresses.map(|ip| vec![ip.parse().unwrap()]).map_err(str::to_owned);
    let host = Stop {
        name: "eks-auth.example:443".to_owned(),
        addresses,
        connected: connected.map_err(str::to_owned),
    };
    Way { proxy: None, host: Some(host) }
}

fn good_way() -> Way {
    way(Ok("203.0.113.7"), Ok(()))
}

fn probe(outcome: Result<(), ExchangeError>) -> Probe {
    Probe { endpoint: Some("https://eks-auth.example/clusters/dev/x".to_owned()), date: None, outcome }
}

fn causes(outcome: ExchangeError, way: &Way) -> Vec<(Cause, Severity)> {
    let findings = judge(&probe(Err(outcome)), way, true, true);
    findings.into_iter().map(|finding| (finding.cause, finding.severity)).collect()
}

fn refused(code: ErrorCode, message: &str) -> ExchangeError {
    ExchangeError::Refused { code, request_id: String::new(), message: message.to_owned() }
}

fn refused_caller(code: &str, message: &str) -> ExchangeError {
    let (code, message) = (code.to_owned(), message.to_owned());
    ExchangeError::RefusedCaller { status: 403, code, request_id: String::new(), message }
}

#[test]
fn the_token_is_shaped_as_eks_auth_wants_it_and_good_for_nothing() {
    let token = ServiceAccountToken::parse(NOBODYS_TOKEN).unwrap();
    assert_eq!(token.claims().issuer.as_deref(), Some("https://doctor.invalid"));
    assert_eq!(token.claims().audiences, [identity::AUDIENCE]);
    assert!(token.claims().expires < UNIX_EPOCH + Duration::from_secs(10));
}

#[test]
fn a_token_that_is_refused_for_its_own_sake_proves_the_permission() {
    let reached = (Cause::EksAuth, Severity::Ok);
    for code in [ErrorCode::InvalidToken, ErrorCode::ExpiredToken, ErrorCode::InvalidParameter] {
        assert_eq!(causes(refused(code, "the token"), &good_way()), [reached], "{code}");
    }
    for (outcome, wanted) in [
        (refused(ErrorCode::AccessDenied, "not authorized"), (Cause::EksAuthNotAllowed, Severity::Error)),
        (refused_caller("AccessDenied", "not authorized"), (Cause::EksAuthNotAllowed, Severity::Error)),
        (refused_caller("UnrecognizedClientException", "x"), (Cause::OwnCredentialsRefused, Severity::Error)),
        (refused_caller("InvalidSignatureException", "x"), (Cause::OwnCredentialsRefused, Severity::Error)),
        (
            refused(ErrorCode::ExpiredToken, "The security token included in the request is expired"),
            (Cause::OwnCredentialsRefused, Severity::Error),
        ),
        (refused(ErrorCode::ResourceNotFound, "no cluster"), (Cause::ClusterUnknown, Severity::Warning)),
        (refused(ErrorCode::Throttling, "slow down"), (Cause::EksAuthUnavailable, Severity::Warning)),
    ] {
        assert_eq!(causes(outcome.clone(), &good_way()), [reached, wanted], "{outcome:?}");
    }
}

#[test]
fn with_made_up_keys_nothing_is_said_of_keys_or_permission() {
    for outcome in [refused_caller("UnrecognizedClientException", "x"), refused(ErrorCode::AccessDenied, "x")]
    {
        let findings = judge(&probe(Err(outcome)), &good_way(), false, true);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Ok);
    }
}

#[test]
fn a_call_that_does_not_arrive_is_blamed_on_the_first_step_that_fails() {
    let unreachable = |reason: &str| ExchangeError::Unreachable(reason.to_owned());
    let proxied = |connected: Result<(), &str>| {
        let host = way(Ok("10.0.0.9"), connected).host;
        Way { proxy: host, host: None }
    };
    for (outcome, way, wanted) in [
        (unreachable("dns error"), way(Err("no such name"), Ok(())), Cause::EksAuthDns),
        (unreachable("connect"), way(Ok("203.0.113.7"), Err("refused")), Cause::EksAuthUnreachable),
        (ExchangeError::TimedOut("t".into()), good_way(), Cause::EksAuthUnreachable),
        (unreachable("invalid peer certificate: UnknownIssuer"), good_way(), Cause::EksAuthTls),
        (unreachable("connect"), proxied(Err("refused")), Cause::EksAuthProxy),
        (unreachable("unsuccessful tunnel"), proxied(Ok(())), Cause::EksAuthProxy),
        (ExchangeError::Misconfigured("no region".into()), Way::default(), Cause::EksAuthMisconfigured),
        (ExchangeError::Unintelligible("status 200".into()), good_way(), Cause::EksAuthUnintelligible),
    ] {
        assert_eq!(causes(outcome.clone(), &way), [(wanted, Severity::Error)], "{outcome:?}");
    }
    let not_sent = Probe { endpoint: None, ..probe(Err(unreachable("Missing Region"))) };
    assert_eq!(judge(&not_sent, &Way::default(), true, true)[0].cause, Cause::EksAuthMisconfigured);
}

#[test]
fn an_interface_endpoint_is_remarked_on() {
    let finding = judge(&probe(Ok(())), &way(Ok("10.0.4.5"), Ok(())), true, true).remove(0);
    assert!(finding.what.contains("the private address 10.0.4.5"), "{}", finding.what);
    assert!(finding.what.starts_with("EKS Auth answers at https://eks-auth.example,"), "{}", finding.what);
}

#[test]
fn clocks_may_differ_by_a_minute_and_must_not_by_five() {
    let at =
        |seconds| judge_clock(NOW + Duration::from_secs(1_000), NOW + Duration::from_secs(seconds)).unwrap();
    assert_eq!(at(1_060).cause, Cause::Clock);
    assert_eq!((at(1_061).cause, at(1_061).severity), (Cause::ClockSkew, Severity::Warning));
    assert_eq!(at(1_301).severity, Severity::Error);
    assert_eq!(at(600).severity, Severity::Error);
    assert!(at(600).what.contains("400 s behind"), "{}", at(600).what);
}
