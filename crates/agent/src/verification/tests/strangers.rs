//! No sequence of tokens, rotations, refreshes and forgeries ever gives anybody what is another pod's: drawn from seeds, checked
//! after each answer.

use std::collections::HashMap;

use eks_auth::{ErrorCode, Exchange, ExchangeError};
use identity::{Secret, TokenDigest};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use testkit::script;

use super::*;
use crate::session::{Known, Policy, SessionMetrics, Sessions};
use crate::upstream::{Pace, PaceMetrics, Upstream};

const PODS: usize = 6;
const STEPS: usize = 1_500;
const SEEDS: u64 = 6;

/// An EKS Auth that knows what the cluster has signed, and gives each pod credentials of its own.
struct Faithful {
    genuine: Mutex<HashMap<TokenDigest, usize>>,
    is_up: Mutex<bool>,
    clock: Clock,
}

impl Upstream for Faithful {
    fn exchange<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
    ) -> BoxFuture<'a, Result<Exchange, ExchangeError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            if !*self.is_up.lock().unwrap() {
                return Err(ExchangeError::Unreachable("an outage".to_owned()));
            }
            let pod = self.genuine.lock().unwrap().get(&token.digest()).copied();
            let refused = || ExchangeError::Refused {
                code: ErrorCode::InvalidToken,
                request_id: "request-1".to_owned(),
                message: "not of this cluster".to_owned(),
            };
            let pod = pod.ok_or_else(refused)?;
            let mut exchange = script::exchange(1, self.clock.now() + HOUR);
            exchange.credentials.session_token = Secret::from(format!("session of {}", name(pod)));
            Ok(exchange)
        })
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn name(pod: usize) -> String {
    format!("web-{pod}")
}

/// A token that somebody may show, and whose it is if the cluster signed it.
#[derive(Clone)]
struct Shown {
    raw: String,
    genuine: Option<usize>,
}

struct Node {
    room: Room,
    upstream: Arc<Faithful>,
    sessions: Sessions,
}

impl Node {
    fn new(seed: u64, published: &SigningKey) -> Self {
        let room = Room::new(|source| source.publish([published]));
        let upstream =
            Arc::new(Faithful { genuine: Mutex::default(), is_up: Mutex::new(true), clock: room.clock });
        let policy = Policy {
            retention: HOUR,
            // Fewer than there are pods: sessions push each other out.
            max_sessions: PODS - 2,
            renewals_per_second: 3,
            hold: Duration::from_millis(100),
            attempts: 1,
            audited: true,
        };
        let registry = Registry::new();
        let chance = Chance::seeded(seed);
        let pace = Pace::new(chance.clone(), PaceMetrics::register(&registry).unwrap());
        let metrics = SessionMetrics::register(&registry).unwrap();
        let sessions = Sessions::new(upstream.clone(), pace, room.clock, chance, policy, metrics);
        Self { room, upstream, sessions }
    }

    /// As the endpoint does it.
    async fn ask(&self, raw: &str) -> Option<String> {
        let answer = match self.sessions.look_up(raw.as_bytes()) {
            Known::Answer(answer) | Known::Ageing(answer, _) => answer,
            Known::Refused(_) => return None,
            Known::Nothing => {
                let token = ServiceAccountToken::parse(raw).ok()?;
                token.claims().check(self.room.clock.now(), &[identity::AUDIENCE.to_owned()]).ok()?;
                let owner = self.room.verification.owner(&token).await.ok()?;
                self.sessions.obtain(token, owner).await.ok()?.0
            }
        };
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        Some(answer["Token"].as_str().unwrap().to_owned())
    }
}

/// Keys of the cluster and of somebody who would like to be it.
struct Keys {
    cluster: Vec<SigningKey>,
    forger: SigningKey,
}

impl Keys {
    /// A token as the cluster makes it.
    fn genuine(&self, node: &Node, random: &mut StdRng) -> Shown {
        let pod = random.random_range(0..PODS);
        let token = node.room.token(&name(pod)).claim("jti", random.random::<u64>().to_string().into());
        let token = token.lasting(Duration::from_secs(random.random_range(600..10_000)));
        let raw = self.cluster.choose(random).unwrap().sign(&token);
        let digest = ServiceAccountToken::parse(&raw).unwrap().digest();
        node.upstream.genuine.lock().unwrap().insert(digest, pod);
        Shown { raw, genuine: Some(pod) }
    }

    /// One that claims to be a pod's.
    fn forged(&self, node: &Node, shown: &[Shown], random: &mut StdRng) -> Shown {
        let token = node.room.token(&name(random.random_range(0..PODS)));
        let real = &shown.choose(random).unwrap().raw;
        let raw = match random.random_range(0..5) {
            0 => self.forger.sign(&token),
            1 => self.forger.known_as(Some("k0")).sign(&token),
            2 => self.forger.known_as(None).sign(&token),
            3 => self.cluster[0].public_half_as_secret().sign(&token),
            _ => {
                // Another's claims over a real signature.
                let (head, _) =
                    self.forger.sign(&token).rsplit_once('.').map(|(head, _)| (head.to_owned(), ())).unwrap();
                format!("{head}.{}", real.rsplit_once('.').unwrap().1)
            }
        };
        let genuine = shown.iter().find(|known| known.raw == raw).and_then(|known| known.genuine);
        Shown { raw, genuine }
    }
}

#[tokio::test(start_paused = true)]
async fn no_sequence_of_tokens_rotations_and_forgeries_gives_anybody_what_is_another_pods() {
    for seed in 0..SEEDS {
        let mut random = StdRng::seed_from_u64(seed);
        let keys = Keys {
            cluster: (0..3).map(|number| SigningKey::ec(&format!("k{number}"))).collect(),
            forger: SigningKey::ec("of-the-forger"),
        };
        let node = Node::new(seed, &keys.cluster[0]);
        let mut shown = vec![keys.genuine(&node, &mut random)];
        let (mut given, mut refused) = (0, 0);
        for step in 0..STEPS {
            match random.random_range(0..20) {
                0..4 => shown.push(keys.genuine(&node, &mut random)),
                4..8 => shown.push(keys.forged(&node, &shown, &mut random)),
                8 => {
                    let count = random.random_range(1..=keys.cluster.len());
                    node.room.source.publish(keys.cluster.iter().take(count));
                }
                9 => node.room.source.vanish(),
                10 => *node.upstream.is_up.lock().unwrap() = random.random_bool(0.7),
                11 => tokio::time::sleep(Duration::from_secs(random.random_range(1..1_200))).await,
                _ => {
                    // Several at once: they share exchanges, or must not.
                    let asked: Vec<_> = (0..random.random_range(1..6))
                        .map(|_| shown.choose(&mut random).unwrap().clone())
                        .collect();
                    let answers = join_all(asked.iter().map(|shown| node.ask(&shown.raw))).await;
                    for (shown, answer) in asked.iter().zip(answers) {
                        let Some(answer) = answer else {
                            refused += 1;
                            continue;
                        };
                        given += 1;
                        let its_own = shown.genuine.map(|pod| format!("session of {}", name(pod)));
                        assert_eq!(Some(answer), its_own, "seed {seed}, step {step}");
                    }
                }
            }
        }
        assert!(given > 100 && refused > 100, "seed {seed}: {given} given, {refused} refused prove little");
    }
}
