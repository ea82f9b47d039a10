//! Exchanges through EKS Auth's API, each for a new pod with a token of its own, signed with RSA or on P-256.

use anyhow::Result;

use super::growth::{BySize, MOST, SIZES, Takes, order};
use super::subject::{Subject, Whose};
use crate::figure::Aim;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::settings::AssociationSettings;

/// Exchanges of one attempt, one after the other, for the association in the middle.
const ONE_BY_ONE: usize = 1_000;
/// Exchanges of one attempt, as many as there can be, another association each time, and over how many connections.
const AT_ONCE: usize = 2_000;
const CONNECTIONS: usize = 16;

/// The inverse of what a call may cost more.
const LEAST: Aim = Aim::RatioAtLeast(0.8);

/// How long an exchange takes and how many there are a second, at each size, with tokens of both kinds in turn.
pub(super) async fn measure(
    settings: &AssociationSettings,
    rsa: &mut [Subject],
    ec: &mut [Subject],
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    progress("exchanges");
    let pauses = quiet.pauses();
    let (mut of_rsa, mut of_ec) = (Exchanges::default(), Exchanges::default());
    let sizes: Vec<usize> = (0..SIZES.len()).collect();
    for round in 0..settings.plan.rounds {
        for size in order(&sizes, round) {
            for (subjects, exchanges) in [(&mut *rsa, &mut of_rsa), (&mut *ec, &mut of_ec)] {
                let subject = &mut subjects[size];
                let called = quiet
                    .round(Host::Any, async || subject.exchange(Whose::Middle, ONE_BY_ONE, 1).await)
                    .await?;
                exchanges.takes.add(size, called, &pauses, results)?;
                let called = quiet
                    .round(Host::Fair, async || {
                        subject.exchange(Whose::Scattered, AT_ONCE, CONNECTIONS).await
                    })
                    .await?;
                exchanges.rate.push(size, called.rate());
                exchanges.cost.push(size, called.cost());
                results.faults.merge(called.tally.faults);
            }
        }
    }
    of_rsa.figures("RSA", results);
    of_ec.figures("EC", results);
    for (size, name) in [(0, "with 10"), (2, "with 20,000")] {
        let what = format!("exchanges a second over {CONNECTIONS} connections, EC tokens, {name}");
        let rsa = of_rsa.rate.at(size).to_vec();
        results.add(what, "/s", of_ec.rate.at(size).to_vec(), ("RSA tokens", rsa), None);
        let rsa = of_rsa.cost.at(size).to_vec();
        let what = "the same: CPU time a call";
        results.add(what, "µs", of_ec.cost.at(size).to_vec(), ("RSA tokens", rsa), None);
    }
    Ok(())
}

/// Exchanges with tokens of one kind.
#[derive(Default)]
struct Exchanges {
    takes: Takes,
    /// Calls a second, where as many as possible are made.
    rate: BySize,
    /// CPU time a call there.
    cost: BySize,
}

impl Exchanges {
    fn figures(&self, kind: &str, results: &mut Results) {
        self.takes.figures(&format!("exchange, {kind} token"), results);
        let what = format!("exchanges a second over {CONNECTIONS} connections, {kind} tokens");
        self.rate.figures(&what, "/s", Some(LEAST), results);
        self.cost.figures("the same: CPU time a call", "µs", Some(MOST), results);
    }
}
