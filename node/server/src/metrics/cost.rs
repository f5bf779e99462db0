//! What stores cost, where they are paid by the call: requests, units and bytes; and what a cache spares.

use prometheus::{CounterVec, IntCounterVec, Opts, Registry};
use storage::{
    layer::{CacheEvent, Cacheable, Class, Usage},
    shape::Space,
};

/// Counts what [`storage::layer::Usage`] and the cache tell.
pub(super) struct Costs {
    requests: IntCounterVec,
    retries: IntCounterVec,
    throttled: IntCounterVec,
    units: CounterVec,
    bytes: IntCounterVec,
    cache: IntCounterVec,
}

impl Default for Costs {
    fn default() -> Self {
        let counters = |name, help, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("the name is valid")
        };
        let of_call = ["space", "op"];
        Self {
            requests: counters(
                "xmpp_store_requests_total",
                "Requests to a store that is paid by the request, by space (a transaction over several counts for its first), \
                 operation, class and outcome of the call",
                &["space", "op", "class", "outcome"],
            ),
            retries: counters(
                "xmpp_store_retries_total",
                "Requests beyond the first of their call",
                &of_call,
            ),
            throttled: counters(
                "xmpp_store_throttled_total",
                "Requests that the store refused because there were too many",
                &of_call,
            ),
            units: CounterVec::new(
                Opts::new(
                    "xmpp_store_units_total",
                    "Capacity units consumed, by space and kind (read, write)",
                ),
                &["space", "kind"],
            )
            .expect("the name is valid"),
            bytes: counters(
                "xmpp_store_bytes_total",
                "Bytes of request and response bodies, by space and direction (sent, received)",
                &["space", "direction"],
            ),
            cache: counters(
                "xmpp_cache_events_total",
                "What became of reads and writes at the cache, by what was cached",
                &["what", "event"],
            ),
        }
    }
}

impl Costs {
    pub(super) fn register(&self, registry: &Registry) {
        let parts: [Box<dyn prometheus::core::Collector>; 6] = [
            Box::new(self.requests.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.throttled.clone()),
            Box::new(self.units.clone()),
            Box::new(self.bytes.clone()),
            Box::new(self.cache.clone()),
        ];
        for part in parts {
            // Only a repetition is refused.
            let _ = registry.register(part);
        }
    }

    pub(super) fn spent(&self, usage: &Usage, outcome: &str) {
        let (space, op) = (space_name(usage.space), usage.call.name());
        let add = |counters: &IntCounterVec, labels: &[&str], by: u64| {
            if by > 0 {
                counters.with_label_values(labels).inc_by(by);
            }
        };
        let class = usage.class.map_or("none", Class::name);
        let labels = [space, op, class, outcome];
        add(&self.requests, &labels, usage.requests.into());
        add(&self.retries, &[space, op], usage.retries.into());
        add(&self.throttled, &[space, op], usage.throttled.into());
        add(&self.bytes, &[space, "sent"], usage.sent);
        add(&self.bytes, &[space, "received"], usage.received);
        for (kind, units) in [("read", usage.read_units), ("write", usage.write_units)] {
            if units > 0.0 {
                self.units.with_label_values(&[space, kind]).inc_by(units);
            }
        }
    }

    pub(super) fn cached(&self, what: Cacheable, event: CacheEvent) {
        self.cache
            .with_label_values(&[what.name(), event.name()])
            .inc();
    }
}

fn space_name(space: Option<Space>) -> &'static str {
    match space {
        Some(Space::Core) => "core",
        Some(Space::Log) => "log",
        Some(Space::Idx) => "idx",
        Some(Space::Ctl) => "ctl",
        None => "blobs",
    }
}
