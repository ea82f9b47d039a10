//! Logs as one JSON object a line, with the members AWS's agent has: `level`, `msg`, `time`, and each field beside them.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};
use thiserror::Error;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::clock::Clock;

/// The crates whose events follow the level that is asked for. Everybody else's are capped, see [`targets`].
const OURS: [&str; 8] =
    ["agent", "access", "cli", "control_plane", "eks_auth", "identity", "runtime", "eks_pod_identity_agent"];

/// How much is logged, in the words AWS's agent takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Verbosity(LevelFilter);

/// The word is none of the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("one of panic, fatal, error, warn, warning, info, debug, trace")]
pub struct VerbosityError;

impl Default for Verbosity {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl Verbosity {
    /// Warnings and errors only.
    pub const WARN: Self = Self(LevelFilter::WARN);
}

impl FromStr for Verbosity {
    type Err = VerbosityError;

    fn from_str(word: &str) -> Result<Self, VerbosityError> {
        Ok(Self(match word.to_ascii_lowercase().as_str() {
            // We have no levels above error; these words ask for as little as can be had.
            "panic" | "fatal" | "error" => LevelFilter::ERROR,
            "warn" | "warning" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err(VerbosityError),
        }))
    }
}

impl fmt::Display for Verbosity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            LevelFilter::WARN => "warn",
            LevelFilter::INFO => "info",
            LevelFilter::DEBUG => "debug",
            LevelFilter::TRACE => "trace",
            _ => "error",
        })
    }
}

/// How much is logged, while it is. Clones change the same log.
#[derive(Clone, Debug)]
pub struct LogLevel {
    verbosity: Arc<Mutex<Verbosity>>,
    filter: reload::Handle<Targets, Registry>,
}

impl LogLevel {
    /// How much is logged now.
    pub fn get(&self) -> Verbosity {
        *self.verbosity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this much is logged.
    pub fn set(&self, verbosity: Verbosity) {
        *self.verbosity.lock().unwrap_or_else(PoisonError::into_inner) = verbosity;
        // Fails where the log has ended, with its process.
        let _ = self.filter.reload(targets(verbosity));
    }
}

/// Only our own crates go beyond warnings: at debug and trace, the SDK and the HTTP stack below it print requests and
/// answers with the secrets in them.
fn targets(verbosity: Verbosity) -> Targets {
    let others = verbosity.0.min(LevelFilter::WARN);
    Targets::new().with_default(others).with_targets(OURS.map(|target| (target, verbosity.0)))
}

/// Sends every event of this process to `out` from now on. Later calls in one process are ignored, and what they return
/// changes nothing.
pub fn start(verbosity: Verbosity, clock: Clock, out: impl Write + Send + 'static) -> LogLevel {
    let (filter, handle) = reload::Layer::new(targets(verbosity));
    let lines = JsonLines { out: Mutex::new(Box::new(out)), clock };
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        // A panic ends a task, not the process; its news belongs among the others.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, panic = panic.payload_as_str(), "a bug of this program, please report it");
        }));
    }
    LogLevel { verbosity: Arc::new(Mutex::new(verbosity)), filter: handle }
}

struct JsonLines {
    out: Mutex<Box<dyn Write + Send>>,
    clock: Clock,
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut members = Members(Map::new());
        event.record(&mut members);
        let Members(mut members) = members;
        let message = members.remove("message").unwrap_or_else(|| Value::from(""));
        let level = match *event.metadata().level() {
            Level::WARN => "warning",
            Level::ERROR => "error",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        members.insert("level".to_owned(), level.into());
        members.insert("msg".to_owned(), message);
        members.insert("time".to_owned(), timestamp(self.clock.now()).into());
        let mut line = Value::Object(members).to_string();
        line.push('\n');
        // A log that cannot be written must not stop what it tells of.
        if let Ok(mut out) = self.out.lock() {
            let _: io::Result<()> = out.write_all(line.as_bytes());
        }
    }
}

/// A moment as logs write it: RFC 3339, UTC, with fractions of a second.
pub fn timestamp(at: SystemTime) -> String {
    time::OffsetDateTime::from(at).format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

struct Members(Map<String, Value>);

impl Members {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        // Fields are written as AWS's agent writes them: client-addr, not client_addr.
        let name =
            if field.name() == "message" { "message".to_owned() } else { field.name().replace('_', "-") };
        self.0.insert(name, value.into());
    }
}

impl Visit for Members {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.insert(field, with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

/// An error and its causes, the nearest first, on one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    chain.join(": ")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_crates_print_secrets_below_warnings_and_are_never_let() {
        for word in ["error", "warn", "info", "debug", "trace"] {
            let targets = targets(word.parse().unwrap());
            for other in ["hyper", "aws_smithy_runtime", "rustls", "h2"] {
                assert!(!targets.would_enable(other, &Level::INFO), "{other} at {word}");
            }
            assert!(targets.would_enable("hyper", &Level::ERROR));
        }
        let trace = targets("trace".parse().unwrap());
        assert!(OURS.iter().all(|ours| trace.would_enable(ours, &Level::TRACE)));
        assert!(!targets("error".parse().unwrap()).would_enable("hyper", &Level::WARN));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_one_line_of_json_with_the_members_of_awss_agent() {
        let page = Page::default();
        let lines = JsonLines { out: Mutex::new(Box::new(page.clone())), clock: Clock::anchored(UNIX_EPOCH) };
        let error = io::Error::other(VerbosityError);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(
                client_addr = "10.0.0.1",
                tries = 3,
                error = &error as &dyn std::error::Error,
                "two\nlines"
            );
        });
        let written = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["level"], "warning");
        assert_eq!(line["msg"], "two\nlines");
        assert_eq!(line["client-addr"], "10.0.0.1");
        assert_eq!(line["tries"], 3);
        assert_eq!(line["time"], "1970-01-01T00:00:00Z");
        assert!(line["error"].as_str().unwrap().contains("one of panic"));
    }

    #[test]
    fn the_words_of_awss_agent_are_levels() {
        for word in ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace", "INFO"] {
            assert!(word.parse::<Verbosity>().is_ok(), "{word}");
        }
        assert_eq!("loud".parse::<Verbosity>(), Err(VerbosityError));
    }
}
