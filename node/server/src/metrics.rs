//! Every metric, declared once.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The metrics. Handles are held here, so that nothing looks up a label on a stanza's way.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
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
    /// Resumptions, by outcome.
    pub resumptions: IntCounterVec,
    /// Sessions ended because their client read too slowly.
    pub overruns: IntCounter,
    /// Connections taken in.
    pub connections: IntCounter,
    /// Stream errors sent, by condition.
    pub stream_errors: IntCounterVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name is valid");
            registry.register(Box::new(counter.clone())).expect("declared once");
            counter
        };
        let labelled = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("the name is valid");
            registry.register(Box::new(counter.clone())).expect("declared once");
            counter
        };
        Self {
            messages: counter("xmpp_stanzas_messages_total", "Messages routed"),
            iqs: counter("xmpp_stanzas_iqs_total", "IQ requests answered by the server"),
            presences: counter("xmpp_stanzas_presences_total", "Presence stanzas handled"),
            errors_sent: counter("xmpp_stanzas_errors_total", "Stanza errors sent"),
            append_failures: counter("xmpp_log_append_failures_total", "Appends to a log that failed and were repeated"),
            logins: labelled("xmpp_c2s_logins_total", "Logins by outcome", &["outcome"]),
            resumptions: labelled("xmpp_c2s_resumptions_total", "Resumptions by outcome", &["outcome"]),
            overruns: counter("xmpp_c2s_overruns_total", "Sessions ended because their client read too slowly"),
            connections: counter("xmpp_c2s_connections_total", "Connections taken in"),
            stream_errors: labelled("xmpp_c2s_stream_errors_total", "Stream errors sent by condition", &["condition"]),
            registry,
        }
    }
}

impl Metrics {
    /// Where further metrics are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
