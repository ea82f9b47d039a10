//! All figures of a run, and what went wrong in it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::figure::{Aim, Figure, Reference};
use crate::tally::Faults;

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) figures: Vec<Figure>,
    pub(crate) faults: Faults,
}

impl Results {
    /// One more figure.
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        measured: Vec<f64>,
        reference: (&'static str, Vec<f64>),
        aim: Option<Aim>,
    ) {
        let reference = Reference { name: reference.0, values: reference.1 };
        self.figures.push(Figure { what: what.into(), unit, measured, reference, aim });
    }

    /// Writes all of it.
    pub(crate) fn write(&self, file: &Path, machine: Value, quiet: Value) -> Result<()> {
        let all = json!({
            "machine": machine,
            "disturbance": quiet,
            "faults": self.faults.count,
            "first_fault": self.faults.first,
            "figures": self.figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
        });
        fs::write(file, format!("{all:#}\n")).with_context(|| format!("{} cannot be written", file.display()))
    }
}
