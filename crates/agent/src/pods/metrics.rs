//! What is counted of the watch.

use std::time::SystemTime;

use identity::to_epoch_seconds;
use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

/// What the watch is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody asked for one, or there is nobody to ask.
    Off,
    /// It has not begun, or is interrupted: everything goes on as if all pods lived.
    CutOff,
    /// What it knows is true.
    Current,
}

impl State {
    const ALL: [Self; 3] = [Self::Off, Self::CutOff, Self::Current];

    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::CutOff => "cut_off",
            Self::Current => "current",
        }
    }
}

/// The counters of the watch.
#[derive(Clone)]
pub struct PodMetrics {
    state: IntGaugeVec,
    living: IntGauge,
    lists: IntCounter,
    heard: Gauge,
}

impl PodMetrics {
    /// Counters in this registry.
    ///
    /// # Errors
    /// When the registry has the names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options =
            Opts::new("pod_identity_pod_watch_state", "1 for what the watch of this node's pods is at");
        let state = IntGaugeVec::new(options, &["state"])?;
        let living = IntGauge::new("pod_identity_pods", "Pods that live on this node, as far as is known")?;
        let lists = IntCounter::new("pod_identity_pod_lists_total", "Complete lists of this node's pods")?;
        let heard = Gauge::new(
            "pod_identity_pod_watch_heard_timestamp_seconds",
            "When the watch of pods last told something",
        )?;
        registry.register(Box::new(state.clone()))?;
        registry.register(Box::new(living.clone()))?;
        registry.register(Box::new(lists.clone()))?;
        registry.register(Box::new(heard.clone()))?;
        Ok(Self { state, living, lists, heard })
    }

    pub(super) fn is_watched(&self, is_watched: bool) {
        self.is(if is_watched { State::CutOff } else { State::Off });
    }

    pub(super) fn is(&self, now: State) {
        for state in State::ALL {
            self.state.with_label_values(&[state.as_str()]).set(i64::from(state == now));
        }
    }

    pub(super) fn knows(&self, pods: usize) {
        self.living.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(super) fn listed(&self) {
        self.lists.inc();
    }

    pub(super) fn heard(&self, now: SystemTime) {
        self.heard.set(to_epoch_seconds(now));
    }
}
