//! What the comparison shows: a row for each thing that matters, by case and figure.
//!
//! Why here: the table and the plot read the same list, so they cannot disagree.

/// One line of the table and one panel of the plot.
pub struct Row {
    /// What it says.
    pub label: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which case, which figure of it, and what to divide by.
    pub source: (&'static str, &'static str, f64),
    /// True if less is better.
    pub less: bool,
    /// True if it stands in the plot.
    pub headline: bool,
    /// What is to be reached.
    pub goal: Option<Goal>,
    /// The rivals' case, where it is another one than ours.
    pub against: Option<&'static str>,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So many times better than the better rival.
    Times(f64),
    /// At most so much, in the unit of the row.
    AtMost(f64),
}

impl Row {
    const fn times(self, goal: f64) -> Self {
        Self {
            goal: Some(Goal::Times(goal)),
            ..self
        }
    }

    const fn at_most(self, goal: f64) -> Self {
        Self {
            goal: Some(Goal::AtMost(goal)),
            ..self
        }
    }

    const fn against(self, case: &'static str) -> Self {
        Self {
            against: Some(case),
            ..self
        }
    }
}

const fn row(
    label: &'static str,
    unit: &'static str,
    source: (&'static str, &'static str, f64),
    less: bool,
    headline: bool,
) -> Row {
    Row {
        label,
        unit,
        source,
        less,
        headline,
        goal: None,
        against: None,
    }
}

/// Process time of the server per thousand things done.
pub const CPU: &str = "cpu_ms_per_1000";
const RATE: &str = "per_s";

