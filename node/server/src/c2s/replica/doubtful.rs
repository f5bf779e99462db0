//! What a session sends that was left behind may have been done by its former home: for a while it is in doubt.

use std::time::Duration;

use tokio::time::Instant;

use crate::home::Doubt;

/// Stanzas that are in doubt once a session goes on that was left behind: as many as a client may have unacknowledged.
const DOUBTED: u32 = 1_000;
/// And for how long.
const DOUBTING: Duration = Duration::from_secs(60);

/// What a session sends is in doubt.
pub(super) struct Doubtful {
    since_ms: u64,
    left: u32,
    /// Counts from when its client is back.
    until: Option<Instant>,
}

impl Doubtful {
    /// Its home died at about this time, in milliseconds since 1970.
    pub(super) fn new(since_ms: u64) -> Self {
        Self {
            since_ms,
            left: DOUBTED,
            until: None,
        }
    }

    /// Its client is back.
    pub(super) fn begins(&mut self, now: Instant) {
        self.until.get_or_insert(now + DOUBTING);
    }

    /// Whether its client has not come back yet: nothing shows that all is known of it.
    pub(super) fn is_unproven(&self) -> bool {
        self.until.is_none()
    }

    /// Since when, as long as it lasts.
    pub(super) fn since_ms(&self, now: Instant) -> Option<u64> {
        let is_over = self.left == 0 || self.until.is_some_and(|until| until <= now);
        (!is_over).then_some(self.since_ms)
    }

    /// The doubt about one stanza.
    pub(super) fn next(&mut self, now: Instant) -> Option<Doubt> {
        let since_ms = self.since_ms(now)?;
        self.left -= 1;
        Some(Doubt {
            since_ms,
            looked: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_ends_after_a_while_and_after_so_many() {
        let now = Instant::now();
        let mut doubtful = Doubtful::new(5);
        assert!(doubtful.is_unproven());
        // A client may be away for long.
        assert_eq!(doubtful.since_ms(now + 2 * DOUBTING), Some(5));
        doubtful.begins(now);
        doubtful.begins(now + DOUBTING);
        assert!(!doubtful.is_unproven());
        let soon = now + DOUBTING / 2;
        let doubt = doubtful.next(soon).unwrap();
        assert_eq!((doubt.since_ms, doubt.looked), (5, false));
        assert_eq!(doubtful.next(now + DOUBTING), None);
        let all = (1..DOUBTED).filter_map(|_| doubtful.next(soon)).count();
        assert_eq!(all as u32, DOUBTED - 1);
        assert_eq!(doubtful.next(soon), None);
    }
}
