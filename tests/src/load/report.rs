//! What a scenario found, as JSON on one line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::measure::Span;

/// The result of one scenario against one server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Which server, as named on the command line.
    pub server: String,
    /// Which scenario.
    pub scenario: String,
    /// How it was set.
    pub settings: BTreeMap<String, String>,
    /// What was measured; the unit is in the name.
    pub figures: BTreeMap<String, f64>,
    /// What went wrong: lost, repeated or reordered stanzas, refused logins. Empty in a good run.
    pub problems: Vec<String>,
}

impl Outcome {
    /// An empty result.
    #[must_use]
    pub fn new(server: &str, scenario: &str) -> Self {
        Self {
            server: server.to_owned(),
            scenario: scenario.to_owned(),
            ..Self::default()
        }
    }

    /// Notes a setting.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    /// Notes a figure; what is not a number is left out.
    pub fn figure(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.figures.insert(name.to_owned(), value);
        }
    }

    /// Notes `count` problems, if there are any.
    pub fn problem(&mut self, what: &str, count: u64) {
        if count > 0 {
            self.problems.push(format!("{count} {what}"));
        }
    }

    /// Notes how much was done in a span and what it cost: `{prefix}count`, `_per_s`, `_per_cpu_s`, `cpu_ms_per_1000`.
    pub fn rate(&mut self, prefix: &str, done: u64, span: &Span) {
        let done = done as f64;
        self.figure(&format!("{prefix}count"), done);
        self.figure(&format!("{prefix}per_s"), done / span.wall_s);
        self.figure(&format!("{prefix}per_cpu_s"), done / span.server_cpu_s);
        self.figure(
            &format!("{prefix}cpu_ms_per_1000"),
            span.server_cpu_s * 1e6 / done,
        );
        self.figure(&format!("{prefix}wall_s"), span.wall_s);
        self.figure(&format!("{prefix}server_cpu_s"), span.server_cpu_s);
        self.figure(&format!("{prefix}client_cpu_s"), span.client_cpu_s);
        self.figure(&format!("{prefix}other_cpu_s"), span.other_cpu_s);
    }

    /// Notes the percentiles of a histogram.
    pub fn latency(&mut self, prefix: &str, histogram: &Histogram) {
        for (name, share) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
            self.figure(&format!("{prefix}{name}"), histogram.quantile_ms(share));
        }
        self.figure(&format!("{prefix}max_ms"), histogram.max_ms());
    }
}
