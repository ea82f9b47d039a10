//! What the endpoint counts: answers under the name AWS's agent uses, and ours beside it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use runtime::scraped::{Scraped, count};
use tokio::sync::Semaphore;

use crate::refusal::{REASONS, Refusal};
use crate::session::Source;

/// From what a session answers in to beyond the longest that a pod is held.
const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 7.5];

/// Below five minutes most SDKs ask with every call, below a quarter of an hour botocore does; an hour is the least that a role session
/// lasts by default.
const REMAINING_SECONDS: [f64; 5] = [300.0, 900.0, 3_600.0, 10_800.0, 21_600.0];

/// The counters of the endpoint.
#[derive(Clone)]
pub struct EndpointMetrics {
    responses: IntCounterVec,
    /// Kept apart, as are the histograms: almost every answer is one of these, and finding them by label costs as much as the rest
    /// of counting.
    ok: IntCounter,
    refusals: IntCounterVec,
    of_session: Histogram,
    of_exchange: Histogram,
    of_refusal: Histogram,
    remaining: Histogram,
    waiting: Scraped,
}

impl EndpointMetrics {
    /// Counters in this registry.
    ///
    /// # Errors
    /// When the registry has one of the names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new("pod_identity_http_response", "Answers to pods by HTTP status");
        let responses = IntCounterVec::new(options, &["code"])?;
        let options =
            Opts::new("pod_identity_refusals_total", "Answers to pods that are no credentials, by reason");
        let refusals = IntCounterVec::new(options, &["reason"])?;
        let options = HistogramOpts::new(
            "pod_identity_request_duration_seconds",
            "Time from a request's head to its answer, by outcome: session, exchange, refused",
        );
        let durations = HistogramVec::new(options.buckets(SECONDS.to_vec()), &["outcome"])?;
        let options = HistogramOpts::new(
            "pod_identity_issued_credentials_remaining_seconds",
            "How long the credentials that pods were given had still to live",
        );
        let remaining = Histogram::with_opts(options.buckets(REMAINING_SECONDS.to_vec()))?;
        let options =
            Opts::new("pod_identity_requests_waiting", "Requests that wait for an exchange or for a renewal");
        registry.register(Box::new(responses.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(remaining.clone()))?;
        // From the start, so that the first refusal of a kind is a rise and not a beginning.
        for reason in REASONS {
            refusals.with_label_values(&[reason]);
        }
        let of = |outcome| durations.with_label_values(&[outcome]);
        Ok(Self {
            ok: responses.with_label_values(&["200"]),
            responses,
            refusals,
            of_session: of(Source::Session.as_str()),
            of_exchange: of(Source::Exchange.as_str()),
            of_refusal: of("refused"),
            remaining,
            waiting: Scraped::register(registry, options)?,
        })
    }

    /// Requests wait on these seats, of which there are so many in all.
    pub(super) fn watch_seats(&self, seats: &Arc<Semaphore>, all: usize) {
        let seats = Arc::clone(seats);
        self.waiting.is(move || Some(count(all - seats.available_permits())));
    }

    /// Credentials were given that live so much longer.
    pub(super) fn issued(&self, source: Source, took: Duration, remaining: Duration) {
        self.ok.inc();
        match source {
            Source::Session => self.of_session.observe(took.as_secs_f64()),
            Source::Exchange => self.of_exchange.observe(took.as_secs_f64()),
        }
        self.remaining.observe(remaining.as_secs_f64());
    }

    /// A pod was refused.
    pub fn refused(&self, status: StatusCode, took: Duration, refusal: &Refusal) {
        self.responses.with_label_values(&[status.as_str()]).inc();
        self.refusals.with_label_values(&[refusal.reason()]).inc();
        self.of_refusal.observe(took.as_secs_f64());
    }
}
