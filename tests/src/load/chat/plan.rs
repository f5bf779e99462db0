//! When one of several senders may send: by credit, or by the clock.

use crate::load::stanza;

/// When a sender may send.
pub struct Plan {
    /// Nanoseconds between two messages; 0 saturates.
    pub interval: u64,
    window: u32,
    /// When the next message is due, as [`stanza::now`].
    pub next_due: u64,
}

impl Plan {
    /// For the sender of this number of so many: messages a second of all (0 saturates), messages under way.
    pub fn of(rate: u32, senders: u32, window: u32, number: u32) -> Self {
        let interval = u64::from(senders) * 1_000_000_000 / u64::from(rate.max(1));
        let interval = if rate == 0 { 0 } else { interval.max(1) };
        // They begin one after the other, so that their messages do not come in one burst.
        let offset = interval * u64::from(number) / u64::from(senders.max(1));
        Self {
            interval,
            window,
            next_due: stanza::now() + offset,
        }
    }

    /// How many messages may leave now, and when each was due.
    pub fn due(&mut self, under_way: u32) -> (u32, u64) {
        let now = stanza::now();
        if self.interval == 0 {
            return (self.window.saturating_sub(under_way), now);
        }
        let first = self.next_due;
        let count = if now < first {
            0
        } else {
            (now - first) / self.interval + 1
        };
        self.next_due += count * self.interval;
        (u32::try_from(count).unwrap_or(u32::MAX), first)
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use crate::load::stanza;

    #[test]
    fn a_window_is_filled_and_no_more() {
        let mut plan = Plan {
            interval: 0,
            window: 10,
            next_due: 0,
        };
        for (under_way, expected) in [(0, 10), (7, 3), (10, 0), (11, 0)] {
            assert_eq!(plan.due(under_way).0, expected, "{under_way} under way");
        }
    }

    #[test]
    fn a_schedule_is_kept_even_when_late() {
        let now = stanza::now() + 1_000_000;
        let mut plan = Plan {
            interval: 1_000,
            window: 0,
            next_due: now,
        };
        while stanza::now() < now + 10_000 {}
        let (count, first) = plan.due(500);
        assert!(count >= 10);
        assert_eq!(first, now);
        assert_eq!(plan.next_due, now + u64::from(count) * 1_000);
    }
}
