//! Gauges that are computed when they are scraped: what is known anyway need not be counted a second time, and cannot go astray.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Opts, Registry};

type Samples = dyn Fn() -> Vec<(&'static str, f64)> + Send + Sync;

/// A gauge, or one for each value of a label. Without anybody to ask it has no samples. Clones are the same gauge.
#[derive(Clone)]
pub struct Scraped(Arc<Shared>);

struct Shared {
    kind: Kind,
    ask: Mutex<Option<Arc<Samples>>>,
}

enum Kind {
    One(Gauge),
    ByLabel(GaugeVec),
}

impl Scraped {
    /// A gauge in this registry.
    ///
    /// # Errors
    /// When the registry has the name already.
    pub fn register(registry: &Registry, options: Opts) -> prometheus::Result<Self> {
        Self::of(registry, Kind::One(Gauge::with_opts(options)?))
    }

    /// A gauge for each value of a label.
    ///
    /// # Errors
    /// When the registry has the name already.
    pub fn register_by(registry: &Registry, options: Opts, label: &str) -> prometheus::Result<Self> {
        Self::of(registry, Kind::ByLabel(GaugeVec::new(options, &[label])?))
    }

    fn of(registry: &Registry, kind: Kind) -> prometheus::Result<Self> {
        let gauge = Self(Arc::new(Shared { kind, ask: Mutex::default() }));
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// From now on, this is its value; `None` is no sample.
    pub fn is(&self, value: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        self.are(move || value().map(|value| ("", value)).into_iter().collect());
    }

    /// From now on, these are its values by label.
    pub fn are(&self, values: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static) {
        *self.0.ask.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(values));
    }
}

impl Collector for Scraped {
    fn desc(&self) -> Vec<&Desc> {
        match &self.0.kind {
            Kind::One(gauge) => gauge.desc(),
            Kind::ByLabel(gauges) => gauges.desc(),
        }
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Cloned, so that who is asked may take its time and its own locks.
        let ask = self.0.ask.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let samples = ask.map(|ask| ask()).unwrap_or_default();
        match &self.0.kind {
            Kind::One(gauge) => {
                let Some((_, value)) = samples.first() else { return Vec::new() };
                gauge.set(*value);
                gauge.collect()
            }
            Kind::ByLabel(gauges) => {
                gauges.reset();
                samples.iter().for_each(|(label, value)| gauges.with_label_values(&[*label]).set(*value));
                gauges.collect()
            }
        }
    }
}

/// A count as a gauge's value.
#[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
pub fn count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn a_value_is_asked_for_at_each_scrape_and_may_be_missing() {
        let registry = Registry::new();
        let gauge = Scraped::register(&registry, Opts::new("waiting", "of requests")).unwrap();
        assert_eq!(page(&registry), "");
        let value = Arc::new(Mutex::new(Some(3.0)));
        let asked = Arc::clone(&value);
        gauge.is(move || *asked.lock().unwrap());
        assert!(page(&registry).ends_with("\nwaiting 3\n"));
        *value.lock().unwrap() = None;
        assert_eq!(page(&registry), "");
    }

    #[test]
    fn a_label_that_is_not_told_any_more_is_gone() {
        let registry = Registry::new();
        let gauges = Scraped::register_by(&registry, Opts::new("sessions", "by state"), "state").unwrap();
        gauges.are(|| vec![("fresh", 2.0), ("due", 1.0)]);
        assert!(page(&registry).contains("sessions{state=\"fresh\"} 2\n"));
        gauges.are(|| vec![("due", 1.0)]);
        assert!(!page(&registry).contains("fresh"));
    }
}
