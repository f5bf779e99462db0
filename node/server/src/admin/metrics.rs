//! The metrics of this node.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{
    Administrator, Response,
    answers::{Family, Page, Sample},
    running,
};

impl Administrator {
    pub(super) fn all_metrics(&self) -> Result<Response, Response> {
        let families = running(self.metrics.as_ref())?.gather();
        let items = families.iter().map(family).collect();
        Ok(Response::Metrics(Page { items, next: None }))
    }
}

fn family(family: &MetricFamily) -> Family {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM | MetricType::SUMMARY => "histogram",
        MetricType::GAUGE | MetricType::UNTYPED => "gauge",
    };
    let sample = |metric: &Metric| {
        let (value, count) = match family.get_field_type() {
            MetricType::COUNTER => (metric.get_counter().get_value(), None),
            MetricType::HISTOGRAM | MetricType::SUMMARY => {
                let histogram = metric.get_histogram();
                let count = histogram.get_sample_count();
                (histogram.get_sample_sum(), Some(count))
            }
            MetricType::GAUGE | MetricType::UNTYPED => (metric.get_gauge().get_value(), None),
        };
        let labels = metric
            .get_label()
            .iter()
            .map(|label| (label.name().to_owned(), label.value().to_owned()))
            .collect();
        Sample {
            labels,
            value,
            count,
        }
    };
    Family {
        name: family.name().to_owned(),
        help: family.help().to_owned(),
        kind: kind.to_owned(),
        samples: family.get_metric().iter().map(sample).collect(),
    }
}
