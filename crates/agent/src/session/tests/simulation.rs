//! Days in the life of a large node, drawn from a seed: pods ask and rotate their tokens, EKS Auth fails in every way, the
//! clock is set forward and back. After each answer it is checked that it was one that may be given.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use runtime::Hand;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::*;

const PODS: usize = 2_000;
const DAYS: u32 = 2;

/// How long a pod waits between two asks, on average.
const BETWEEN_ASKS: Duration = Duration::from_secs(40 * 60);

/// Renewals a second.
const RATE: u32 = 10;

/// After EKS Auth has answered for so long, every session has been renewed that was due: 2,000 at [`RATE`].
const LONG_ENOUGH: Duration = Duration::from_secs(20 * 60);

/// What EKS Auth does for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weather {
    Fair,
    Slow,
    Unreachable,
    Hanging,
    Failing,
    Throttling(u32),
}

impl Weather {
    fn draw(random: &mut StdRng) -> (Self, Duration) {
        let minutes = |random: &mut StdRng, from, to| MINUTE * random.random_range(from..to);
        let kinds = [
            Self::Slow,
            Self::Unreachable,
            Self::Hanging,
            Self::Failing,
            Self::Throttling(1),
            Self::Throttling(2),
            Self::Throttling(20),
        ];
        match random.random_bool(0.5) {
            true => (Self::Fair, minutes(random, 30, 120)),
            false => (*kinds.choose(random).unwrap(), minutes(random, 1, 60)),
        }
    }

    fn is_good(self) -> bool {
        matches!(self, Self::Fair | Self::Slow)
    }

    fn step(self) -> Step {
        match self {
            Self::Fair | Self::Throttling(_) => Step::issue_after(Duration::from_millis(50)),
            Self::Slow => Step::issue_after(Duration::from_millis(2_000)),
            Self::Unreachable => Step::break_off(),
            // As the client's time budget ends it.
            Self::Hanging => Step::Fail {
                after: Duration::from_millis(2_500),
                error: ExchangeError::TimedOut(String::new()),
            },
            Self::Failing => Step::refuse(ErrorCode::InternalServer),
        }
    }
}

struct Pod {
    token: ServiceAccountToken,
    is_verified: bool,
    /// When the newest credentials it was given end, unless the clock has been set forward since.
    holds_until: Option<SystemTime>,
}

struct World {
    room: Room,
    hand: Hand,
    pods: RefCell<Vec<Pod>>,
    /// Whose each token is.
    owners: RefCell<HashMap<TokenDigest, usize>>,
    weather: RefCell<(Weather, Instant)>,
    stepped: RefCell<Instant>,
    turned: RefCell<Turn>,
    tally: RefCell<Tally>,
}

/// What had been counted when the weather turned.
struct Turn {
    at: Instant,
    asks: usize,
    calls: usize,
    throttled: usize,
}

impl Turn {
    fn now(room: &Room, asks: usize) -> Self {
        let script = &room.upstream.script;
        Self { at: Instant::now(), asks, calls: script.count(), throttled: script.throttled() }
    }
}

#[derive(Debug, Default)]
struct Tally {
    asks: usize,
    answers: usize,
    refusals: usize,
    outages: usize,
    steps: usize,
}

impl World {
    fn rotate(&self, number: usize, lifetime: Duration) {
        let token = self.room.token_lasting(&format!("web-{number}"), lifetime);
        self.owners.borrow_mut().insert(token.digest(), number);
        self.pods.borrow_mut()[number].token = token;
    }

    async fn ask(self: Rc<Self>, number: usize) {
        let (token, is_verified) = {
            let pod = &self.pods.borrow()[number];
            (pod.token.clone(), pod.is_verified)
        };
        if self.room.clock.now() >= token.claims().expires {
            // The endpoint refuses it; kubelet brings the next one.
            return;
        }
        let owner = match is_verified {
            true => Owner::Pod(PodUid::verified(&token.claims().pod().unwrap().pod.uid)),
            false => Owner::Token(token.digest()),
        };
        self.tally.borrow_mut().asks += 1;
        let held_before = self.pods.borrow()[number].holds_until;
        let began = Instant::now();
        let outcome = self.room.answer_as(owner, &token).await;
        assert!(began.elapsed() <= HOLD, "pod {number} was kept waiting for {:?}", began.elapsed());
        let now = self.room.clock.now();
        match outcome {
            Ok(answer) => self.check(number, &answer, now),
            Err(refusal) => {
                self.tally.borrow_mut().refusals += 1;
                assert_eq!(refusal.status() / 100, 5, "pod {number}: {refusal:?}");
                let (weather, since) = *self.weather.borrow();
                assert!(
                    !weather.is_good() || since.elapsed() < MINUTE,
                    "pod {number} was refused in {weather:?}: {refusal:?}"
                );
                // An unverified token that has just been rotated has to be exchanged.
                let had = held_before.filter(|until| is_verified && *until > now + Duration::from_secs(20));
                assert_eq!(
                    had, None,
                    "pod {number} was refused while there were credentials for it: {refusal:?}"
                );
            }
        }
    }

    fn check(&self, number: usize, answer: &serde_json::Value, now: SystemTime) {
        self.tally.borrow_mut().answers += 1;
        let key: usize = answer["AccessKeyId"].as_str().unwrap()[4..].parse().unwrap();
        let exchanged = self.room.upstream.script.call(key);
        assert_eq!(self.owners.borrow()[&exchanged], number, "another pod's credentials");
        let expires = identity::from_rfc3339(answer["Expiration"].as_str().unwrap()).unwrap();
        assert!(expires > now, "pod {number} was given what has expired");
        self.pods.borrow_mut()[number].holds_until = Some(expires);
        let (weather, since) = *self.weather.borrow();
        let settled = since.elapsed() > LONG_ENOUGH && self.stepped.borrow().elapsed() > LONG_ENOUGH;
        if weather.is_good() && settled {
            let left = expires.duration_since(now).unwrap();
            assert!(
                left >= MINUTE * 15,
                "pod {number} has {left:?} left though EKS Auth answered for {:?}",
                since.elapsed()
            );
        }
    }

