use std::time::{Duration, UNIX_EPOCH};

use eks_auth::{ErrorCode, ExchangeError};
use http::header;
use http_body_util::{BodyExt, Empty};
use prometheus::Registry;
use runtime::Chance;
use testkit::{Script, Step, TokenBuilder, canary};

use super::*;
use crate::pods::PodMetrics;
use crate::session::{Policy, SessionMetrics};
use crate::upstream::scripted::Scripted;
use crate::upstream::{Pace, PaceMetrics};
use crate::verification::{VerificationMetrics, VerificationPolicy};

struct Room {
    endpoint: Endpoint,
    clock: Clock,
    upstream: Arc<Scripted>,
}

impl Room {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with_requests(steps, 8)
    }

    fn with_requests(steps: impl IntoIterator<Item = Step>, max_requests: usize) -> Self {
        let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_795_320_632));
        let upstream = Scripted::new(Script::new(steps, Step::issue()), clock);
        let registry = Registry::new();
        let policy = Policy {
            retention: Duration::from_secs(10_800),
            max_sessions: 10,
            renewals_per_second: 3,
            hold: Duration::from_secs(6),
            attempts: 1,
            audited: true,
        };
        let metrics = SessionMetrics::register(&registry).unwrap();
        let pace = Pace::new(Chance::seeded(0), PaceMetrics::register(&registry).unwrap());
        let sessions = Sessions::new(upstream.clone(), pace, clock, Chance::seeded(0), policy, metrics);
        let rules = Rules {
            audiences: vec![identity::AUDIENCE.to_owned()],
            max_requests,
            hosts: OurHosts::new([]),
            rates: Rates::default(),
            source_check: SourceCheck::Off,
        };
        let metrics = EndpointMetrics::register(&registry).unwrap();
        let pods = Pods::new(None, clock, Chance::seeded(0), PodMetrics::register(&registry).unwrap());
        let verification = Verification::new(
            Vec::new(),
            VerificationPolicy::default(),
            clock,
            Chance::seeded(0),
            VerificationMetrics::register(&registry).unwrap(),
        );
        Self {
            endpoint: Endpoint::new(sessions, verification, pods, clock, rules, metrics, None),
            clock,
            upstream,
        }
    }

    fn token(&self) -> TokenBuilder {
        TokenBuilder::of_pod("web-0", self.clock.now())
    }

    /// The endpoint's answer, as it would go on the wire.
    async fn answer(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> (u16, Response<Full<Bytes>>, serde_json::Value) {
        let arrival = Arrival::of(&request, ([10, 0, 0, 1], 1).into(), true);
        let outcome = match self.endpoint.begin(&request, arrival.peer) {
            Ok(answer) => Ok((answer, Source::Session)),
            Err(unanswered) => self.endpoint.finish(unanswered).await,
        };
        let response = self.endpoint.respond(outcome, &arrival);
        let body = response.clone().into_body().collect().await.unwrap().to_bytes();
        (response.status().as_u16(), response, serde_json::from_slice(&body).unwrap())
    }

    async fn ask(&self, token: &str) -> (u16, Response<Full<Bytes>>, serde_json::Value) {
        self.answer(request(token)).await
    }
}

fn request(token: &str) -> Request<Empty<Bytes>> {
    Request::get(CREDENTIALS_PATH)
        .header(header::HOST, "169.254.170.23")
        .header(header::AUTHORIZATION, token)
        .body(Empty::new())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_what_every_sdk_can_read() {
    let room = Room::new([]);
    let (status, response, body) = room.ask(&room.token().raw()).await;
    assert_eq!(
        (status, response.headers()[header::CONTENT_TYPE].to_str().unwrap()),
        (200, "application/json")
    );
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["AccessKeyId", "AccountId", "Expiration", "SecretAccessKey", "Token"]);
    assert!(members.iter().all(|name| !body[name.as_str()].as_str().unwrap().is_empty()));
    assert_eq!(body["AccountId"], "111122223333");
    assert_eq!(body["Expiration"], "2026-11-22T10:10:32Z", "whole seconds, Z");
    let raw = response.into_body().collect().await.unwrap().to_bytes();
    assert!(!raw.contains(&b'\\') && raw.len() <= 10_000, "no escapes, and short enough for the CRT");
}

