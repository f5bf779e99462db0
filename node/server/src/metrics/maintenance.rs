//! What was done for stores in the background.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use storage::maintenance::Work;

/// Counts work.
#[derive(Clone)]
pub struct MaintenanceMetrics {
    work: IntCounterVec,
    steps: IntCounterVec,
    round_end: IntGaugeVec,
}

impl MaintenanceMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, label: &str| {
            let counters =
                IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is valid");
            registry
                .register(Box::new(counters.clone()))
                .expect("declared once");
            counters
        };
        let round_end = IntGaugeVec::new(
            Opts::new(
                "xmpp_maintenance_round_end_timestamp_seconds",
                "When this node last saw a round of maintenance over, since 1970, by domain",
            ),
            &["domain"],
        )
        .expect("the name is valid");
        registry
            .register(Box::new(round_end.clone()))
            .expect("declared once");
        Self {
            work: counters(
                "xmpp_maintenance_work_total",
                "What maintenance did: accounts looked at, segments made, entries and bytes that went into them, bytes of their \
                 objects, items folded, messages dropped by a retention, objects looked at and swept, logs that somebody else \
                 worked on, accounts that failed, expired records removed",
                "what",
            ),
            steps: counters(
                "xmpp_maintenance_steps_total",
                "Steps of maintenance by outcome (worked, throttled, taken by another node, failed)",
                "outcome",
            ),
            round_end,
        }
    }

    /// A step ended like this.
    pub fn step(&self, outcome: &str) {
        self.steps.with_label_values(&[outcome]).inc();
    }

    /// A step did this.
    pub fn work(&self, work: &Work) {
        let parts = [
            ("accounts", work.accounts),
            ("segments", work.segments),
            ("entries", work.entries),
            ("bytes", work.bytes),
            ("object_bytes", work.object_bytes),
            ("folded", work.folded),
            ("dropped", work.dropped),
            ("objects", work.objects),
            ("swept", work.swept),
            ("raced", work.raced),
            ("failed", work.failed),
        ];
        for (what, number) in parts {
            self.work.with_label_values(&[what]).inc_by(number);
        }
    }

    /// So many expired records were removed.
    pub fn expired(&self, records: u64) {
        self.work.with_label_values(&["expired"]).inc_by(records);
    }

    /// A round of a domain is over.
    pub fn round_ended(&self, domain: &str, now_seconds: u64) {
        let seconds = i64::try_from(now_seconds).unwrap_or(i64::MAX);
        self.round_end.with_label_values(&[domain]).set(seconds);
    }
}
