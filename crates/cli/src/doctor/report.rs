//! What doctor says in the end: for people, for programs, and as an exit code.

use std::process::ExitCode;

use serde::Serialize;

use super::cause::{Cause, Theme};
use super::finding::{Finding, Severity, prune};

/// The version of the JSON form. It changes when a member changes its meaning or goes; members may be added.
const SCHEMA: u32 = 1;

/// All that was found.
#[derive(Debug)]
pub(crate) struct Report(Vec<Finding>);

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    errors: usize,
    warnings: usize,
    notes: usize,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: Cause,
    theme: Theme,
    severity: Severity,
    what: &'a str,
    why: &'static str,
    remedy: &'a str,
}

impl Report {
    /// Of these findings, those that stand for themselves.
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        Self(prune(findings))
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }

    /// 0 when nothing is wrong, 1 with warnings, 2 with errors.
    pub(crate) fn code(&self) -> ExitCode {
        match self.0.iter().map(|finding| finding.severity).max() {
            Some(Severity::Error) => ExitCode::from(2),
            Some(Severity::Warning) => ExitCode::from(1),
            _ => ExitCode::SUCCESS,
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let findings = self.0.iter().map(|finding| {
            let Finding { cause, severity, what, remedy } = finding;
            Entry { id: *cause, theme: cause.theme(), severity: *severity, what, why: cause.why(), remedy }
        });
        let document = Document {
            schema: SCHEMA,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            notes: self.count(Severity::Note),
            findings: findings.collect(),
        };
        serde_json::to_string_pretty(&document).expect("a report has only members that JSON can hold")
    }

    /// For people: grouped by theme, the summary on the last line.
    pub(crate) fn text(&self, colours: bool) -> String {
        let mut lines = Vec::new();
        let mut theme = None;
        for finding in &self.0 {
            if theme != Some(finding.cause.theme()) {
                theme = Some(finding.cause.theme());
                lines.push(paint(finding.cause.theme().title(), BOLD, colours));
            }
            lines.extend(entry(finding, colours));
        }
        lines.push(String::new());
        lines.push(self.summary());
        lines.join("\n")
    }

    fn summary(&self) -> String {
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        if errors + warnings == 0 {
            return "nothing is wrong, as far as was looked".to_owned();
        }
        let mut ids: Vec<&str> = self
            .0
            .iter()
            .filter(|finding| finding.severity >= Severity::Warning)
            .map(|finding| finding.cause.id())
            .collect();
        ids.dedup();
        format!("{}, {}: {}", counted(errors, "error"), counted(warnings, "warning"), ids.join(", "))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn entry(finding: &Finding, colours: bool) -> Vec<String> {
    let Finding { cause, severity, what, remedy } = finding;
    let colour = match severity {
        Severity::Ok => GREEN,
        Severity::Note => CYAN,
        Severity::Warning => YELLOW,
        Severity::Error => RED,
    };
    let word = paint(&format!("{:7}", severity.as_str()), colour, colours);
    if *severity == Severity::Ok {
        return vec![format!("  {word}  {what}")];
    }
    let mut lines = vec![format!("  {word}  {}: {what}", cause.id())];
    if *severity >= Severity::Warning {
        lines.push(format!("           why: {}", cause.why()));
    }
    // Commands of several lines stay copyable.
    for (number, line) in remedy.lines().enumerate() {
        lines.push(format!("           {} {line}", if number == 0 { "fix:" } else { "    " }));
    }
    lines
}

const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

fn paint(text: &str, colour: &str, colours: bool) -> String {
    if colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
