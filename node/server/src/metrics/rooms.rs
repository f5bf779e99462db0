//! What happens in rooms.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counts rooms and what is said in them.
#[derive(Clone)]
pub struct RoomMetrics {
    loaded: IntGauge,
    created: IntCounter,
    destroyed: IntCounter,
    said: IntCounter,
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

    /// A message was given to all.
    pub fn said(&self) {
        self.said.inc();
    }
}