#[tokio::test(start_paused = true)]
async fn refusals_carry_code_and_message_in_both_spellings_and_never_a_secret() {
    let room = Room::new([Step::refuse(ErrorCode::AccessDenied)]);
    let (status, response, body) = room.ask(&room.token().raw()).await;
    assert_eq!(
        (status, response.headers()[header::CONTENT_TYPE].to_str().unwrap()),
        (400, "application/json")
    );
    for (one, other) in [("code", "Code"), ("message", "Message")] {
        assert_eq!(body[one], body[other]);
    }
    assert_eq!(body["code"], "AccessDeniedException");
    assert_eq!(body["message"], "[request-1]: (AccessDeniedException): as the script says, fault: client");
    canary::assert_absent("a refusal", &body.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_a_pods_is_refused_here_and_told_what_to_do() {
    let room = Room::new([]);
    let good = room.token();
    let late = good.clone().lasting(Duration::ZERO).raw();
    let soon = good.clone().claim("nbf", serde_json::json!(1_795_320_632 + 61)).raw();
    let other = good.clone().claim("aud", serde_json::json!("sts.amazonaws.com")).raw();
    for (token, code, advice) in [
        ("", "TokenEmpty", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        ("junk", "TokenMalformed", "send the projected token file as it is"),
        (&format!("Bearer {}", good.raw()), "TokenHasBearerPrefix", "remove the \"Bearer \" prefix"),
        (
            &late,
            "TokenExpired",
            "expired at 2026-11-22T04:10:32Z and it is now 2026-11-22T04:10:32Z: read the token file",
        ),
        (&soon, "TokenNotYetValid", "not valid before 2026-11-22T04:11:33Z"),
        (&other, "TokenForAnotherAudience", "pods.eks.amazonaws.com"),
    ] {
        let (status, _, body) = room.ask(token).await;
        assert_eq!((status, body["code"].as_str().unwrap()), (400, code));
        assert!(body["message"].as_str().unwrap().contains(advice), "{body}");
        canary::assert_absent(code, &body.to_string());
    }
    assert_eq!(room.upstream.script.count(), 0, "none of them costs the account a call");
}

#[tokio::test(start_paused = true)]
async fn statuses_of_eks_auths_errors_are_passed_through_but_for_throttling() {
    for (code, status) in [
        (ErrorCode::AccessDenied, 400),
        (ErrorCode::ExpiredToken, 400),
        (ErrorCode::InvalidToken, 400),
        (ErrorCode::InvalidParameter, 400),
        (ErrorCode::InvalidRequest, 400),
        (ErrorCode::ResourceNotFound, 404),
        (ErrorCode::Throttling, 503),
        (ErrorCode::InternalServer, 500),
        (ErrorCode::ServiceUnavailable, 503),
    ] {
        let room = Room::new([]);
        room.upstream.script.change(Step::refuse(code));
        let (got, response, body) = room.ask(&room.token().raw()).await;
        assert_eq!((got, body["code"].as_str().unwrap()), (status, code.as_str()));
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == 503, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_not_eks_auths_refusals_are_5xx_the_sdks_retry_and_say_whose_they_are() {
    let text = "secret detail".to_owned();
    for (error, status) in [
        (ExchangeError::Unreachable(text.clone()), 503),
        (ExchangeError::TimedOut(text.clone()), 503),
        (ExchangeError::NoOwnCredentials(text.clone()), 503),
        (ExchangeError::Misconfigured(text.clone()), 500),
        (ExchangeError::Unintelligible(text.clone()), 502),
    ] {
        let room = Room::new([Step::Fail { after: Duration::ZERO, error }]);
        let (got, _, body) = room.ask(&room.token().raw()).await;
        assert_eq!(got, status, "{body}");
        assert!(!body.to_string().contains(&text), "detail is for the operator's log: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_agents_own_call_says_that_the_node_is_to_be_mended() {
    let error = ExchangeError::RefusedCaller {
        status: 403,
        code: "AccessDeniedException".to_owned(),
        request_id: "r".to_owned(),
        message: "not authorized".to_owned(),
    };
    let room = Room::new([Step::Fail { after: Duration::ZERO, error }]);
    let (status, _, body) = room.ask(&room.token().raw()).await;
    assert_eq!((status, body["code"].as_str().unwrap()), (403, "AccessDeniedException"));
    assert!(body["message"].as_str().unwrap().contains("the node's configuration"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn requests_of_another_shape_are_refused_before_anything_is_done_for_them() {
    let room = Room::new([]);
    let token = room.token().raw();
    let of = |method: &str, uri: &str, host: &str| {
        Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, &token)
            .body(Empty::new())
            .unwrap()
    };
    let ours = "169.254.170.23";
    for (request, status, code) in [
        (of("GET", "/", ours), 404, "UnknownPath"),
        (of("GET", "/", "anything.example"), 404, "UnknownPath"),
        (of("GET", "/v1/credentials/", ours), 404, "UnknownPath"),
        (of("GET", "/latest/meta-data", ours), 404, "UnknownPath"),
        (of("POST", CREDENTIALS_PATH, ours), 405, "MethodNotAllowed"),
        (of("HEAD", CREDENTIALS_PATH, ours), 405, "MethodNotAllowed"),
        (of("GET", CREDENTIALS_PATH, "evil.example"), 403, "HostNotAllowed"),
        (of("GET", "http://169.254.170.23/v1/credentials", ours), 400, "OddRequest"),
    ] {
        let (got, _, body) = room.answer(request).await;
        assert_eq!((got, body["code"].as_str().unwrap()), (status, code));
    }
    let mut twice = request(&token);
    twice.headers_mut().append(header::AUTHORIZATION, token.parse().unwrap());
    assert_eq!(room.answer(twice).await.0, 400);
    let mut two_hosts = request(&token);
    two_hosts.headers_mut().append(header::HOST, "evil.example".parse().unwrap());
    assert_eq!(room.answer(two_hosts).await.0, 400);
    let mut binary = request(&token);
    binary
        .headers_mut()
        .insert(header::AUTHORIZATION, header::HeaderValue::from_bytes(b"\xff\xfe.a.b").unwrap());
    assert_eq!(room.answer(binary).await.2["code"], "TokenMalformed");
    let mut query = request(&token);
    *query.uri_mut() = "/v1/credentials?anything=goes".parse().unwrap();
    assert_eq!(room.answer(query).await.0, 200, "SDKs keep a query string, so it is tolerated");
    assert_eq!(room.upstream.script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_seat_a_request_is_told_to_come_back_and_the_next_is_served() {
    let room = Room::with_requests([Step::issue_after(Duration::from_secs(1))], 1);
    let raw = room.token().raw();
    let busy = async {
        tokio::task::yield_now().await;
        room.ask(&TokenBuilder::of_pod("web-1", room.clock.now()).raw()).await
    };
    let (first, second) = tokio::join!(room.ask(&raw), busy);
    assert_eq!(first.0, 200);
    assert_eq!((second.0, second.2["code"].as_str().unwrap()), (503, "AgentTooBusy"));
    assert_eq!(room.ask(&raw).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_source_beyond_its_share_is_told_to_come_back_and_what_to_change() {
    let room = Room::new([]);
    let raw = room.token().raw();
    let mut refused = 0;
    for _ in 0..5_000 {
        let (status, response, body) = room.ask(&raw).await;
        if status == 200 {
            continue;
        }
        refused += 1;
        assert_eq!((status, body["code"].as_str().unwrap()), (503, "SourceTooBusy"));
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        assert!(body["message"].as_str().unwrap().contains("one client of the SDK"), "{body}");
    }
    assert_eq!(refused, 1_000);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(room.ask(&raw).await.0, 200);
}