/// All rows.
pub const ROWS: &[Row] = &[
    row(
        "chat, saturated: CPU per 1,000 messages",
        "ms",
        ("chat", CPU, 1.0),
        true,
        true,
    )
    .times(20.0),
    row(
        "  messages per second",
        "/s",
        ("chat", RATE, 1.0),
        false,
        true,
    ),
    row("  latency p50", "ms", ("chat", "p50_ms", 1.0), true, false),
    row("  latency p99", "ms", ("chat", "p99_ms", 1.0), true, false),
    row(
        "  latency p99.9",
        "ms",
        ("chat", "p999_ms", 1.0),
        true,
        false,
    ),
    row(
        "chat, half of own maximum: latency p99",
        "ms",
        ("chat-half", "p99_ms", 1.0),
        true,
        false,
    )
    .at_most(10.0),
    row(
        "  messages per second",
        "/s",
        ("chat-half", RATE, 1.0),
        false,
        false,
    ),
    row(
        "chat, 3,000/s: CPU per 1,000 messages",
        "ms",
        ("chat-rate", CPU, 1.0),
        true,
        true,
    ),
    row(
        "  latency p50",
        "ms",
        ("chat-rate", "p50_ms", 1.0),
        true,
        false,
    ),
    row(
        "  latency p99",
        "ms",
        ("chat-rate", "p99_ms", 1.0),
        true,
        true,
    ),
    row(
        "  latency p99.9",
        "ms",
        ("chat-rate", "p999_ms", 1.0),
        true,
        false,
    ),
    row(
        "chat with acks: CPU per 1,000 messages",
        "ms",
        ("chat-acks", CPU, 1.0),
        true,
        true,
    ),
    row(
        "  messages per second",
        "/s",
        ("chat-acks", RATE, 1.0),
        false,
        false,
    ),
    row(
        "  acknowledgement p99",
        "ms",
        ("chat-acks", "ack_p99_ms", 1.0),
        true,
        false,
    ),
    row(
        "chat, archived: CPU per 1,000 messages",
        "ms",
        ("chat-archive", CPU, 1.0),
        true,
        true,
    )
    .times(50.0),
    row(
        "  messages per second",
        "/s",
        ("chat-archive", RATE, 1.0),
        false,
        false,
    ),
    row(
        "  latency p99",
        "ms",
        ("chat-archive", "p99_ms", 1.0),
        true,
        false,
    ),
    row(
        "  against their chat without archive",
        "ms",
        ("chat-archive", CPU, 1.0),
        true,
        false,
    )
    .against("chat")
    .times(5.0),
    row(
        "chat, archived, half of own maximum: p99",
        "ms",
        ("chat-archive-half", "p99_ms", 1.0),
        true,
        false,
    )
    .at_most(10.0),
    row(
        "chat, archived, 500/s: latency p99",
        "ms",
        ("chat-archive-rate", "p99_ms", 1.0),
        true,
        false,
    ),
    row(
        "login, TLS and SCRAM: CPU per login",
        "ms",
        ("login", CPU, 1000.0),
        true,
        true,
    )
    .times(8.0),
    row(
        "  logins per second",
        "/s",
        ("login", RATE, 1.0),
        false,
        false,
    ),
    row("  latency p99", "ms", ("login", "p99_ms", 1.0), true, false),
    row(
        "registration in band: CPU per account",
        "ms",
        ("register", CPU, 1000.0),
        true,
        false,
    ),
    row(
        "idle TLS session: proportional memory",
        "KiB",
        ("idle-tls", "pss_bytes_per_session", 1024.0),
        true,
        true,
    )
    .at_most(8.0),
    row(
        "  resident memory",
        "KiB",
        ("idle-tls", "rss_bytes_per_session", 1024.0),
        true,
        false,
    ),
    row(
        "  kernel, both ends",
        "KiB",
        ("idle-tls", "kernel_bytes_per_session", 1024.0),
        true,
        false,
    ),
    row(
        "idle plain session: proportional memory",
        "KiB",
        ("idle-plain", "pss_bytes_per_session", 1024.0),
        true,
        true,
    )
    .at_most(3.5),
    row(
        "  resident memory",
        "KiB",
        ("idle-plain", "rss_bytes_per_session", 1024.0),
        true,
        false,
    ),
    row(
        "presence: CPU per 1,000 deliveries",
        "ms",
        ("presence", CPU, 1.0),
        true,
        true,
    )
    .times(10.0),
    row(
        "  deliveries per second",
        "/s",
        ("presence", RATE, 1.0),
        false,
        false,
    ),
    row(
        "room of 100: CPU per 1,000 deliveries",
        "ms",
        ("muc", CPU, 1.0),
        true,
        true,
    )
    .times(5.0),
    row(
        "  deliveries per second of CPU",
        "/s",
        ("muc", "per_cpu_s", 1.0),
        false,
        false,
    ),
    row("  latency p99", "ms", ("muc", "p99_ms", 1.0), true, false),
    row(
        "room of 100, 20/s: CPU per 1,000 deliveries",
        "ms",
        ("muc-rate", CPU, 1.0),
        true,
        true,
    )
    .times(5.0),
    row(
        "  latency p50",
        "ms",
        ("muc-rate", "p50_ms", 1.0),
        true,
        false,
    ),
    row(
        "  latency p99",
        "ms",
        ("muc-rate", "p99_ms", 1.0),
        true,
        false,
    ),
    row(
        "100 enter a room: until all have seen all",
        "ms",
        ("join", "storm_p50_ms", 1.0),
        true,
        true,
    )
    .times(10.0),
    row(
        "  CPU of it",
        "ms",
        ("join", "cpu_ms_per_storm", 1.0),
        true,
        false,
    )
    .times(10.0),
    row(
        "PEP to 50 contacts: CPU per 1,000 events",
        "ms",
        ("pep", CPU, 1.0),
        true,
        true,
    ),
    row("  latency p50", "ms", ("pep", "p50_ms", 1.0), true, false).at_most(2.0),
    row("  latency p99", "ms", ("pep", "p99_ms", 1.0), true, false).at_most(10.0),
    row(
        "pubsub to 1,000: CPU per 1,000 events",
        "ms",
        ("pubsub", CPU, 1.0),
        true,
        true,
    )
    .times(5.0),
    row(
        "  events per second of CPU",
        "/s",
        ("pubsub", "per_cpu_s", 1.0),
        false,
        false,
    ),
    row(
        "  one item at a time: latency p50",
        "ms",
        ("pubsub-one", "p50_ms", 1.0),
        true,
        false,
    ),
    row(
        "  latency p99",
        "ms",
        ("pubsub-one", "p99_ms", 1.0),
        true,
        false,
    ),
    row(
        "roster: CPU per 1,000 changes",
        "ms",
        ("roster", CPU, 1.0),
        true,
        true,
    )
    .times(8.0),
    row(
        "  latency p99",
        "ms",
        ("roster", "p99_ms", 1.0),
        true,
        false,
    ),
    row(
        "offline: CPU per 1,000 stored",
        "ms",
        ("offline", "stored_cpu_ms_per_1000", 1.0),
        true,
        true,
    )
    .times(10.0),
    row(
        "offline: CPU per 1,000 drained",
        "ms",
        ("offline", "drained_cpu_ms_per_1000", 1.0),
        true,
        false,
    ),
];
