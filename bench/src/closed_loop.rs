//! As many answers as a server can give: 64 connections, each asking again as soon as it was answered. By wrk, which is
//! cheaper than anything else at hand.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::machine::{self, LOAD_CORE};
use crate::open_loop::Connections;
use crate::tally::Faults;

/// Connections at work.
const CONNECTIONS: u64 = 64;

/// What to ask, of whom.
pub(crate) struct ClosedLoop<'a> {
    pub(crate) address: SocketAddr,
    /// Asked for in turn.
    pub(crate) tokens: &'a [&'a str],
    pub(crate) connections: Connections,
    pub(crate) seconds: u64,
    /// The size of each answer, head and body.
    pub(crate) answer: usize,
    /// Where the script and what it reads go.
    pub(crate) work: &'a Path,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Yield {
    pub(crate) answers: u64,
    pub(crate) seconds: f64,
    pub(crate) faults: Faults,
}

impl ClosedLoop<'_> {
    /// Runs it, on the load's core.
    pub(crate) async fn run(&self) -> Result<Yield> {
        let script = self.work.join("wrk.lua");
        let tokens = self.work.join("wrk.tokens");
        fs::write(&tokens, self.tokens.join("\n")).context("the tokens for wrk cannot be written")?;
        fs::write(&script, self.script(&tokens)).context("the script for wrk cannot be written")?;
        let mut command = machine::pinned(LOAD_CORE, "wrk");
        command.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{}s", self.seconds), "-s"]);
        command.arg(&script).arg(format!("http://{}/v1/credentials", self.address));
        let output =
            tokio::task::spawn_blocking(move || command.output()).await?.context("wrk cannot be started")?;
        self.read(&output)
    }

    fn script(&self, tokens: &Path) -> String {
        let close = match self.connections {
            Connections::KeptAlive => "",
            Connections::NewEach => "wrk.headers[\"Connection\"] = \"close\"\n",
        };
        // A single request costs wrk less when no function hands it out.
        let ask = match self.tokens {
            [token] => format!("wrk.headers[\"Authorization\"] = \"{token}\"\n"),
            _ => format!(
                "local requests, count, last = {{}}, 0, 0\n\
                 init = function()\n\
                   for token in io.lines(\"{}\") do\n\
                     wrk.headers[\"Authorization\"] = token\n\
                     count = count + 1\n\
                     requests[count] = wrk.format()\n\
                   end\n\
                 end\n\
                 request = function()\n\
                   last = last % count + 1\n\
                   return requests[last]\n\
                 end\n",
                tokens.display()
            ),
        };
        format!(
            "{ask}{close}\
             done = function(all, latency, requests)\n\
               local e = all.errors\n\
               io.write(string.format('\\n{{\"answers\":%d,\"micros\":%d,\"bytes\":%d,\"connect\":%d,\"read\":%d,\
             \"write\":%d,\"status\":%d,\"timeout\":%d}}\\n', all.requests, all.duration, all.bytes, e.connect, e.read,\
              e.write, e.status, e.timeout))\n\
             end\n"
        )
    }

    fn read(&self, output: &Output) -> Result<Yield> {
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        let summary = text.lines().find(|line| line.starts_with('{')).context("wrk gave no summary")?;
        parse(summary, self.answer).with_context(|| format!("the summary of wrk is {summary}"))
    }
}

fn parse(summary: &str, answer: usize) -> Result<Yield> {
    let summary: Value = serde_json::from_str(summary)?;
    let number = |name: &str| summary[name].as_u64().with_context(|| format!("{name} is missing"));
    let (answers, micros, bytes) = (number("answers")?, number("micros")?, number("bytes")?);
    let mut faults = Faults::default();
    for kind in ["connect", "read", "write", "status", "timeout"] {
        let count = number(kind)?;
        if count > 0 {
            faults.merge(Faults { count, first: Some(format!("wrk: {kind} error")) });
        }
    }
    // wrk checks no lengths, but it counts bytes: only the answers under way at the end may be missing.
    let wanted = answers * answer as u64;
    if bytes.abs_diff(wanted) > CONNECTIONS * answer as u64 {
        faults.add(format!("wrk: {bytes} bytes in {answers} answers of {answer}"));
    }
    ensure!(answers > 0 && micros > 0, "no answers at all");
    Ok(Yield { answers, seconds: micros as f64 / 1e6, faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(bytes: u64, status: u64) -> String {
        format!(
            r#"{{"answers":1000,"micros":2000000,"bytes":{bytes},"connect":0,"read":0,"write":0,"status":{status},"timeout":0}}"#
        )
    }

    #[test]
    fn answers_of_the_right_size_are_no_fault() {
        let wanted = Yield { answers: 1000, seconds: 2.0, faults: Faults::default() };
        assert_eq!(parse(&summary(1_000_300, 0), 1000).unwrap(), wanted);
    }

    #[test]
    fn answers_of_another_size_or_status_are_faults() {
        assert_eq!(parse(&summary(900_000, 0), 1000).unwrap().faults.count, 1);
        assert_eq!(parse(&summary(1_000_000, 7), 1000).unwrap().faults.count, 7);
        assert!(parse("{}", 1000).is_err());
    }
}
