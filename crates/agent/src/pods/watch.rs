//! Keeps the roster current: lists, watches, and starts over when that breaks.

use std::time::Duration;

use futures_util::StreamExt;
use runtime::chance::part;
use runtime::log::with_causes;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::api::{Event, PodSource, PodsError};
use super::metrics::State;
use super::{News, Shared};
use crate::api_server::ApiServerError;

/// After so long there is a new list in any case, should an event have been lost.
const RESYNC: Duration = Duration::from_secs(3_600);

/// The API server ends a watch sooner, and sends bookmarks in between.
const LONGEST_SILENCE: Duration = Duration::from_secs(330);

/// The pause after a first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The API server will not be asked less often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A watch that lived so long was no failure, however it ended.
const GOOD_LIFE: Duration = Duration::from_secs(30);

/// Watches forever.
pub(super) async fn run(shared: &Shared, source: &dyn PodSource, on_news: &impl Fn(News)) {
    let mut trouble = Trouble::default();
    let mut place: Option<Place> = None;
    loop {
        let error = match follow(shared, source, &mut place, &mut trouble, on_news).await {
            Ok(()) => {
                // Time for a new list, should an event have been lost.
                place = None;
                continue;
            }
            Err(error) => error,
        };
        shared.roster().is_current(false);
        shared.metrics.is(State::CutOff);
        if needs_a_new_list(&error) {
            place = None;
        }
        // That it has forgotten where we were is no fault of the API server's, unless it forgets at once again.
        if matches!(error, PodsError::TooOld) && !std::mem::replace(&mut trouble.was_too_old, true) {
            continue;
        }
        trouble.again(&error);
        let pause = FIRST_PAUSE.saturating_mul(1 << (trouble.failures - 1).min(10)).min(LONGEST_PAUSE);
        tokio::time::sleep(pause - part(pause / 2, shared.chance.draw())).await;
    }
}

/// Where the watch is.
struct Place {
    version: String,
    listed: Instant,
}

/// How often in a row something was wrong, and what operators were told of it.
#[derive(Default)]
struct Trouble {
    failures: u32,
    told: Option<String>,
    /// Whether a new list was begun at once already since a watch last lived.
    was_too_old: bool,
}

impl Trouble {
    fn again(&mut self, error: &PodsError) {
        self.failures = self.failures.saturating_add(1);
        let text = with_causes(error);
        // Every watch breaks off or is too old one day; that is no news, unless it goes on.
        let is_usual = matches!(error, PodsError::TooOld | PodsError::Broken(_) | PodsError::Ended(_));
        if self.told.as_ref() != Some(&text) && (!is_usual || self.failures > 3) {
            warn!(error = text, "{}", remedy(error));
            self.told = Some(text);
        }
    }

    fn is_over(&mut self, pods: usize) {
        if self.told.take().is_some() {
            info!(pods, "the pods of this node are known again");
        } else {
            debug!(pods, "the pods of this node are known");
        }
    }
}

/// Whether a watch cannot go on where it was.
fn needs_a_new_list(error: &PodsError) -> bool {
    match error {
        PodsError::TooOld | PodsError::Malformed(_) | PodsError::TooLong => true,
        PodsError::Ended(_) | PodsError::Broken(_) | PodsError::ApiServer(_) => false,
    }
}

/// Lists all pods, page by page; the version to watch from.
async fn list(shared: &Shared, source: &dyn PodSource, on_news: &impl Fn(News)) -> Result<String, PodsError> {
    let as_of = shared.clock.now();
    let (mut pods, mut next) = (Vec::new(), None::<String>);
    let version = loop {
        let listed = within(source.list(next.as_deref())).await?;
        pods.extend(listed.pods);
        match listed.next {
            Some(_) => next = listed.next,
            None => break listed.version,
        }
    };
    shared.metrics.listed();
    let (over, living) = {
        let mut roster = shared.roster();
        let over = roster.replace(pods);
        shared.metrics.knows(roster.len());
        (over, roster.uids().cloned().collect())
    };
    over.into_iter().for_each(|uid| on_news(News::Over(uid)));
    on_news(News::All { living, as_of });
    Ok(version)
}

/// Lists, where there is no place to go on from, and follows changes. Ends when it is time for a new list, or something is wrong.
async fn follow(
    shared: &Shared,
    source: &dyn PodSource,
    place: &mut Option<Place>,
    trouble: &mut Trouble,
    on_news: &impl Fn(News),
) -> Result<(), PodsError> {
    let mut is_certain = place.is_none();
    let place = match place {
        Some(place) => place,
        None => {
            let listed = Instant::now();
            place.insert(Place { version: list(shared, source, on_news).await?, listed })
        }
    };
    while place.listed.elapsed() < RESYNC {
        let began = Instant::now();
        let mut events = within(source.watch(&place.version)).await?;
        shared.roster().is_current(true);
        shared.metrics.is(State::Current);
        // One that goes on where another ended may yet be told that this is too long ago.
        if is_certain {
            trouble.is_over(shared.roster().len());
        }
        loop {
            let event = timeout(LONGEST_SILENCE, events.next()).await;
            if began.elapsed() >= GOOD_LIFE {
                (trouble.failures, trouble.was_too_old) = (0, false);
            }
            match event {
                Ok(Some(event)) => {
                    place.version = hear(shared, event?, on_news);
                    if !std::mem::replace(&mut is_certain, true) {
                        trouble.is_over(shared.roster().len());
                    }
                }
                // It has lived its time.
                Ok(None) => break,
                Err(_) => {
                    return Err(PodsError::Ended(format!("silent for {} s", LONGEST_SILENCE.as_secs())));
                }
            }
        }
        // One that ends as soon as it began must not be begun at once, again and again.
        if began.elapsed() < FIRST_PAUSE {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    }
    Ok(())
}

/// Takes one event; the version it brings.
fn hear(shared: &Shared, event: Event, on_news: &impl Fn(News)) -> String {
    shared.metrics.heard(shared.clock.now());
    let mut roster = shared.roster();
    let (over, version) = match event {
        Event::There(pod, version) => {
            let uid = pod.uid.clone();
            (roster.put(pod).then_some(uid), version)
        }
        Event::Gone(uid, version) => {
            roster.remove(&uid);
            (Some(uid), version)
        }
        Event::Bookmark(version) => (None, version),
    };
    shared.metrics.knows(roster.len());
    drop(roster);
    if let Some(uid) = over {
        on_news(News::Over(uid));
    }
    version
}

async fn within<T>(asked: impl Future<Output = Result<T, PodsError>>) -> Result<T, PodsError> {
    const PATIENCE: Duration = Duration::from_secs(60);
    match timeout(PATIENCE, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(PodsError::Ended(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// What to do about it, and what goes on meanwhile.
fn remedy(error: &PodsError) -> &'static str {
    match error {
        PodsError::ApiServer(ApiServerError::Forbidden { .. }) => {
            "the pods of this node are not known, the agent goes on as if all lived: let its service account list and watch pods, \
             or switch this off with --pod-watch=off"
        }
        _ => {
            "the pods of this node are not known at the moment, the agent goes on as if all lived, and tries again"
        }
    }
}
