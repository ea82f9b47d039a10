use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::Algorithm;
use prometheus::Registry;
use runtime::Drain;
use serde_json::json;
use testkit::signing::key_set;
use testkit::{SigningKey, TokenBuilder};

use super::*;

mod strangers;

const ISSUER: &str = "https://issuer.example";
const HOUR: Duration = Duration::from_secs(3_600);

/// A source that gives what it is told to, and counts.
pub(super) struct FakeSource {
    name: String,
    keys: Mutex<Option<(Option<String>, String, Reliance)>>,
    takes: Mutex<Duration>,
    fetches: AtomicUsize,
}

impl FakeSource {
    pub(super) fn named(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            keys: Mutex::default(),
            takes: Mutex::default(),
            fetches: AtomicUsize::new(0),
        })
    }

    fn publish<'a>(&self, keys: impl IntoIterator<Item = &'a SigningKey>) {
        self.publish_as(Some(ISSUER), Reliance::Whole, keys);
    }

    fn publish_as<'a>(
        &self,
        issuer: Option<&str>,
        reliance: Reliance,
        keys: impl IntoIterator<Item = &'a SigningKey>,
    ) {
        *self.keys.lock().unwrap() = Some((issuer.map(str::to_owned), key_set(keys), reliance));
    }

    fn vanish(&self) {
        *self.keys.lock().unwrap() = None;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

impl KeySource for FakeSource {
    fn kind(&self) -> SourceKind {
        SourceKind::ApiServer
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn fetch(&self) -> BoxFuture<'_, Result<KeySet, FetchError>> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::Relaxed);
            let takes = *self.takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            let keys = self.keys.lock().unwrap().clone();
            let (issuer, document, reliance) = keys.ok_or(FetchError::TimedOut(Duration::ZERO))?;
            KeySet::read(issuer, document.into(), reliance)
        })
    }
}

/// The check over one source, kept current until the room is dropped.
struct Room {
    source: Arc<FakeSource>,
    verification: Verification,
    registry: Registry,
    clock: Clock,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Room {
    fn new(publish: impl FnOnce(&FakeSource)) -> Self {
        let source = FakeSource::named("api");
        publish(&source);
        let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_795_320_632));
        let registry = Registry::new();
        let policy = VerificationPolicy { node: Some("node-1".to_owned()), ..VerificationPolicy::default() };
        let verification = Verification::new(
            vec![source.clone()],
            policy,
            clock,
            Chance::seeded(0),
            VerificationMetrics::register(&registry).unwrap(),
        );
        let kept = verification.clone();
        let task = tokio::spawn(async move { kept.keep_current(Drain::new().watch()).await });
        Self { source, verification, registry, clock, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    fn token(&self, pod: &str) -> TokenBuilder {
        TokenBuilder::of_pod(pod, self.clock.now())
    }

    /// What becomes of a token, in a word.
    async fn verdict(&self, raw: &str) -> &'static str {
        let token = ServiceAccountToken::parse(raw).unwrap();
        match self.verification.owner(&token).await {
            Ok(Owner::Pod(pod)) => {
                assert_eq!(Some(pod.as_str()), token.claims().pod_uid());
                "pod"
            }
            Ok(Owner::Token(digest)) => {
                assert_eq!(digest, token.digest());
                "itself"
            }
            Err(refusal) => refusal.reason(),
        }
    }

