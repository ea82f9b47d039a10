use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use prometheus::Registry;
use runtime::Drain;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// A step of a watch.
enum Step {
    Tell(Event),
    Wait(Duration),
    Fail(PodsError),
}

/// Gives the lists and watches it was given, in order; then fails.
#[derive(Default)]
struct FakeSource {
    lists: Mutex<VecDeque<Result<Listed, PodsError>>>,
    watches: Mutex<VecDeque<Vec<Step>>>,
    asked: Mutex<Vec<String>>,
}

fn down() -> PodsError {
    PodsError::Broken("the API server is down".into())
}

impl FakeSource {
    fn list(&self, pods: &[&str], version: &str) {
        let pods = pods.iter().map(|name| pod(name)).collect();
        self.page(Listed { pods, version: version.to_owned(), next: None });
    }

    fn page(&self, listed: Listed) {
        self.lists.lock().unwrap().push_back(Ok(listed));
    }

    fn watch(&self, steps: impl IntoIterator<Item = Step>) {
        self.watches.lock().unwrap().push_back(steps.into_iter().collect());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn lists_asked(&self) -> usize {
        self.asked().iter().filter(|asked| asked.starts_with("list")).count()
    }
}

impl PodSource for FakeSource {
    fn list<'a>(&'a self, next: Option<&'a str>) -> BoxFuture<'a, Result<Listed, PodsError>> {
        self.asked.lock().unwrap().push(format!("list {}", next.unwrap_or("all")));
        let listed = self.lists.lock().unwrap().pop_front().unwrap_or_else(|| Err(down()));
        Box::pin(std::future::ready(listed))
    }