    /// That since the weather turned there were no more calls than renewals may make and pods asked for, and that few of
    /// them were made in vain.
    fn check_pace(&self) {
        let turn = self.turned.replace(Turn::now(&self.room, self.tally.borrow().asks));
        let (weather, now) = (self.weather.borrow().0, self.turned.borrow());
        let renewals = (now.at - turn.at).as_secs_f64() * f64::from(RATE) * 1.05;
        // In an outage those who wait try again, for as long as they are held.
        let attempts = if weather.is_good() { 1 } else { 20 };
        let most = renewals + ((now.asks - turn.asks) * attempts) as f64 + 50.0;
        let calls = now.calls - turn.calls;
        assert!(calls as f64 <= most, "{calls} calls in {weather:?}, {most} were to be expected");
        let throttled = now.throttled - turn.throttled;
        assert!(throttled * 3 <= calls + 150, "{throttled} of {calls} calls in {weather:?} were in vain");
    }

    fn turn(&self, weather: Weather) {
        self.check_pace();
        let script = &self.room.upstream.script;
        script.change(weather.step());
        match weather {
            Weather::Throttling(per_second) => script.throttle(per_second),
            _ => script.stop_throttling(),
        }
        let mut present = self.weather.borrow_mut();
        // Fair after slow is no change for the better.
        if !(present.0.is_good() && weather.is_good()) {
            present.1 = Instant::now();
        }
        present.0 = weather;
        self.tally.borrow_mut().outages += usize::from(!weather.is_good());
    }

    /// Sets the clock forward or back by minutes, and some time later right again.
    fn step_clock(&self, milliseconds: i64) {
        self.hand.step(milliseconds);
        *self.stepped.borrow_mut() = Instant::now();
        self.tally.borrow_mut().steps += 1;
        // What looks expired to a clock that is ahead is forgotten, rightly as far as the agent can know.
        self.pods.borrow_mut().iter_mut().for_each(|pod| pod.holds_until = None);
    }
}

async fn simulate(seed: u64) -> Tally {
    let mut random = StdRng::seed_from_u64(seed);
    let policy = Policy { retention: HOUR / 2, renewals_per_second: RATE, max_sessions: PODS * 2, ..TRYING };
    let (room, hand) = Room::seeded(seed, policy, Script::new([], Weather::Fair.step()));
    room.keep_fresh();
    let unborn = || room.token("nobody");
    let pods = (0..PODS)
        .map(|number| Pod { token: unborn(), is_verified: number % 4 != 0, holds_until: None })
        .collect();
    let world = Rc::new(World {
        hand,
        pods: RefCell::new(pods),
        owners: RefCell::default(),
        weather: RefCell::new((Weather::Fair, Instant::now())),
        stepped: RefCell::new(Instant::now()),
        turned: RefCell::new(Turn::now(&room, 0)),
        tally: RefCell::default(),
        room,
    });
    (0..PODS).for_each(|number| world.rotate(number, HOUR * 24));

    let end = Instant::now() + HOUR * 24 * DAYS;
    let mut asks = JoinSet::new();
    let mut weather_turns = Instant::now() + HOUR;
    let mut clock_steps = Instant::now() + HOUR * 2;
    let mut wrong_by = 0;
    let average = BETWEEN_ASKS.as_secs_f64() / PODS as f64;
    while Instant::now() < end {
        let pause = -average * random.random_range(f64::MIN_POSITIVE..1.0).ln();
        sleep(Duration::from_secs_f64(pause)).await;
        let number = random.random_range(0..PODS);
        // Kubelet rotates a token at four fifths of its life.
        let age = world.room.clock.now() + HOUR * 24 / 5;
        if age >= world.pods.borrow()[number].token.claims().expires {
            world.rotate(number, HOUR * 24);
        }
        asks.spawn_local(Rc::clone(&world).ask(number));
        while let Some(ended) = asks.try_join_next() {
            ended.unwrap();
        }
        if Instant::now() >= weather_turns {
            let (weather, lasts) = Weather::draw(&mut random);
            world.turn(weather);
            weather_turns = Instant::now() + lasts;
        }
        if Instant::now() >= clock_steps {
            // Right again, or wrong by up to eight minutes.
            let next = if wrong_by == 0 { random.random_range(-480_000..480_000) } else { 0 };
            world.step_clock(next - wrong_by);
            wrong_by = next;
            clock_steps = Instant::now() + HOUR * random.random_range(1..6);
        }
    }
    while let Some(ended) = asks.join_next().await {
        ended.unwrap();
    }
    world.tally.take()
}

#[tokio::test(start_paused = true)]
async fn in_days_of_all_weathers_no_pod_gets_what_it_should_not_or_misses_what_it_could_have() {
    let tally = LocalSet::new().run_until(simulate(1)).await;
    assert!(tally.answers > 100_000 && tally.outages > 10 && tally.steps > 5, "{tally:?}");
    assert!(tally.refusals * 10 < tally.answers, "{tally:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; run by hand after changes of the session room"]
async fn the_same_with_ten_more_seeds() {
    for seed in 2..12 {
        LocalSet::new().run_until(simulate(seed)).await;
    }
}