    fn counted(&self, outcome: &str) -> bool {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let zero = format!("pod_identity_token_checks_total{{outcome=\"{outcome}\"}} 0");
        text.contains(zero.trim_end_matches('0')) && !text.contains(&zero)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_token_is_worth_is_decided_by_key_issuer_algorithm_and_node() {
    let (rsa, ec, stranger) = (SigningKey::rsa("r"), SigningKey::ec("e"), SigningKey::ec("stranger"));
    let room = Room::new(|source| source.publish([&rsa, &ec]));
    let token = || room.token("web-0");
    let node = |name: &str| {
        let mut bound = token().claims()["kubernetes.io"].clone();
        bound["node"] = json!({ "name": name, "uid": "uid-of-node" });
        token().claim("kubernetes.io", bound)
    };
    let mut unbound = token().claims()["kubernetes.io"].clone();
    unbound.as_object_mut().unwrap().remove("pod");
    let of_no_algorithm = {
        let signed = rsa.sign(&token());
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"XX1","kid":"r"}"#);
        format!("{header}.{}", signed.split_once('.').unwrap().1)
    };
    let cases = [
        ("signed by the RSA key", rsa.sign(&token()), "pod"),
        ("signed by it with another algorithm of its kind", rsa.with(Algorithm::PS512).sign(&token()), "pod"),
        ("signed by the EC key", ec.sign(&token()), "pod"),
        ("signed by a known key, without a key id", rsa.known_as(None).sign(&token()), "pod"),
        (
            "signed by one key under another's id",
            ec.known_as(Some("r")).sign(&token()),
            "InvalidTokenException",
        ),
        (
            "signed by a stranger under a known id",
            stranger.known_as(Some("e")).sign(&token()),
            "InvalidTokenException",
        ),
        (
            "signed by a stranger without an id",
            stranger.known_as(None).sign(&token()),
            "InvalidTokenException",
        ),
        ("HMAC with the public key", rsa.public_half_as_secret().sign(&token()), "InvalidTokenException"),
        ("an algorithm that nobody knows", of_no_algorithm, "InvalidTokenException"),
        ("signed by a stranger under an unknown id", stranger.sign(&token()), "itself"),
        (
            "of another issuer",
            stranger.known_as(Some("e")).sign(&token().claim("iss", "https://other.example".into())),
            "itself",
        ),
        (
            "of another issuer that ends with a slash",
            rsa.sign(&token().claim("iss", "https://issuer.example/".into())),
            "itself",
        ),
        ("of no issuer", rsa.sign(&token().claim("iss", serde_json::Value::Null)), "itself"),
        ("of this node", rsa.sign(&node("node-1")), "pod"),
        ("of another node", rsa.sign(&node("node-2")), "TokenForAnotherNode"),
        (
            "of another node, and forged",
            stranger.known_as(Some("e")).sign(&node("node-2")),
            "InvalidTokenException",
        ),
        ("of no pod", rsa.sign(&token().claim("kubernetes.io", unbound)), "itself"),
    ];
    for (what, raw, verdict) in cases {
        assert_eq!(room.verdict(&raw).await, verdict, "{what}");
    }
    for outcome in ["verified", "forged", "unknown_key", "unknown_issuer", "another_node", "not_of_a_pod"] {
        assert!(room.counted(outcome), "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_may_be_stale_where_they_are_published_confirm_and_refuse_nothing() {
    let (known, stranger) = (SigningKey::ec("k1"), SigningKey::ec("k2"));
    let room = Room::new(|source| source.publish_as(Some(ISSUER), Reliance::ConfirmOnly, [&known]));
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "pod");
    assert_eq!(room.verdict(&stranger.sign(&room.token("web-0"))).await, "itself");
    assert_eq!(room.verdict(&stranger.known_as(Some("k1")).sign(&room.token("web-0"))).await, "itself");
    assert!(room.counted("stale_publisher"));
}

#[tokio::test(start_paused = true)]
async fn keys_without_an_issuer_count_for_every_issuer() {
    let known = SigningKey::ec("k1");
    let room = Room::new(|source| source.publish_as(None, Reliance::Whole, [&known]));
    let token = room.token("web-0").claim("iss", "https://whoever.example".into());
    assert_eq!(room.verdict(&known.sign(&token)).await, "pod");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_learnt_from_the_first_token_that_names_it() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let room = Room::new(|source| source.publish([&old]));
    assert_eq!(room.verdict(&old.sign(&room.token("web-0"))).await, "pod");
    room.source.publish([&old, &new]);
    assert_eq!(room.verdict(&new.sign(&room.token("web-0"))).await, "pod");
    assert_eq!(room.source.fetches(), 2);
    // Withdrawn: what it signed says nothing any more, once that is known.
    room.source.publish([&new]);
    tokio::time::sleep(VerificationPolicy::default().refresh).await;
    assert_eq!(room.verdict(&old.sign(&room.token("web-0"))).await, "itself");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_replaced_under_its_old_id_is_no_forgery() {
    let (old, new) = (SigningKey::ec("default"), SigningKey::ec("default"));
    let room = Room::new(|source| source.publish([&old]));
    assert_eq!(room.verdict(&old.sign(&room.token("web-0"))).await, "pod");
    room.source.publish([&new]);
    assert_eq!(room.verdict(&new.sign(&room.token("web-0"))).await, "pod");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_made_up_key_ids_cost_a_handful_of_fetches() {
    let (known, stranger) = (SigningKey::ec("k1"), SigningKey::ec("x"));
    let room = Room::new(|source| source.publish([&known]));
    for number in 0..1_000 {
        let forged = stranger.known_as(Some(&format!("made-up-{number}"))).sign(&room.token("web-0"));
        assert_eq!(room.verdict(&forged).await, "itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(room.source.fetches() <= 4, "{} in 20 s", room.source.fetches());
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "pod", "others do not suffer");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_before_the_keys_waits_for_them_but_not_for_long() {
    let known = SigningKey::ec("k1");
    let room = Room::new(|source| {
        source.publish([&known]);
        *source.takes.lock().unwrap() = Duration::from_millis(500);
    });
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "pod");

    let slow = Room::new(|source| {
        source.publish([&known]);
        *source.takes.lock().unwrap() = Duration::from_secs(5);
    });
    let began = tokio::time::Instant::now();
    assert_eq!(slow.verdict(&known.sign(&slow.token("web-0"))).await, "itself");
    assert!(began.elapsed() <= WORTH_A_WAIT);
    assert!(slow.counted("no_keys"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(slow.verdict(&known.sign(&slow.token("web-0"))).await, "pod", "late, but not never");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_source_changes_nothing_until_the_keys_are_too_old() {
    let known = SigningKey::ec("k1");
    let room = Room::new(|source| source.publish([&known]));
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "pod");
    room.source.vanish();
    tokio::time::sleep(HOUR * 23).await;
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "pod");
    tokio::time::sleep(HOUR * 2).await;
    let forged = SigningKey::ec("k1").sign(&room.token("web-0"));
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "itself");
    assert_eq!(room.verdict(&forged).await, "itself", "and they refuse nobody either");
    assert!(room.counted("keys_too_old"));
    room.source.publish([&known]);
    tokio::time::sleep(VerificationPolicy::default().refresh).await;
    assert_eq!(room.verdict(&known.sign(&room.token("web-0"))).await, "pod");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again_with_growing_pauses() {
    let room = Room::new(|_| {});
    tokio::time::sleep(Duration::from_secs(60)).await;
    let in_a_minute = room.source.fetches();
    assert!((5..=8).contains(&in_a_minute), "{in_a_minute}");
    tokio::time::sleep(HOUR * 24).await;
    let in_a_day = room.source.fetches() - in_a_minute;
    assert!((140..=200).contains(&in_a_day), "{in_a_day}");
}

#[tokio::test]
async fn without_sources_every_token_stands_for_itself_at_once() {
    let registry = Registry::new();
    let verification = Verification::new(
        Vec::new(),
        VerificationPolicy::default(),
        Clock::system(),
        Chance::seeded(0),
        VerificationMetrics::register(&registry).unwrap(),
    );
    let token = TokenBuilder::of_pod("web-0", SystemTime::UNIX_EPOCH).token();
    assert!(matches!(verification.owner(&token).await, Ok(Owner::Token(_))));
}
