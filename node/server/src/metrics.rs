//! Every metric, declared once.
//!
//! Names are `xmpp_<area>_<what>_<unit>`; labels come from closed sets and from configured domains, never from addresses.
//! What is counted as it happens is a counter here; what is looked up is set by a callback at a scrape, see
//! [`Metrics::on_scrape`] and [`crate::gauges`].

mod cluster;
mod cost;
mod maintenance;
mod process;
mod rooms;
mod store;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    proto::MetricFamily,
};

pub use cluster::ClusterMetrics;
pub use maintenance::MaintenanceMetrics;
pub use rooms::RoomMetrics;
pub use store::StoreMetrics;

/// Sets gauges before they are read.
type Look = Box<dyn Fn(&Gauges) + Send + Sync>;

/// What is looked up at a scrape.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// Bound sessions, parked ones included.
    pub sessions: IntGauge,
    /// Sessions whose connection broke and that can be resumed.
    pub parked: IntGauge,
    /// Stanzas for accounts of other nodes that wait for an answer.
    pub unanswered: IntGauge,
    /// Homes in memory.
    pub homes: IntGauge,
    /// Rosters in memory.
    pub rosters: IntGauge,
    /// Accounts with a session.
    pub accounts: IntGauge,
    /// Tasks that a stop waits for.
    pub tasks: IntGauge,
    /// Open connections, by listener (`c2s`, `c2s_tls`).
    pub connections: IntGaugeVec,
    /// Connections refused since the start, by reason; a counter in all but its type.
    pub refused: IntGaugeVec,
    /// 1 while the store takes writes.
    pub store_writable: IntGauge,
    /// The end of each certificate, in seconds since 1970, by its first name.
    pub certificate_expiry: IntGaugeVec,
    resident: IntGauge,
    cpu: Gauge,
    threads: IntGauge,
    open_files: IntGauge,
}

