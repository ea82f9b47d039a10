//! The sizes side by side: every measure of the larger ones over the same of the smallest.

use anyhow::Result;

use super::calls::Called;
use super::subject::{Operation, Subject};
use crate::figure::Aim;
use crate::quiet::{Host, Quiet};
use crate::report::progress;
use crate::results::Results;
use crate::settings::AssociationSettings;
use crate::stolen::Pauses;

/// How many associations there are.
pub(super) const SIZES: [usize; 3] = [10, 1_000, 20_000];

/// How they are written.
const NAMES: [&str; 3] = ["with 10", "with 1,000", "with 20,000"];

/// What a call may cost more at more associations: the tree of the database is one or two levels higher there.
pub(super) const MOST: Aim = Aim::RatioAtMost(1.25);

/// The operations, their names, and the sizes at which they do the same work: only the larger ones have pages of 100.
const OPERATIONS: [(Operation, &str, &[usize]); 6] = [
    (Operation::Get, "get, the one in the middle", &[0, 1, 2]),
    (Operation::GetScattered, "get, another one each time", &[0, 1, 2]),
    (Operation::LastTen, "list, last page of 10", &[0, 1, 2]),
    (Operation::FirstHundred, "list, first page of 100", &[1, 2]),
    (Operation::LastHundred, "list, last page of 100", &[1, 2]),
    (Operation::Create, "create", &[0, 1, 2]),
];

/// Which sizes come in a round, each of them first in turn.
pub(super) fn order(sizes: &[usize], round: usize) -> impl Iterator<Item = usize> {
    sizes.iter().cycle().skip(round % sizes.len()).take(sizes.len()).copied()
}

/// One measure at each size, round by round.
#[derive(Default)]
pub(super) struct BySize([Vec<f64>; SIZES.len()]);

impl BySize {
    pub(super) fn push(&mut self, size: usize, value: f64) {
        self.0[size].push(value);
    }

    /// The values at that size.
    pub(super) fn at(&self, size: usize) -> &[f64] {
        &self.0[size]
    }

    /// A figure for each size but the smallest that was measured.
    pub(super) fn figures(&self, what: &str, unit: &'static str, aim: Option<Aim>, results: &mut Results) {
        let measured: Vec<usize> = (0..SIZES.len()).filter(|size| !self.0[*size].is_empty()).collect();
        let Some((smallest, larger)) = measured.split_first() else { return };
        for size in larger {
            let reference = (NAMES[*smallest], self.0[*smallest].clone());
            results.add(format!("{what}, {}", NAMES[*size]), unit, self.0[*size].clone(), reference, aim);
        }
    }
}

/// What one call takes, at each size.
#[derive(Default)]
pub(super) struct Takes {
    p50: BySize,
    p99: BySize,
    /// CPU time a call.
    cost: BySize,
}

impl Takes {
    pub(super) fn add(
        &mut self,
        size: usize,
        called: Called,
        pauses: &Pauses,
        results: &mut Results,
    ) -> Result<()> {
        let (latencies, _) = called.tally.latencies_outside(&pauses.between(called.begun, called.ended))?;
        self.p50.push(size, latencies.p50);
        self.p99.push(size, latencies.p99);
        self.cost.push(size, called.cost());
        results.faults.merge(called.tally.faults);
        Ok(())
    }

    pub(super) fn figures(&self, what: &str, results: &mut Results) {
        self.p50.figures(&format!("{what}: p50"), "µs", Some(MOST), results);
        self.p99.figures("the same: p99", "µs", None, results);
        self.cost.figures("the same: CPU time a call", "µs", Some(MOST), results);
    }
}

/// All operations on associations.
pub(super) async fn operations(
    settings: &AssociationSettings,
    subjects: &[Subject],
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    let pauses = quiet.pauses();
    for (operation, name, sizes) in OPERATIONS {
        progress(name);
        let mut takes = Takes::default();
        for round in 0..settings.plan.rounds {
            for size in order(sizes, round) {
                let measure = async || subjects[size].measure(operation).await;
                takes.add(size, quiet.round(Host::Any, measure).await?, &pauses, results)?;
            }
        }
        takes.figures(name, results);
    }
    Ok(())
}

/// What a create waits for the disk: beside the same create that is kept in memory only, at the smallest size.
pub(super) async fn durability(
    settings: &AssociationSettings,
    on_disk: &Subject,
    in_memory: &Subject,
    quiet: &mut Quiet,
    results: &mut Results,
) -> Result<()> {
    let pauses = quiet.pauses();
    let (mut disk, mut memory) = ([vec![], vec![]], [vec![], vec![]]);
    for round in 0..settings.plan.rounds {
        let mut both = [(on_disk, &mut disk), (in_memory, &mut memory)];
        if round % 2 == 1 {
            both.reverse();
        }
        for (subject, [p50, cost]) in both {
            let measure = async || subject.measure(Operation::Create).await;
            let called = quiet.round(Host::Any, measure).await?;
            let pauses = pauses.between(called.begun, called.ended);
            p50.push(called.tally.latencies_outside(&pauses)?.0.p50);
            cost.push(called.cost());
            results.faults.merge(called.tally.faults);
        }
    }
    let ([p50, cost], [p50_in_memory, cost_in_memory]) = (disk, memory);
    results.add("create with 10, on disk: p50", "µs", p50, ("in memory", p50_in_memory), None);
    results.add("the same: CPU time a call", "µs", cost, ("in memory", cost_in_memory), None);
    Ok(())
}

/// Resident memory of the systems after they were asked for all their associations.
pub(super) fn memory(subjects: &[Subject], results: &mut Results) -> Result<()> {
    let mut resident = BySize::default();
    for (size, subject) in subjects.iter().enumerate() {
        resident.push(size, subject.system.process.memory()?.resident as f64 / 1024.0);
    }
    resident.figures("memory", "MiB", None, results);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_first_in_turn() {
        let orders = [0, 1, 2, 3].map(|round| order(&[0, 1, 2], round).collect::<Vec<_>>());
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
        assert_eq!(order(&[1, 2], 3).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn larger_sizes_stand_beside_the_smallest_that_was_measured() {
        let (mut measured, mut results) = (BySize::default(), Results::default());
        for (size, value) in [(1, 2.0), (2, 2.5), (1, 4.0), (2, 4.0)] {
            measured.push(size, value);
        }
        measured.figures("list", "µs", Some(MOST), &mut results);
        let [figure] = results.figures.as_slice() else { panic!("there are two sizes") };
        assert_eq!((figure.what.as_str(), figure.reference.name), ("list, with 20,000", "with 1,000"));
        assert_eq!((figure.ratio(), figure.met()), ((1.125, 1.0, 1.25), Some(true)));
    }
}
