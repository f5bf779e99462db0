//! Store metrics: calls to the table by space, operation and outcome, and how long they took.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use storage::{
    ErrorKind,
    layer::{CacheEvent, CacheObserver, Cacheable, Call, Observer, Usage, measured::Observation},
    shape::Space,
};

use super::cost::Costs;

const SPACES: [(&str, Option<Space>); 5] = [
    ("core", Some(Space::Core)),
    ("log", Some(Space::Log)),
    ("idx", Some(Space::Idx)),
    ("ctl", Some(Space::Ctl)),
    ("none", None),
];
const CALLS: [Call; 4] = [Call::Get, Call::Query, Call::Write, Call::Partitions];
const OUTCOMES: [(&str, Option<ErrorKind>); 7] = [
    ("ok", None),
    ("conflict", Some(ErrorKind::Conflict)),
    ("throttled", Some(ErrorKind::Throttled)),
    ("unavailable", Some(ErrorKind::Unavailable)),
    ("corrupt", Some(ErrorKind::Corrupt)),
    ("not_allowed", Some(ErrorKind::NotAllowed)),
    ("too_large", Some(ErrorKind::TooLarge)),
];
/// From a read that memory answers to a disk that hangs, in seconds.
const BUCKETS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
    5.0,
];

struct Series {
    outcomes: [IntCounter; OUTCOMES.len()],
    seconds: Histogram,
}

/// Counts what [`storage::layer::Measured`] tells. All handles are looked up once. Made before the stores are opened, and
/// so before the rest of the node; [`StoreMetrics::register`] joins it to the node's metrics.
pub struct StoreMetrics {
    series: Vec<Series>,
    total: IntCounterVec,
    seconds: HistogramVec,
    lost: IntCounter,
    costs: Costs,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let total = IntCounterVec::new(
            Opts::new(
                "xmpp_store_operations_total",
                "Calls to the table, by space, operation and outcome",
            ),
            &["space", "op", "outcome"],
        )
        .expect("the name is valid");
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "xmpp_store_operation_seconds",
                "How long calls to the table took",
            )
            .buckets(BUCKETS.into()),
            &["space", "op"],
        )
        .expect("the name is valid");
        let pairs = SPACES
            .iter()
            .flat_map(|space| CALLS.iter().map(move |call| (space, call)));
        let series = pairs
            .map(|((space, _), call)| Series {
                outcomes: OUTCOMES
                    .map(|(outcome, _)| total.with_label_values(&[space, call.name(), outcome])),
                seconds: seconds.with_label_values(&[space, call.name()]),
            })
            .collect();
        Self {
            series,
            costs: Costs::default(),
            total,
            seconds,
            lost: IntCounter::new(
                "xmpp_store_lost_bytes_total",
                "Bytes that a power cut took from a store that does not sync",
            )
            .expect("the name is valid"),
        }
    }
}

impl StoreMetrics {
    /// Shows them in a registry. A second time changes nothing.
    pub fn register(&self, registry: &Registry) {
        let parts: [Box<dyn prometheus::core::Collector>; 3] = [
            Box::new(self.total.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.lost.clone()),
        ];
        for part in parts {
            // Only a repetition is refused.
            let _ = registry.register(part);
        }
        self.costs.register(registry);
    }

    fn count(
        &self,
        call: Call,
        space: Option<Space>,
        outcome: Option<ErrorKind>,
        elapsed: Duration,
    ) {
        let space = SPACES.iter().position(|(_, it)| *it == space);
        let call = CALLS.iter().position(|it| *it == call);
        let outcome = OUTCOMES.iter().position(|(_, it)| *it == outcome);
        // Calls to blobs are not measured by this layer.
        let (Some(space), Some(call), Some(outcome)) = (space, call, outcome) else {
            return;
        };
        let series = &self.series[space * CALLS.len() + call];
        series.outcomes[outcome].inc();
        series.seconds.observe(elapsed.as_secs_f64());
    }
}

impl Observer for StoreMetrics {
    fn observe(&self, it: &Observation) {
        self.count(it.call, it.space, it.outcome.err(), it.elapsed);
    }

    fn lost(&self, bytes: u64) {
        self.lost.inc_by(bytes);
    }

    fn spent(&self, usage: &Usage) {
        let outcome = OUTCOMES.iter().find(|(_, it)| *it == usage.outcome.err());
        let (outcome, _) = outcome.expect("every outcome has a name");
        self.costs.spent(usage, outcome);
    }
}

impl CacheObserver for StoreMetrics {
    fn observe(&self, what: Cacheable, event: CacheEvent) {
        self.costs.cached(what, event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_under_their_names() {
        let registry = Registry::new();
        let metrics = StoreMetrics::default();
        metrics.register(&registry);
        metrics.register(&registry);
        metrics.count(
            Call::Write,
            Some(Space::Log),
            Some(ErrorKind::Conflict),
            Duration::from_millis(3),
        );
        metrics.count(Call::Get, None, None, Duration::from_micros(7));
        metrics.count(Call::BlobGet, None, None, Duration::from_micros(7));
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let has = |line: &str| assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        has("xmpp_store_operations_total{op=\"write\",outcome=\"conflict\",space=\"log\"} 1");
        metrics.lost(512);
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        assert!(text.contains("xmpp_store_lost_bytes_total 512"), "{text}");
        has("xmpp_store_operations_total{op=\"get\",outcome=\"ok\",space=\"none\"} 1");
        has("xmpp_store_operation_seconds_bucket{op=\"write\",space=\"log\",le=\"0.0025\"} 0");
        has("xmpp_store_operation_seconds_bucket{op=\"write\",space=\"log\",le=\"0.005\"} 1");
    }
}