/// The metrics. Handles are held here, so that nothing looks up a label on a stanza's way.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    gauges: Gauges,
    looks: Arc<Mutex<Vec<Look>>>,
    /// Messages routed.
    pub messages: IntCounter,
    /// IQ requests handled by the server.
    pub iqs: IntCounter,
    /// Presence stanzas handled.
    pub presences: IntCounter,
    /// Stanza errors sent.
    pub errors_sent: IntCounter,
    /// Appends to a log that failed and were repeated.
    pub append_failures: IntCounter,
    /// Logins, by mechanism class and outcome.
    pub logins: IntCounterVec,
    /// Logins that were told to come again: too many came at once.
    pub logins_deferred: IntCounter,
    /// Logins that wait for their turn.
    pub logins_waiting: IntGauge,
    /// Resumptions, by outcome.
    pub resumptions: IntCounterVec,
    /// Resumptions of sessions that were not found, by cause.
    pub resumptions_missed: IntCounterVec,
    /// Sessions of which no other node knows for now, though they may be resumed, by cause.
    pub unreplicated: IntCounterVec,
    /// Sessions that moved to another node or came from one, by what became of their connections.
    pub moved_sessions: IntCounterVec,
    /// Sessions ended because their client read too slowly.
    pub overruns: IntCounter,
    /// Connections taken in.
    pub connections: IntCounter,
    /// Stream errors sent, by condition.
    pub stream_errors: IntCounterVec,
    /// What was done for stores in the background.
    pub maintenance: MaintenanceMetrics,
    /// Rooms (XEP-0045).
    pub rooms: RoomMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name is valid");
            registry
                .register(Box::new(counter.clone()))
                .expect("declared once");
            counter
        };
        let labelled = |name: &str, help: &str, labels: &[&str]| {
            let counter =
                IntCounterVec::new(Opts::new(name, help), labels).expect("the name is valid");
            registry
                .register(Box::new(counter.clone()))
                .expect("declared once");
            counter
        };
        let logins_waiting =
            IntGauge::new("xmpp_c2s_logins_waiting", "Logins that wait for their turn");
        let logins_waiting = logins_waiting.expect("the name is valid");
        registry
            .register(Box::new(logins_waiting.clone()))
            .expect("declared once");
        Self {
            messages: counter("xmpp_stanzas_messages_total", "Messages routed"),
            iqs: counter(
                "xmpp_stanzas_iqs_total",
                "IQ requests answered by the server",
            ),
            presences: counter("xmpp_stanzas_presences_total", "Presence stanzas handled"),
            errors_sent: counter("xmpp_stanzas_errors_total", "Stanza errors sent"),
            append_failures: counter(
                "xmpp_log_append_failures_total",
                "Appends to a log that failed and were repeated",
            ),
            logins: labelled("xmpp_c2s_logins_total", "Logins by outcome", &["outcome"]),
            logins_deferred: counter(
                "xmpp_c2s_logins_deferred_total",
                "Logins told to come again because too many came at once",
            ),
            logins_waiting,
            resumptions: labelled(
                "xmpp_c2s_resumptions_total",
                "Resumptions by outcome",
                &["outcome"],
            ),
            resumptions_missed: labelled(
                "xmpp_c2s_resumptions_missed_total",
                "Resumptions of sessions that were not found, by cause: ended here, left_behind by a node that is gone, \
                 moved from a node that lives, unknown",
                &["cause"],
            ),
            unreplicated: labelled(
                "xmpp_c2s_unreplicated_total",
                "Resumable sessions that another node stopped to know of, by cause",
                &["cause"],
            ),
            moved_sessions: labelled(
                "xmpp_c2s_moved_sessions_total",
                "Sessions that moved, by what became of their connections",
                &["outcome"],
            ),
            overruns: counter(
                "xmpp_c2s_overruns_total",
                "Sessions ended because their client read too slowly",
            ),
            connections: counter("xmpp_c2s_connections_total", "Connections taken in"),
            stream_errors: labelled(
                "xmpp_c2s_stream_errors_total",
                "Stream errors sent by condition",
                &["condition"],
            ),
            maintenance: MaintenanceMetrics::register(&registry),
            rooms: RoomMetrics::register(&registry),
            gauges: Gauges::register(&registry),
            looks: Arc::default(),
            registry,
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Gauges {
    fn register(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("the name is valid");
            registry
                .register(Box::new(gauge.clone()))
                .expect("declared once");
            gauge
        };
        let labelled = |name: &str, help: &str, label: &str| {
            let gauge =
                IntGaugeVec::new(Opts::new(name, help), &[label]).expect("the name is valid");
            registry
                .register(Box::new(gauge.clone()))
                .expect("declared once");
            gauge
        };
        let cpu = Gauge::new("process_cpu_seconds_total", "Processor time used")
            .expect("the name is valid");
        registry
            .register(Box::new(cpu.clone()))
            .expect("declared once");
        Self {
            sessions: gauge("xmpp_c2s_sessions", "Bound sessions, parked ones included"),
            parked: gauge(
                "xmpp_c2s_parked_sessions",
                "Sessions that wait to be resumed",
            ),
            unanswered: gauge(
                "xmpp_cluster_unanswered_stanzas",
                "Stanzas that other nodes were asked to deliver and have not answered, and those that wait behind them",
            ),
            homes: gauge("xmpp_home_loaded", "Homes in memory"),
            rosters: gauge("xmpp_roster_cached", "Rosters in memory"),
            accounts: gauge("xmpp_directory_accounts", "Accounts with a session"),
            tasks: gauge("xmpp_node_tasks", "Tasks that a stop waits for"),
            connections: labelled(
                "xmpp_c2s_open_connections",
                "Open connections by listener",
                "listener",
            ),
            refused: labelled(
                "xmpp_c2s_refused_connections",
                "Connections refused since the start",
                "reason",
            ),
            store_writable: gauge(
                "xmpp_store_writable",
                "Whether the store of this node takes writes",
            ),
            certificate_expiry: labelled(
                "xmpp_tls_certificate_expiry_timestamp_seconds",
                "The end of a certificate, since 1970",
                "name",
            ),
            resident: gauge("process_resident_memory_bytes", "Resident memory"),
            threads: gauge("process_threads", "Threads"),
            open_files: gauge("process_open_fds", "Open file descriptors"),
            cpu,
        }
    }

    fn look_at_process(&self) {
        if let Some(process) = process::read() {
            self.resident.set(process.resident_bytes);
            self.cpu.set(process.cpu_seconds);
            self.threads.set(process.threads);
            self.open_files.set(process.open_files);
        }
    }
}

impl Metrics {
    /// Calls `look` before each scrape; it must be quick and must not wait.
    pub fn on_scrape(&self, look: impl Fn(&Gauges) + Send + Sync + 'static) {
        self.looks.lock().push(Box::new(look));
    }

    /// Everything, as it is now.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.gauges.look_at_process();
        for look in self.looks.lock().iter() {
            look(&self.gauges);
        }
        self.registry.gather()
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.gather())
            .expect("families have names and values")
    }

    /// Where further metrics are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_looks_first() {
        let metrics = Metrics::default();
        metrics.on_scrape(|gauges| gauges.sessions.set(7));
        metrics.on_scrape(|gauges| {
            gauges
                .certificate_expiry
                .with_label_values(&["example.org"])
                .set(9)
        });
        metrics.messages.inc();
        let text = metrics.render();
        let has = |line: &str| assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        has("xmpp_c2s_sessions 7");
        has("xmpp_stanzas_messages_total 1");
        has("xmpp_tls_certificate_expiry_timestamp_seconds{name=\"example.org\"} 9");
        assert!(text.contains("process_resident_memory_bytes "));
    }
}
