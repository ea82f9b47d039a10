use std::time::UNIX_EPOCH;

use eks_auth::ErrorCode;
use futures_util::future::join_all;
use prometheus::{Registry, TextEncoder};
use runtime::{Drain, Hand};
use testkit::{Script, Step, TokenBuilder, canary};
use tokio::time::sleep;

use super::*;
use crate::upstream::PaceMetrics;
use crate::upstream::scripted::Scripted;

mod failures;
mod pods;
mod simulation;
mod succession;

const HOUR: Duration = Duration::from_secs(3_600);
const HOLD: Duration = Duration::from_secs(6);
const MINUTE: Duration = Duration::from_secs(60);

/// Sessions over a script, under paused time that starts on a day in 2026.
struct Room {
    upstream: Arc<Scripted>,
    sessions: Sessions,
    clock: Clock,
    registry: Registry,
    drain: Drain,
}

const POLICY: Policy = Policy {
    retention: Duration::from_secs(3 * 3_600),
    max_sessions: 2_000,
    renewals_per_second: 3,
    hold: HOLD,
    attempts: 1,
    audited: true,
};

/// As a node is set up, with retries.
const TRYING: Policy = Policy { attempts: 20, ..POLICY };

impl Room {
    fn new(steps: impl IntoIterator<Item = Step>, otherwise: Step) -> Self {
        Self::with(POLICY, Script::new(steps, otherwise))
    }

    fn with(policy: Policy, script: Script) -> Self {
        Self::seeded(0, policy, script).0
    }

    /// With the hand that sets its clock, and chance out of this seed.
    fn seeded(seed: u64, policy: Policy, script: Script) -> (Self, Hand) {
        let (clock, hand) = Clock::with_hand(UNIX_EPOCH + Duration::from_secs(1_795_320_632));
        let chance = Chance::seeded(seed);
        let upstream = Scripted::new(script, clock);
        let registry = Registry::new();
        let metrics = SessionMetrics::register(&registry).unwrap();
        let pace = Pace::new(chance.clone(), PaceMetrics::register(&registry).unwrap());
        let sessions = Sessions::new(upstream.clone(), pace, clock, chance, policy, metrics);
        (Self { upstream, sessions, clock, registry, drain: Drain::new() }, hand)
    }

    /// Starts the renewals.
    fn keep_fresh(&self) {
        let (sessions, watch) = (self.sessions.clone(), self.drain.watch());
        tokio::spawn(async move { sessions.keep_fresh(watch).await });
    }

    fn token(&self, pod: &str) -> ServiceAccountToken {
        self.token_lasting(pod, HOUR * 24)
    }

    fn token_lasting(&self, pod: &str, lifetime: Duration) -> ServiceAccountToken {
        TokenBuilder::of_pod(pod, self.clock.now()).lasting(lifetime).token()
    }

    /// Asks as a pod whose token nobody verifies.
    async fn ask(&self, token: &ServiceAccountToken) -> Result<String, Refusal> {
        self.ask_as(Owner::Token(token.digest()), token).await
    }

    /// Asks as a pod whose token this node has verified.
    async fn ask_verified(&self, token: &ServiceAccountToken) -> Result<String, Refusal> {
        let uid = token.claims().pod().unwrap().pod.uid;
        self.ask_as(Owner::Pod(PodUid::verified(&uid)), token).await
    }

    async fn ask_as(&self, owner: Owner, token: &ServiceAccountToken) -> Result<String, Refusal> {
        let answer = self.answer_as(owner, token).await?;
        Ok(answer["AccessKeyId"].as_str().unwrap().to_owned())
    }

