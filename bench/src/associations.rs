//! `bench associations`: what a call to `pod-identity dev` costs at 10, 1,000 and 20,000 associations. All sizes run at once
//! and are asked in turn, so that a ratio is that of neighbours in time.

mod caller;
mod calls;
mod exchange;
mod growth;
mod population;
mod subject;
mod system;

use std::time::Duration;

use anyhow::Result;
use control_plane::issuer::KeyKind;

use crate::machine::{self, Awake, Precedence};
use crate::quiet::Quiet;
use crate::report::progress;
use crate::results::Results;
use crate::run;
use crate::settings::AssociationSettings;
use growth::SIZES;
use subject::Subject;
use system::{Keeping, System};

/// Measures everything, writes the results and prints them. An error if any answer was not what it should be.
pub(crate) async fn run(settings: &AssociationSettings) -> Result<()> {
    run::prepare(&settings.work, &settings.pod_identity, "POD_IDENTITY_BIN")?;
    let _precedence = settings.precedence.then(Precedence::take).transpose()?;
    let _awake = Awake::keep(&settings.work)?;
    let machine = machine::facts(&settings.pod_identity);
    machine::pin_self()?;
    let mut quiet = Quiet::new(Duration::from_secs(settings.plan.patience))?;
    let mut results = Results::default();

    let mut rsa = Vec::new();
    let mut ec = Vec::new();
    for (number, size) in (0..).zip(SIZES) {
        progress(&format!("{size} associations"));
        let (first, second) = (format!("rsa-{size}"), format!("ec-{size}"));
        let filled = System::start(settings, &first, 2 * number, Keeping::OnDisk(KeyKind::Rsa)).await?;
        population::fill(&filled, size).await?;
        // The same associations for both: the database must be closed to be copied.
        drop(filled);
        system::copy(settings, &first, &second)?;
        let filled = System::start(settings, &first, 2 * number, Keeping::OnDisk(KeyKind::Rsa)).await?;
        rsa.push(Subject::new(filled, size).await?);
        let filled = System::start(settings, &second, 2 * number + 1, Keeping::OnDisk(KeyKind::Ec)).await?;
        ec.push(Subject::new(filled, size).await?);
    }
    growth::memory(&rsa, &mut results)?;
    growth::operations(settings, &rsa, &mut quiet, &mut results).await?;
    progress("creates in memory");
    let in_memory = System::start(settings, "memory", 6, Keeping::InMemory).await?;
    population::fill(&in_memory, SIZES[0]).await?;
    let in_memory = Subject::new(in_memory, SIZES[0]).await?;
    growth::durability(settings, &rsa[0], &in_memory, &mut quiet, &mut results).await?;
    exchange::measure(settings, &mut rsa, &mut ec, &mut quiet, &mut results).await?;
    for subject in rsa.iter_mut().chain(&mut ec) {
        subject.system.process.alive()?;
    }
    run::conclude(&results, "more associations", &settings.work, machine, &quiet)
}
