//! What happens in rooms.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counts rooms and what is said in them.
#[derive(Clone)]
pub struct RoomMetrics {
    loaded: IntGauge,
    created: IntCounter,
    destroyed: IntCounter,
    said: IntCounter,
    published: IntCounter,
    not_published: IntCounter,
}

impl RoomMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name is valid");
            registry
                .register(Box::new(counter.clone()))
                .expect("declared once");
            counter
        };
        let loaded =
            IntGauge::new("xmpp_muc_rooms_loaded", "Rooms in memory").expect("the name is valid");
        registry
            .register(Box::new(loaded.clone()))
            .expect("declared once");
        Self {
            loaded,
            created: counter("xmpp_muc_rooms_created_total", "Rooms made"),
            destroyed: counter("xmpp_muc_rooms_destroyed_total", "Rooms destroyed"),
            said: counter("xmpp_muc_messages_total", "Messages given to all in a room"),
            published: counter("xmpp_muc_pages_total", "Pages of rooms that were written"),
            not_published: counter(
                "xmpp_muc_pages_failed_total",
                "Rooms that could not be published at a try",
            ),
        }
    }

    /// So many rooms are in memory.
    pub fn loaded(&self, rooms: usize) {
        self.loaded.set(i64::try_from(rooms).unwrap_or(i64::MAX));
    }

    /// A room was made.
    pub fn created(&self) {
        self.created.inc();
    }

    /// A room was destroyed.
    pub fn destroyed(&self) {
        self.destroyed.inc();
    }

    /// So many pages were written.
    pub fn published(&self, pages: u64) {
        self.published.inc_by(pages);
    }

    /// A room could not be published.
    pub fn not_published(&self) {
        self.not_published.inc();
    }

    /// A message was given to all.
    pub fn said(&self) {
        self.said.inc();
    }
}
