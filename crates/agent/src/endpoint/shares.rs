//! Fair shares: how much of the agent one source of requests may use, so that no pod costs its neighbours anything. Cached
//! answers count against a ceiling that only a flood reaches; exchanges, which cost the account, against a smaller one.
//!
//! A source is an address. Behind the node's own addresses are many: pods on the host's network. They are told apart by
//! what they send.

use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use lru::LruCache;
use tokio::time::Instant;

use crate::refusal::Refusal;

/// Sources that are remembered. Far more than a node has pods; beyond that the one that was quiet longest starts anew.
const MOST_SOURCES: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// What each may do a second. Twice as much may come at once, exchanges of one source five times.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Requests of one source.
    pub requests_of_source: NonZeroU32,
    /// New tokens of one source.
    pub exchanges_of_source: NonZeroU32,
    /// New tokens of all sources together.
    pub exchanges: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        let rate = |rate| NonZeroU32::new(rate).expect("not zero");
        Self { requests_of_source: rate(2_000), exchanges_of_source: rate(20), exchanges: rate(2_000) }
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Elapsed, NoOpMiddleware<Duration>>;

/// Time since the start, by tokio's clock: paused tests move it.
#[derive(Clone, Copy, Debug)]
struct Elapsed(Instant);

impl Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Who a request comes from: an address, and behind the node's own something that tells its users apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(IpAddr, u64);

struct Share {
    requests: Limiter,
    exchanges: Limiter,
}

/// The shares of all sources.
pub(super) struct Shares {
    rates: Rates,
    clock: Elapsed,
    of_the_node: Vec<IpAddr>,
    hashing: RandomState,
    exchanges: Limiter,
    sources: Mutex<LruCache<Source, Share, RandomState>>,
}

impl Shares {
    /// Full shares for everybody. `bound` are the agent's own addresses: whoever comes from one is on the host's network.
    pub(super) fn new(rates: Rates, bound: impl IntoIterator<Item = IpAddr>) -> Self {
        let clock = Elapsed(Instant::now());
        // Not `with_hasher`: that takes memory for all sources at the start.
        let mut sources = LruCache::unbounded_with_hasher(RandomState::default());
        sources.resize(MOST_SOURCES);
        Self {
            rates,
            clock,
            of_the_node: bound.into_iter().collect(),
            hashing: RandomState::default(),
            exchanges: limiter(rates.exchanges, 2, clock),
            sources: Mutex::new(sources),
        }
    }

    /// Takes one request with that token out of its source's share.
    pub(super) fn take_request(&self, peer: SocketAddr, token: &[u8]) -> Result<(), Refusal> {
        let granted = self.share(peer, token, |share| share.requests.check().is_ok());
        if granted {
            Ok(())
        } else {
            Err(Refusal::ShareUsedUp("it makes more requests a second than one source may"))
        }
    }

    /// Takes one exchange for that pod out of its source's share, and out of what all have together.
    pub(super) fn take_exchange(&self, peer: SocketAddr, pod: &str) -> Result<(), Refusal> {
        if !self.share(peer, pod.as_bytes(), |share| share.exchanges.check().is_ok()) {
            return Err(Refusal::ShareUsedUp("it shows more new tokens a second than one source may"));
        }
        // Last, so that a source without a share takes nothing from the others.
        self.exchanges.check().map_err(|_| Refusal::TooBusy)
    }

    fn share<T>(&self, peer: SocketAddr, user: &[u8], take: impl FnOnce(&Share) -> T) -> T {
        let address = peer.ip().to_canonical();
        let is_the_nodes = address.is_loopback() || self.of_the_node.contains(&address);
        let source = Source(address, if is_the_nodes { self.hashing.hash_one(user) } else { 0 });
        // A share is complete at any time, whatever panicked elsewhere.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        take(sources.get_or_insert(source, || Share {
            requests: limiter(self.rates.requests_of_source, 2, self.clock),
            exchanges: limiter(self.rates.exchanges_of_source, 5, self.clock),
        }))
    }
}

fn limiter(per_second: NonZeroU32, seconds_at_once: u32, clock: Elapsed) -> Limiter {
    let at_once = per_second.saturating_mul(NonZeroU32::new(seconds_at_once).unwrap_or(NonZeroU32::MIN));
    RateLimiter::direct_with_clock(Quota::per_second(per_second).allow_burst(at_once), clock)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn shares() -> Shares {
        let rate = |rate| NonZeroU32::new(rate).unwrap();
        let rates =
            Rates { requests_of_source: rate(100), exchanges_of_source: rate(10), exchanges: rate(60) };
        Shares::new(rates, [IpAddr::from([169, 254, 170, 23])])
    }

    fn pod(number: u8) -> SocketAddr {
        ([10, 0, 0, number], 40_000).into()
    }

    fn requests(shares: &Shares, peer: SocketAddr, token: &[u8], count: usize) -> usize {
        (0..count).filter(|_| shares.take_request(peer, token).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_pod_costs_its_neighbour_nothing() {
        let shares = shares();
        let mut served = 0;
        for _ in 0..10 {
            served += requests(&shares, pod(1), b"flood", 500);
            assert_eq!(requests(&shares, pod(2), b"modest", 1), 1);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((1_000..=1_200).contains(&served), "{served} of 5,000 in ten seconds at 100 a second");
    }

    #[tokio::test(start_paused = true)]
    async fn new_tokens_have_a_share_of_their_own_and_nobody_can_use_up_what_all_have() {
        let shares = shares();
        let of =
            |peer, count: usize| (0..count).filter(|_| shares.take_exchange(peer, "uid").is_ok()).count();
        assert_eq!(of(pod(1), 1_000), 50, "five seconds' worth at once");
        assert_eq!(of(pod(2), 1_000), 50);
        assert_eq!(of(pod(3), 1_000), 20, "what is left of all exchanges");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(of(pod(1), 1_000), 10);
        assert_eq!(of(pod(4), 50), 50);
        assert_eq!(shares.take_exchange(pod(4), "uid").unwrap_err().code(), "SourceTooBusy");
        assert_eq!(requests(&shares, pod(1), b"known", 100), 100, "cached answers are another share");
    }

    #[tokio::test(start_paused = true)]
    async fn pods_on_the_hosts_network_are_told_apart_by_what_they_send() {
        let shares = shares();
        for node in ["169.254.170.23:1", "127.0.0.1:1", "[::1]:1", "[::ffff:169.254.170.23]:1"] {
            let node = node.parse().unwrap();
            assert_eq!(requests(&shares, node, format!("flood at {node}").as_bytes(), 500), 200);
            assert_eq!(requests(&shares, node, format!("modest at {node}").as_bytes(), 1), 1);
        }
        assert_eq!(requests(&shares, pod(1), b"one token", 150), 150);
        assert_eq!(requests(&shares, pod(1), b"another", 150), 50, "one pod, whatever it sends");
    }

    #[tokio::test(start_paused = true)]
    async fn many_sources_are_no_way_to_fill_memory() {
        let shares = shares();
        for number in 0..10_000_u32 {
            let peer = SocketAddr::new(Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(number)).into(), 1);
            shares.take_request(peer, b"token").unwrap();
        }
        assert_eq!(shares.sources.lock().unwrap().len(), MOST_SOURCES.get());
    }
}
