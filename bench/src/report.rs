//! What a person reads: progress while it runs, and a table at the end.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of this tool is its purpose")]

use std::fmt::Write;

use crate::figure::{Figure, median};
use crate::results::Results;

/// A line of progress, apart from the output.
pub(crate) fn progress(text: &str) {
    eprintln!("bench: {text}");
}

/// A piece of the output.
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// The figures of `subject` as a markdown table.
pub(crate) fn table(results: &Results, subject: &str) -> String {
    let mut table = format!(
        "| what | {subject} | compared with | ratio (least–greatest) | aim | met |\n|---|---|---|---|---|---|\n",
    );
    for figure in &results.figures {
        // Writing to a String does not fail.
        let _ = writeln!(table, "{}", row(figure));
    }
    table
}

fn row(figure: &Figure) -> String {
    let ratio = match figure.ratio() {
        (ratio, least, greatest) if [ratio, least, greatest].iter().all(|value| value.is_finite()) => {
            format!("{ratio:.2} ({least:.2}–{greatest:.2})")
        }
        _ => "–".to_owned(),
    };
    let met = match figure.met() {
        None => "",
        Some(true) => "yes",
        Some(false) => "**no**",
    };
    format!(
        "| {} | {} {unit} | {}: {} {unit} | {ratio} | {} | {met} |",
        figure.what,
        number(median(&figure.measured)),
        figure.reference.name,
        number(median(&figure.reference.values)),
        figure.aim_text(),
        unit = figure.unit,
    )
}

/// Three digits or so: more than that is noise.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Aim;

    #[test]
    fn a_row_shows_values_ratio_and_verdict() {
        let mut results = Results::default();
        results.add("idle", "MiB", vec![6.0], ("nginx", vec![12.345]), Some(Aim::AtMost(8.0)));
        let wanted = "| idle | 6 MiB | nginx: 12.3 MiB | 0.49 (0.49–0.49) | ≤ 8 MiB | yes |";
        assert_eq!(table(&results, "agent").lines().last(), Some(wanted));
        results.add("none", "%", vec![0.0, 1.0], ("nginx", vec![0.0, 1.0]), None);
        assert_eq!(
            table(&results, "agent").lines().last(),
            Some("| none | 0.50 % | nginx: 0.50 % | – |  |  |")
        );
    }
}