    fn watch<'a>(
        &'a self,
        version: &'a str,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Event, PodsError>>, PodsError>> {
        self.asked.lock().unwrap().push(format!("watch {version}"));
        let steps = self.watches.lock().unwrap().pop_front();
        Box::pin(async move {
            let steps = steps.ok_or_else(down)?;
            let events = stream::iter(steps).filter_map(async |step| match step {
                Step::Tell(event) => Some(Ok(event)),
                Step::Fail(error) => Some(Err(error)),
                Step::Wait(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
            });
            Ok(events.boxed())
        })
    }
}

fn pod(name: &str) -> Pod {
    Pod { uid: name.to_owned(), addresses: Vec::new(), on_host_network: false, has_ended: false }
}

fn at(name: &str, address: &str) -> Pod {
    Pod { addresses: vec![address.parse().unwrap()], ..pod(name) }
}

fn there(pod: Pod, version: &str) -> Step {
    Step::Tell(Event::There(pod, version.to_owned()))
}

fn gone(name: &str, version: &str) -> Step {
    Step::Tell(Event::Gone(name.to_owned(), version.to_owned()))
}

const FOR_EVER: Step = Step::Wait(Duration::from_secs(86_400 * 365));

struct Room {
    source: Arc<FakeSource>,
    pods: Pods,
    news: Arc<Mutex<Vec<News>>>,
    registry: Registry,
    _task: AbortOnDropHandle<()>,
}

impl Room {
    async fn new(prepare: impl FnOnce(&FakeSource)) -> Self {
        let source = Arc::new(FakeSource::default());
        prepare(&source);
        let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_795_320_632));
        let registry = Registry::new();
        let metrics = PodMetrics::register(&registry).unwrap();
        let pods = Pods::new(Some(source.clone()), clock, Chance::seeded(0), metrics);
        let news = Arc::new(Mutex::new(Vec::new()));
        let (watched, heard) = (pods.clone(), Arc::clone(&news));
        let task = tokio::spawn(async move {
            watched.watch(Drain::new().watch(), |news| heard.lock().unwrap().push(news)).await;
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        Self { source, pods, news, registry, _task: AbortOnDropHandle::new(task) }
    }

    /// Who is over, in order.
    fn over(&self) -> Vec<String> {
        let news = self.news.lock().unwrap();
        news.iter()
            .filter_map(|news| if let News::Over(uid) = news { Some(uid.clone()) } else { None })
            .collect()
    }

    /// Who lived at the last list.
    fn living(&self) -> Vec<String> {
        let news = self.news.lock().unwrap();
        let all = news
            .iter()
            .rev()
            .find_map(|news| if let News::All { living, .. } = news { Some(living) } else { None });
        let mut living: Vec<_> = all.into_iter().flatten().cloned().collect();
        living.sort();
        living
    }

    fn metric(&self, line: &str) -> bool {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().any(|found| found == line)
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_or_is_deleted_is_over_and_one_that_terminates_is_not() {
    let room = Room::new(|source| {
        source.list(&["ends", "deleted", "stays"], "10");
        let ended = Pod { has_ended: true, ..pod("ends") };
        // Terminating is a change like any other, until the pod is gone.
        source.watch([there(pod("stays"), "11"), there(ended, "12"), gone("deleted", "13"), FOR_EVER]);
    })
    .await;
    assert_eq!(room.living(), ["deleted", "ends", "stays"]);
    assert_eq!(room.over(), ["ends", "deleted"]);
    assert!(
        room.metric("pod_identity_pods 1")
            && room.metric("pod_identity_pod_watch_state{state=\"current\"} 1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_counts_when_it_is_whole() {
    let room = Room::new(|source| {
        for (name, next) in [("a", Some("2")), ("b", Some("3")), ("c", None)] {
            let next = next.map(str::to_owned);
            source.page(Listed { pods: vec![pod(name)], version: "7".to_owned(), next });
        }
        source.watch([FOR_EVER]);
    })
    .await;
    assert_eq!(room.source.asked(), ["list all", "list 2", "list 3", "watch 7"]);
    assert_eq!(room.living(), ["a", "b", "c"]);

    let torn = Room::new(|source| {
        source.page(Listed { pods: vec![pod("a")], version: "7".to_owned(), next: Some("2".to_owned()) });
    })
    .await;
    assert!(torn.news.lock().unwrap().is_empty(), "half a list says nothing of those that are not in it");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let room = Room::new(|source| {
        source.list(&["a"], "10");
        let minute = || Step::Wait(Duration::from_secs(60));
        source.watch([minute(), there(pod("b"), "11"), minute()]);
        source.watch([minute(), Step::Tell(Event::Bookmark("20".to_owned())), minute()]);
        source.watch([gone("a", "21"), FOR_EVER]);
    })
    .await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(room.source.asked(), ["list all", "watch 10", "watch 11", "watch 20"]);
    assert_eq!(room.over(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_vanished_while_nobody_watched_is_over_after_the_next_list() {
    let room = Room::new(|source| {
        source.list(&["a", "b"], "10");
        source.watch([Step::Fail(PodsError::TooOld)]);
        source.list(&["b", "c"], "90");
        source.watch([FOR_EVER]);
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(room.source.asked(), ["list all", "watch 10", "list all", "watch 90"]);
    assert_eq!((room.over(), room.living()), (vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_forgotten_is_made_up_for_by_a_list_at_once_but_not_again_and_again() {
    let began = Instant::now();
    let room = Room::new(|source| {
        source.list(&["web-0"], "10");
        source.watch([Step::Fail(down())]);
        // It comes back, and has forgotten where the watch was.
        source.watch([Step::Fail(PodsError::TooOld)]);
        source.list(&["web-1"], "20");
        source.watch([Step::Fail(PodsError::TooOld)]);
    })
    .await;
    while room.source.asked().len() < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(room.source.asked(), ["list all", "watch 10", "watch 10", "list all", "watch 20"]);
    assert!(began.elapsed() <= Duration::from_secs(1), "one pause, for the API server that was down");
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(room.source.asked().len(), 5, "an API server that forgets everything at once is not flooded");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(room.source.asked()[5], "list all");
}

#[tokio::test(start_paused = true)]
async fn while_it_is_cut_off_nothing_is_over_and_every_source_passes() {
    let room = Room::new(|source| {
        source.page(Listed { pods: vec![at("a", "10.0.0.1")], version: "10".to_owned(), next: None });
        source.watch([Step::Wait(Duration::from_secs(60)), Step::Fail(down())]);
    })
    .await;
    let other = "10.0.0.2".parse().unwrap();
    assert_eq!(room.pods.may_come_from("a", other), Err(Mismatch));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(room.over(), Vec::<String>::new());
    assert_eq!(room.pods.may_come_from("a", other), Ok(Origin::NotKnown));
    assert!(room.metric("pod_identity_pod_watch_state{state=\"cut_off\"} 1"));
    // It is asked again, but not in a storm, and for no more than what it missed.
    let asked = room.source.asked().len();
    assert!((60..=130).contains(&asked), "{asked} in an hour");
    assert_eq!(room.source.lists_asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_given_up_and_an_old_one_is_checked_by_a_new_list() {
    let silent = Room::new(|source| {
        source.list(&["a"], "10");
        source.watch([FOR_EVER]);
        source.watch([gone("a", "11"), FOR_EVER]);
    })
    .await;
    tokio::time::sleep(Duration::from_secs(340)).await;
    assert_eq!(silent.over(), ["a"]);

    let lively = Room::new(|source| {
        source.list(&["a"], "10");
        for _ in 0..15 {
            source
                .watch([Step::Wait(Duration::from_secs(290)), Step::Tell(Event::Bookmark("11".to_owned()))]);
        }
        source.list(&["a"], "12");
        source.watch([FOR_EVER]);
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3_900)).await;
    assert_eq!(lively.source.lists_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_each_time_is_no_hot_loop() {
    let room = Room::new(|source| {
        source.list(&["a"], "10");
        (0..1_000).for_each(|_| source.watch([]));
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(room.source.asked().len() <= 62, "{}", room.source.asked().len());
}

#[tokio::test(start_paused = true)]
async fn a_connection_belongs_to_a_pod_by_its_address() {
    let on_host = Pod { on_host_network: true, ..at("host", "192.168.0.1") };
    let both =
        Pod { addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()], ..pod("dual") };
    let room = Room::new(|source| {
        let pods = vec![both, at("other", "10.0.0.2"), on_host, pod("new")];
        source.page(Listed { pods, version: "10".to_owned(), next: None });
        source.watch([FOR_EVER]);
    })
    .await;
    for (uid, address, origin) in [
        ("dual", "10.0.0.1", Ok(Origin::ItsOwn)),
        ("dual", "fd00::1", Ok(Origin::ItsOwn)),
        ("dual", "::ffff:10.0.0.1", Ok(Origin::ItsOwn)),
        ("dual", "10.0.0.2", Err(Mismatch)),
        ("dual", "192.168.0.1", Err(Mismatch)),
        ("host", "192.168.0.1", Ok(Origin::TheHosts)),
        ("host", "169.254.170.23", Ok(Origin::TheHosts)),
        ("host", "10.0.0.2", Err(Mismatch)),
        ("new", "10.0.0.9", Ok(Origin::NotKnown)),
        ("stranger", "10.0.0.1", Ok(Origin::Unknown)),
        ("", "10.0.0.1", Ok(Origin::Unknown)),
    ] {
        assert_eq!(room.pods.may_come_from(uid, address.parse().unwrap()), origin, "{uid} from {address}");
    }
}
