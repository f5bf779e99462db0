//! What a service allows its rooms and those in them.

use std::time::Duration;

pub use crate::config::RoomsPublish as Publish;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Occupants of one room, admins and owners apart.
    pub occupants: u32,
    /// Messages that who enters is shown, whatever the room would.
    pub history: usize,
    /// Longest message to a room, in bytes.
    pub message_bytes: usize,
    /// Messages that one occupant may send in a second, on the average; 0: as many as it likes.
    pub messages_per_second: u32,
    /// And at once.
    pub burst: u32,
    /// Longest nick, in characters.
    pub nick: usize,
    /// Above so many occupants only the presence of moderators is shown to all; 0: never.
    pub presence_up_to: u32,
    /// Whether a room with an avatar sends a presence of its own that says so, for clients that know no other way.
    pub avatar_presence: bool,
    /// Which rooms may publish what is said in them.
    pub publish: Publish,
    /// Whether a room that was just made is locked until its owner has configured it (§10.1).
    pub lock: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            occupants: 10_000,
            history: 100,
            message_bytes: 64 << 10,
            messages_per_second: 20,
            burst: 100,
            nick: 100,
            presence_up_to: 0,
            avatar_presence: false,
            publish: Publish::Open,
            lock: true,
        }
    }
}

/// How fast one occupant speaks: the moment when all that it said would have been said at the allowed pace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    due_us: u64,
}

impl Pace {
    /// One more message at this moment; whether it is within the limits.
    pub fn take(&mut self, policy: &Policy, now_ms: u64) -> bool {
        if policy.messages_per_second == 0 {
            return true;
        }
        let each =
            Duration::from_secs(1).as_micros() as u64 / u64::from(policy.messages_per_second);
        let now_us = now_ms * 1_000;
        let due_us = self.due_us.max(now_us);
        if due_us - now_us > each * u64::from(policy.burst) {
            return false;
        }
        self.due_us = due_us + each;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_too_fast_is_held_back_until_it_has_waited() {
        let policy = Policy {
            messages_per_second: 10,
            burst: 2,
            ..Policy::default()
        };
        let mut pace = Pace::default();
        for (now_ms, expected) in [
            (1_000, true),
            (1_000, true),
            (1_000, true),
            (1_000, false),
            (1_099, false),
            (1_100, true),
            (1_100, false),
            (9_000, true),
        ] {
            assert_eq!(pace.take(&policy, now_ms), expected, "{now_ms}");
        }
        let unlimited = Policy {
            messages_per_second: 0,
            ..policy
        };
        assert!((0..1_000).all(|_| pace.take(&unlimited, 0)));
    }
}
