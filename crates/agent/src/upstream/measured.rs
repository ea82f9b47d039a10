//! Calls of EKS Auth, counted and timed.

use std::sync::Arc;

use eks_auth::{ErrorCode, Exchange, ExchangeError};
use futures_util::future::BoxFuture;
use identity::ServiceAccountToken;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

use super::Upstream;

/// A call takes 20 to 400 ms where all is well; an attempt is given up after 2.5 s by default.
const SECONDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.5, 5.0];

/// An upstream whose calls are counted.
pub struct Measured {
    upstream: Arc<dyn Upstream>,
    calls: IntCounterVec,
    durations: HistogramVec,
}

impl Measured {
    /// The same upstream, counted in this registry.
    ///
    /// # Errors
    /// When the registry has one of the names already.
    pub fn new(upstream: Arc<dyn Upstream>, registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let options =
            Opts::new("pod_identity_upstream_calls_total", "Calls of EKS Auth by outcome: Ok, or the error");
        let calls = IntCounterVec::new(options, &["outcome"])?;
        let options = HistogramOpts::new(
            "pod_identity_upstream_duration_seconds",
            "How long calls of EKS Auth took, by outcome: ok, refused, throttled, failed",
        );
        let durations = HistogramVec::new(options.buckets(SECONDS.to_vec()), &["outcome"])?;
        calls.with_label_values(&["Ok"]);
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        Ok(Arc::new(Self { upstream, calls, durations }))
    }
}

impl Upstream for Measured {
    fn exchange<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
    ) -> BoxFuture<'a, Result<Exchange, ExchangeError>> {
        Box::pin(async move {
            let began = Instant::now();
            let exchanged = self.upstream.exchange(token).await;
            let reason = exchanged.as_ref().err().map_or("Ok", ExchangeError::reason);
            self.calls.with_label_values(&[reason]).inc();
            let took = began.elapsed().as_secs_f64();
            self.durations.with_label_values(&[outcome(exchanged.as_ref().err())]).observe(took);
            exchanged
        })
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        self.upstream.warm_up()
    }

    fn own_credentials(&self) -> BoxFuture<'_, Result<(), String>> {
        self.upstream.own_credentials()
    }
}

/// Few, since each is a whole histogram.
fn outcome(error: Option<&ExchangeError>) -> &'static str {
    match error {
        None => "ok",
        Some(error) if error.is_throttling() => "throttled",
        Some(ExchangeError::Refused {
            code: ErrorCode::InternalServer | ErrorCode::ServiceUnavailable,
            ..
        }) => "failed",
        Some(ExchangeError::Refused { .. } | ExchangeError::RefusedCaller { .. }) => "refused",
        Some(
            ExchangeError::NoOwnCredentials(_)
            | ExchangeError::Misconfigured(_)
            | ExchangeError::Unreachable(_)
            | ExchangeError::TimedOut(_)
            | ExchangeError::Unintelligible(_),
        ) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use prometheus::TextEncoder;
    use runtime::Clock;
    use testkit::{Script, Step, TokenBuilder};

    use super::*;
    use crate::upstream::scripted::Scripted;

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_by_error_and_timed_by_what_they_mean() {
        let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_795_320_632));
        let steps = [
            Step::issue_after(Duration::from_millis(300)),
            Step::refuse(ErrorCode::Throttling),
            Step::refuse(ErrorCode::AccessDenied),
            Step::refuse(ErrorCode::InternalServer),
            Step::break_off(),
        ];
        let script = Script::new(steps, Step::issue());
        let registry = Registry::new();
        let upstream = Measured::new(Scripted::new(script, clock), &registry).unwrap();
        for _ in 0..5 {
            let _ = upstream.exchange(&TokenBuilder::of_pod("web-0", clock.now()).token()).await;
        }
        let page = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "pod_identity_upstream_calls_total{outcome=\"Ok\"} 1",
            "pod_identity_upstream_calls_total{outcome=\"ThrottlingException\"} 1",
            "pod_identity_upstream_calls_total{outcome=\"AccessDeniedException\"} 1",
            "pod_identity_upstream_calls_total{outcome=\"InternalServerException\"} 1",
            "pod_identity_upstream_duration_seconds_count{outcome=\"ok\"} 1",
            "pod_identity_upstream_duration_seconds_sum{outcome=\"ok\"} 0.3",
            "pod_identity_upstream_duration_seconds_count{outcome=\"throttled\"} 1",
            "pod_identity_upstream_duration_seconds_count{outcome=\"refused\"} 1",
            "pod_identity_upstream_duration_seconds_count{outcome=\"failed\"} 2",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
        assert!(upstream.own_credentials().await.is_err(), "those of the one that is measured");
    }
}
