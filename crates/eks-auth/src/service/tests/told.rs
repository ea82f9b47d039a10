//! What the log tells of roles: of a denied one which statements it lacks, of a crowded one once.

use std::collections::BTreeMap;
use std::fmt;

use testkit::canary;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;

const PERMITS_TARGET: &str = r#"{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"arn:aws:iam::444455556666:role/data"}"#;
const CONDITION: &str = r#"{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"arn:aws:eks:us-west-2:111122223333:cluster/production-1","aws:RequestTag/eks-cluster-name":"production-1","aws:RequestTag/kubernetes-namespace":"shop","aws:RequestTag/kubernetes-service-account":"web"}}"#;

type Line = BTreeMap<&'static str, String>;

/// The warnings and errors of this thread while it lives.
struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

struct Fields(Line);

impl Log {
    fn start() -> Self {
        let lines = Lines::default();
        let registry = tracing_subscriber::registry().with(lines.clone());
        Self { lines, _guard: tracing::subscriber::set_default(registry) }
    }

    fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lines.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            let mut fields = Fields(Line::from([("level", event.metadata().level().to_string())]));
            event.record(&mut fields);
            canary::assert_absent("the log", &format!("{:?}", fields.0));
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

fn chained() -> Association {
    Association {
        target_role_arn: Some("arn:aws:iam::444455556666:role/data".parse().unwrap()),
        ..association()
    }
}

fn without_tags(association: Association) -> Association {
    Association { disable_session_tags: true, ..association }
}

/// The one line that is written when call `number` for this association fails so.
async fn line_of(
    association: Association,
    caller: Option<Principal>,
    number: usize,
    error: AssumeRoleError,
) -> Line {
    let log = Log::start();
    let refusal = Mutex::new(Some((number, error)));
    let (outcome, _) = exchange(Neighbours { refusal, caller, ..neighbours(Some(association)) }).await;
    outcome.unwrap_err();
    let mut lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[tokio::test]
async fn a_denied_role_is_told_with_hop_caller_and_the_trust_statement_that_lets_it_be_assumed() {
    let operator = || Some(Principal::Aws("arn:aws:iam::111122223333:role/operator".to_owned()));
    let both = r#"["sts:AssumeRole","sts:TagSession"]"#;
    let assume = r#"["sts:AssumeRole"]"#;
    let external_id =
        r#","Condition":{"StringEquals":{"sts:ExternalId":"us-west-2/111122223333/production-1/shop/web"}}"#;
    let service = r#"{"Service":"pods.eks.amazonaws.com"}"#;
    let own = r#"{"AWS":"arn:aws:iam::111122223333:role/operator"}"#;
    let web = r#"{"AWS":"arn:aws:iam::111122223333:role/web"}"#;
    for (association, caller, number, hop, (principal, actions, condition)) in [
        (association(), Some(Principal::eks()), 1, "association role, 1 of 1", (service, both, "")),
        (association(), operator(), 1, "association role, 1 of 1", (own, both, "")),
        (without_tags(association()), operator(), 1, "association role, 1 of 1", (own, assume, "")),
        (chained(), operator(), 1, "association role, 1 of 2", (own, both, "")),
        (chained(), operator(), 2, "target role, 2 of 2", (web, both, "")),
        (without_tags(chained()), operator(), 1, "association role, 1 of 2", (own, assume, "")),
        (without_tags(chained()), operator(), 2, "target role, 2 of 2", (web, assume, external_id)),
    ] {
        let denied = AssumeRoleError::Denied("not authorized".to_owned());
        let line = line_of(association.clone(), caller, number, denied).await;
        assert_eq!((line["level"].as_str(), line["hop"].as_str()), ("WARN", hop));
        assert_eq!(line["association"], "a-8mvwvh57cu74mgcst");
        assert_eq!(
            (line["message"].as_str(), line["error"].as_str()),
            ("STS denied the role", "not authorized")
        );
        assert_eq!(
            line["trust_statement"],
            format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":{actions}{condition}}}"#),
            "{hop}"
        );
        assert!(principal.contains(&line["caller"]), "{principal} {line:?}");
        let has_tags = !association.disable_session_tags;
        assert_eq!(
            line.get("condition_that_would_hold").map(String::as_str),
            has_tags.then_some(CONDITION),
            "{hop}"
        );
        let permits = PERMITS_TARGET.replace(both, actions);
        let needs_permission = number == 2;
        assert_eq!(line.get("caller_permission"), needs_permission.then_some(&permits), "{hop}");
        assert_eq!(line["remedy"].contains("caller-permission"), needs_permission, "{hop}");
    }
}

#[tokio::test]
async fn a_caller_that_cannot_say_who_it_is_is_not_made_up() {
    let line = line_of(association(), None, 1, AssumeRoleError::Denied(String::new())).await;
    assert!(line["trust_statement"].contains(r#"{"AWS":"<the identity that signs"#), "{line:?}");
    assert!(line["caller"].starts_with("<the identity that signs"), "{line:?}");
}

#[tokio::test]
async fn only_a_denial_speaks_of_trust_and_every_failure_of_its_hop() {
    for (error, level) in [
        (AssumeRoleError::Invalid("why".to_owned()), "WARN"),
        (AssumeRoleError::RegionDisabled("why".to_owned()), "WARN"),
        (AssumeRoleError::Throttled("why".to_owned()), "WARN"),
        (AssumeRoleError::Unavailable("why".to_owned()), "WARN"),
        (AssumeRoleError::CallerRefused("why".to_owned()), "ERROR"),
    ] {
        let line = line_of(chained(), Some(Principal::eks()), 2, error).await;
        let told = (line["level"].as_str(), line["hop"].as_str(), line["error"].as_str());
        assert_eq!(told, (level, "target role, 2 of 2", "why"));
        assert!(!line.contains_key("trust_statement"), "{line:?}");
    }
}

#[tokio::test]
async fn a_crowded_association_is_warned_of_once_until_it_has_had_room_again() {
    let log = Log::start();
    let neighbours = Arc::new(neighbours(Some(association())));
    let service = service(&neighbours);
    for (percent, warned) in
        [(55, false), (81, true), (90, false), (81, false), (60, false), (85, true), (86, false)]
    {
        *neighbours.packed_policy_size.lock().unwrap() = Some(percent);
        // A clone, as the API has one for each connection: what it knows is known to all.
        service.clone().exchange("production-1", TOKEN, UNIX_EPOCH).await.unwrap();
        let lines = log.take();
        assert_eq!(lines.len(), usize::from(warned), "{percent}: {lines:?}");
        for line in lines {
            assert_eq!(line["packed_policy_size"], percent.to_string());
            assert_eq!(line["remedy"], "disable session tags");
        }
    }
}

#[tokio::test]
async fn the_remedy_for_a_crowded_association_is_what_it_can_do_without() {
    let with_policy = |association| Association { policy: Some("{}".to_owned()), ..association };
    for (association, remedies) in [
        (association(), vec!["disable session tags"]),
        (with_policy(without_tags(association())), vec!["shorten the session policy"]),
        (without_tags(association()), vec!["none: this call carries neither, ask whoever runs this STS"]),
        (with_policy(association()), vec!["shorten the session policy, or disable session tags"]),
        (
            with_policy(chained()),
            vec!["disable session tags", "shorten the session policy, or disable session tags"],
        ),
    ] {
        let log = Log::start();
        let packed_policy_size = Mutex::new(Some(95));
        exchange(Neighbours { packed_policy_size, ..neighbours(Some(association)) }).await.0.unwrap();
        let told: Vec<String> = log.take().into_iter().map(|line| line["remedy"].clone()).collect();
        assert_eq!(told, remedies);
    }
}