    /// As the endpoint does it.
    async fn answer_as(
        &self,
        owner: Owner,
        token: &ServiceAccountToken,
    ) -> Result<serde_json::Value, Refusal> {
        let answer = match self.sessions.look_up(token.secret().expose()) {
            Known::Answer(answer) => answer,
            Known::Ageing(answer, id) => self.sessions.newer(answer, id).await,
            Known::Refused(refusal) => return Err(refusal),
            Known::Nothing => self.sessions.obtain(token.clone(), owner).await?.0,
        };
        Ok(serde_json::from_slice(&answer.body).unwrap())
    }

    fn calls(&self) -> usize {
        self.upstream.script.count()
    }

    fn page(&self) -> String {
        let page = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        canary::assert_absent("metrics", &page);
        page
    }

    fn metric(&self, line: &str) -> bool {
        self.page().lines().any(|found| found == line)
    }
}

fn key(number: usize) -> String {
    format!("ASIA{number:016}")
}

#[tokio::test(start_paused = true)]
async fn the_first_ask_exchanges_and_the_next_is_answered_from_the_session() {
    let room = Room::new([], Step::issue());
    let token = room.token("web-0");
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    assert_eq!(room.calls(), 1);
    assert!(room.metric("pod_identity_cache_state{state=\"miss\"} 1"));
    assert!(room.metric("pod_identity_cache_state{state=\"hit\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_asks_at_once_with_one_token_cause_one_exchange() {
    let room = Room::new([], Step::issue_after(Duration::from_millis(300)));
    let token = room.token("web-0");
    let began = tokio::time::Instant::now();
    let answers = join_all((0..100).map(|_| room.ask(&token))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == key(1)));
    assert_eq!(room.calls(), 1);
    assert!(began.elapsed() < Duration::from_millis(310), "nobody waits longer than the exchange takes");
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_failing_exchange_share_its_failure() {
    let error = ExchangeError::TimedOut("5 s".to_owned());
    let room = Room::new([], Step::Fail { after: Duration::from_secs(5), error });
    let token = room.token("web-0");
    let answers = join_all((0..100).map(|_| room.ask(&token))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap_err().status() == 503));
    assert_eq!(room.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_cancels_nothing_and_its_retry_is_a_hit() {
    let room = Room::new([], Step::issue_after(Duration::from_millis(400)));
    let token = room.token("web-0");
    assert!(tokio::time::timeout(Duration::from_millis(100), room.ask(&token)).await.is_err());
    sleep(Duration::from_millis(400)).await;
    assert!(matches!(room.sessions.look_up(token.secret().expose()), Known::Answer(_)));
    assert_eq!(room.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_held_so_long_and_then_told_that_the_exchange_goes_on() {
    let room = Room::new([], Step::issue_after(HOLD + Duration::from_secs(1)));
    let token = room.token("web-0");
    let refusal = room.ask(&token).await.unwrap_err();
    assert_eq!((refusal.status(), refusal.code()), (503, "StillExchanging"));
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    assert_eq!(room.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_different_pods_never_share_an_exchange() {
    let room = Room::new([], Step::issue_after(Duration::from_millis(300)));
    let (one, other) = (room.token("web-0"), room.token("web-1"));
    let (first, second) = tokio::join!(room.ask(&one), room.ask(&other));
    assert_ne!(first.unwrap(), second.unwrap());
    assert_eq!(room.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_for_seconds_and_then_asked_for_again() {
    let room = Room::new([Step::refuse(ErrorCode::ResourceNotFound)], Step::issue());
    let token = room.token("web-0");
    for _ in 0..30 {
        let refusal = room.ask(&token).await.unwrap_err();
        assert_eq!((refusal.status(), refusal.code()), (404, "ResourceNotFoundException"));
        sleep(Duration::from_millis(99)).await;
    }
    assert_eq!(room.calls(), 1);
    sleep(Duration::from_millis(2_100)).await;
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_remembered_for_a_fifth_of_a_second() {
    let room = Room::new([Step::break_off()], Step::issue());
    let token = room.token("web-0");
    assert_eq!(room.ask(&token).await.unwrap_err().status(), 503);
    assert_eq!(room.ask(&token).await.unwrap_err().status(), 503);
    assert_eq!(room.calls(), 1);
    sleep(Duration::from_millis(201)).await;
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_does_not_cost_the_pods_next_token_anything() {
    let room = Room::new([Step::refuse(ErrorCode::ExpiredToken)], Step::issue());
    let old = room.token("web-0");
    assert_eq!(room.ask(&old).await.unwrap_err().status(), 400);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(room.ask(&room.token("web-0")).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_an_exchange_is_one_refusal_and_no_more() {
    let room = Room::new([Step::Panic], Step::issue());
    let token = room.token("web-0");
    assert_eq!(room.ask(&token).await.unwrap_err().code(), "AgentBroken");
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_not_handed_out_in_their_last_fifteen_seconds() {
    let lifetime = Duration::from_secs(900);
    let room = Room::new([], Step::Issue { after: Duration::ZERO, lifetime });
    let token = room.token("web-0");
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    room.upstream.script.change(Step::break_off());
    sleep(lifetime - Duration::from_secs(16)).await;
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(room.ask(&token).await.unwrap_err().code(), "UpstreamUnreachable");
}

#[tokio::test(start_paused = true)]
async fn sessions_are_renewed_before_retention_ends_without_anybody_asking() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    let token = room.token("web-0");
    room.ask(&token).await.unwrap();
    sleep(HOUR * 3 + Duration::from_secs(1)).await;
    assert_eq!(room.calls(), 2);
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn a_full_house_is_renewed_at_the_stated_rate() {
    let policy = Policy { renewals_per_second: 10, ..POLICY };
    let room = Room::with(policy, Script::new([], Step::issue_after(Duration::from_millis(500))));
    room.keep_fresh();
    let tokens: Vec<_> = (0..500).map(|number| room.token(&format!("web-{number}"))).collect();
    join_all(tokens.iter().map(|token| room.ask(token))).await;
    assert_eq!(room.calls(), 500);
    // Jitter spreads them over a tenth of three hours; at ten a second none waits for another.
    sleep(HOUR * 3 + Duration::from_secs(60)).await;
    assert_eq!(room.calls(), 1_000, "each is renewed once");
    let mut renewed = room.upstream.script.calls().split_off(500);
    renewed.sort();
    renewed.dedup();
    assert_eq!(renewed.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn five_hundred_sessions_that_are_due_at_once_are_renewed_at_the_stated_rate() {
    let policy = Policy { retention: Duration::from_secs(1), renewals_per_second: 10, ..POLICY };
    let room = Room::with(policy, Script::new([], Step::issue()));
    let tokens: Vec<_> = (0..500).map(|number| room.token(&format!("web-{number}"))).collect();
    join_all(tokens.iter().map(|token| room.ask(token))).await;
    sleep(Duration::from_secs(1)).await;
    room.keep_fresh();
    sleep(Duration::from_secs(20)).await;
    let calls = room.calls() - 500;
    assert!((195..=205).contains(&calls), "{calls} renewals in 20 s at 10 a second");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_leaves_the_old_credentials_in_place_until_their_last_moments() {
    let room = Room::new([Step::issue()], Step::break_off());
    room.keep_fresh();
    let token = room.token("web-0");
    room.ask(&token).await.unwrap();
    sleep(HOUR * 5 + HOUR / 2).await;
    assert_eq!(room.ask(&token).await.unwrap(), key(1), "an outage of hours is not noticed");
    let tries = room.calls() - 1;
    assert!((70..=170).contains(&tries), "{tries} tries in two and a half hours");
    sleep(HOUR / 2).await;
    assert!(room.sessions.is_empty(), "what has expired is forgotten");
    assert!(room.metric("pod_identity_cache_state{state=\"evicted\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_for_good_ends_the_session() {
    for code in [
        ErrorCode::AccessDenied,
        ErrorCode::ResourceNotFound,
        ErrorCode::InvalidToken,
        ErrorCode::ExpiredToken,
    ] {
        let room = Room::new([Step::issue()], Step::refuse(code));
        room.keep_fresh();
        let token = room.token("web-0");
        room.ask(&token).await.unwrap();
        sleep(HOUR * 3 + Duration::from_secs(1)).await;
        assert!(room.sessions.is_empty(), "{code}");
        assert!(
            room.metric(&format!("pod_identity_cache_errors{{code=\"{code}\",type=\"NonRecoverable\"}} 1"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_may_pass_does_not_end_the_session() {
    for code in [ErrorCode::Throttling, ErrorCode::InternalServer, ErrorCode::InvalidParameter] {
        let room = Room::new([Step::issue()], Step::refuse(code));
        room.keep_fresh();
        let token = room.token("web-0");
        room.ask(&token).await.unwrap();
        sleep(HOUR * 3 + Duration::from_secs(1)).await;
        assert_eq!(room.ask(&token).await.unwrap(), key(1), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_is_not_sent_again_and_its_session_ends_with_its_retention() {
    let room = Room::new([], Step::issue());
    room.keep_fresh();
    let token = TokenBuilder::of_pod("web-0", room.clock.now()).lasting(HOUR).token();
    room.ask(&token).await.unwrap();
    sleep(HOUR * 3 + Duration::from_secs(1)).await;
    assert_eq!(room.calls(), 1);
    assert!(room.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_session_that_was_asked_for_longest_ago_makes_room_and_comes_back_on_demand() {
    let room = Room::with(Policy { max_sessions: 2, ..POLICY }, Script::new([], Step::issue()));
    let tokens = ["web-0", "web-1", "web-2"].map(|pod| room.token(pod));
    room.ask(&tokens[0]).await.unwrap();
    room.ask(&tokens[1]).await.unwrap();
    // Uses within a minute are not told apart.
    sleep(MINUTE).await;
    room.ask(&tokens[0]).await.unwrap();
    room.ask(&tokens[2]).await.unwrap();
    assert_eq!(room.sessions.len(), 2);
    assert_eq!(room.ask(&tokens[0]).await.unwrap(), key(1), "was used after the other");
    assert_eq!(room.ask(&tokens[1]).await.unwrap(), key(4));
    assert!(room.metric("pod_identity_cache_state{state=\"evicted\"} 2"));
}

#[tokio::test(start_paused = true)]
async fn without_retention_or_room_nothing_is_kept_but_asks_at_once_still_share() {
    for policy in [Policy { retention: Duration::ZERO, ..POLICY }, Policy { max_sessions: 0, ..POLICY }] {
        let room = Room::with(policy, Script::new([], Step::issue_after(Duration::from_millis(50))));
        room.keep_fresh();
        let token = room.token("web-0");
        join_all((0..10).map(|_| room.ask(&token))).await;
        assert_eq!(room.calls(), 1);
        room.ask(&token).await.unwrap();
        assert_eq!(room.calls(), 2);
        assert!(room.sessions.is_empty());
    }
}

#[test]
fn sessions_are_due_after_retention_or_well_before_they_expire() {
    let now = UNIX_EPOCH;
    let minutes = |count: u64| Duration::from_secs(count * 60);
    for (lifetime, retention, wanted) in [
        (minutes(360), minutes(180), minutes(180)),
        (minutes(360), minutes(600), minutes(240)),
        (minutes(60), minutes(180), minutes(40)),
        (minutes(59), minutes(180), minutes(39)),
        (minutes(15), minutes(180), Duration::from_secs(450)),
        (minutes(360), Duration::from_secs(90), Duration::from_secs(90)),
    ] {
        let due = |chance| renewal::due(now, now + lifetime, retention, chance).duration_since(now).unwrap();
        assert_eq!(due(0), wanted, "{lifetime:?} {retention:?}");
        assert_eq!(due(u32::MAX), wanted - wanted / 10, "{lifetime:?} {retention:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_forward_ends_sessions_and_one_that_steps_back_does_not_freeze_refusals() {
    let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_795_320_632));
    let mut refused = refused::RefusedTokens::new();
    let token = TokenBuilder::of_pod("web-0", clock.now()).token();
    let refusal = Refusal::Exchange(ExchangeError::Unreachable(String::new()));
    refused.remember(token.digest(), &refusal, clock.now() + HOUR, 0);
    assert!(
        refused.find(&token.digest(), clock.now()).is_none(),
        "remembered by a clock that was an hour ahead"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_association_reaches_its_pods_with_their_next_request_and_nobody_elses() {
    let room = Room::new([], Step::issue());
    let token = room.token("web-0");
    assert_eq!(room.ask(&token).await.unwrap(), key(1));
    room.sessions.association_changed("a-00000000000000000");
    assert_eq!(room.ask(&token).await.unwrap(), key(1), "another association's change");
    room.sessions.association_changed("a-8mvwvh57cu74mgcst");
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
    assert!(room.metric("pod_identity_cache_state{state=\"evicted\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_pod_is_asked_for_again_as_soon_as_associations_change() {
    let room = Room::new([Step::refuse(ErrorCode::ResourceNotFound)], Step::issue());
    let token = room.token("web-0");
    assert_eq!(room.ask(&token).await.unwrap_err().status(), 404);
    room.sessions.association_changed("a-8mvwvh57cu74mgcst");
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_began_before_a_change_is_not_kept_after_it() {
    let room = Room::new([], Step::issue_after(Duration::from_millis(300)));
    let token = room.token("web-0");
    let change = async {
        sleep(Duration::from_millis(100)).await;
        room.sessions.association_changed("a-8mvwvh57cu74mgcst");
    };
    let (answer, ()) = tokio::join!(room.ask(&token), change);
    assert_eq!(answer.unwrap(), key(1), "who waited for it is not made to wait again");
    assert_eq!(room.ask(&token).await.unwrap(), key(2));
}

#[tokio::test(start_paused = true)]
async fn sessions_are_counted_by_what_they_are_at_and_the_first_end_is_told() {
    let room = Room::new([], Step::issue());
    let tokens = ["web-0", "web-1", "web-2"].map(|pod| room.token(pod));
    assert!(!room.page().contains("pod_identity_earliest_expiry_seconds"), "there is no session");
    for token in &tokens {
        room.ask_verified(token).await.unwrap();
        sleep(MINUTE).await;
    }
    let count = |state: &str, count: usize| {
        assert!(
            room.metric(&format!("pod_identity_sessions{{state=\"{state}\"}} {count}")),
            "{}",
            room.page()
        );
    };
    count("fresh", 3);
    assert!(room.metric("pod_identity_earliest_expiry_seconds 21420"), "{}", room.page());
    sleep(HOUR * 3).await;
    count("due", 3);
    room.upstream.script.change(Step::break_off());
    room.keep_fresh();
    sleep(MINUTE).await;
    count("failing", 3);
    assert!(!room.metric("pod_identity_renewals_total{outcome=\"failed\"} 0"), "{}", room.page());
    room.sessions.hear(crate::pods::News::Over("uid-of-web-0".to_owned()));
    count("failing", 2);
    room.upstream.script.change(Step::issue());
    sleep(MINUTE * 5).await;
    count("fresh", 2);
    assert!(room.metric("pod_identity_renewals_total{outcome=\"ok\"} 2"), "{}", room.page());

    // Who only claims to be a pod that is over keeps what it has, and is not renewed.
    room.ask(&room.token("web-3")).await.unwrap();
    room.sessions.hear(crate::pods::News::Over("uid-of-web-3".to_owned()));
    count("abandoned", 1);
    count("fresh", 2);
}
