//! A new connection's way through chains of rules. Each rule has been compared with the packet already: it matches, it does not,
//! or it cannot be told from here. From the first undecided rule on that could end the way, nothing is certain any more.

use std::collections::HashMap;
use std::net::IpAddr;

/// The first packet of a pod's request: TCP, from another host than this one, to the agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) to: IpAddr,
    pub(super) port: u16,
}

/// Whether a rule matches the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    Unknown,
}

impl Match {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Match {
    fn from(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Counts, logs, marks: the packet goes on.
    Nothing,
    Accept,
    Return,
    /// `dropped` or `rejected`.
    Drop(&'static str),
    /// To whom.
    Redirect(String),
    /// Into another chain, and back.
    Jump(String),
    /// Into another chain, and not back.
    Goto(String),
    /// Nobody here knows.
    Unknown,
}

/// One rule, compared with the packet.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) matches: Match,
    pub(super) action: Action,
    /// As its tool writes it.
    pub(super) text: String,
}

/// A chain that the kernel itself enters.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Its name, with its table.
    pub(super) name: String,
    /// Where the rules are: `(table, chain)`.
    pub(super) chain: String,
    /// Whether what no rule decides is dropped.
    pub(super) drops: bool,
}

/// All rules for packets that arrive here, in the order in which the kernel asks them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ruleset {
    pub(super) bases: Vec<Base>,
    pub(super) chains: HashMap<String, Vec<Rule>>,
}

/// What becomes of the packet, as far as that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, or may arrive.
    Arrives,
    Redirected {
        target: String,
        rule: String,
        chain: String,
    },
    Dropped {
        how: &'static str,
        rule: String,
        chain: String,
    },
}

/// How a chain was left.
enum Left {
    /// At its end, or by a return.
    Through,
    /// For good, and the packet lives.
    Accepted,
    /// It cannot be told.
    Lost,
    Ended(Fate),
}

/// Real chains are a handful deep; the kernel allows no circles.
const DEEPEST: usize = 64;

impl Ruleset {
    pub(super) fn fate(&self) -> Fate {
        for base in &self.bases {
            match self.walk(&base.chain, &base.name, 0) {
                Left::Ended(fate) => return fate,
                Left::Through if base.drops => {
                    return Fate::Dropped {
                        how: "dropped",
                        rule: "no rule accepts it, and the chain's policy is to drop".to_owned(),
                        chain: base.name.clone(),
                    };
                }
                Left::Through | Left::Accepted | Left::Lost => {}
            }
        }
        Fate::Arrives
    }

    fn walk(&self, chain: &str, base: &str, depth: usize) -> Left {
        let Some(rules) = self.chains.get(chain).filter(|_| depth < DEEPEST) else { return Left::Lost };
        for rule in rules {
            let certain = match rule.matches {
                Match::No => continue,
                Match::Yes => true,
                Match::Unknown => false,
            };
            let left = match &rule.action {
                Action::Nothing => continue,
                Action::Return => Left::Through,
                Action::Accept => Left::Accepted,
                Action::Unknown => Left::Lost,
                Action::Drop(how) => {
                    Left::Ended(Fate::Dropped { how, rule: rule.text.clone(), chain: base.to_owned() })
                }
                Action::Redirect(target) => Left::Ended(Fate::Redirected {
                    target: target.clone(),
                    rule: rule.text.clone(),
                    chain: base.to_owned(),
                }),
                Action::Jump(next) => match self.walk(next, base, depth + 1) {
                    Left::Through => continue,
                    left => left,
                },
                Action::Goto(next) => self.walk(next, base, depth + 1),
            };
            return if certain { left } else { Left::Lost };
        }
        Left::Through
    }
}

/// Whether an address is in a network such as `10.0.0.0/8`; `None` if that is none.
pub(in crate::doctor) fn is_within(address: IpAddr, network: &str) -> Option<bool> {
    let (base, length) = match network.split_once('/') {
        Some((base, length)) => (base, Some(length)),
        None => (network, None),
    };
    let base: IpAddr = base.parse().ok()?;
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32_u32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let ((ours, width), (theirs, other_width)) = (bits(address), bits(base));
    if width != other_width {
        return Some(false);
    }
    let length = match length {
        None => width,
        Some(text) => match text.parse::<u32>() {
            Ok(length) if length <= width => length,
            // A netmask in full, as old rules have it.
            _ => match (text.parse::<IpAddr>().ok()?, width) {
                (IpAddr::V4(mask), 32) if mask.to_bits().leading_ones() == mask.to_bits().count_ones() => {
                    mask.to_bits().count_ones()
                }
                _ => return None,
            },
        },
    };
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
    Some(ours & mask == theirs & mask)
}
