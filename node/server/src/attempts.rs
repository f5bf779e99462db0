//! Attempts: how often one address may fail to log in, or make an account, before it has to wait.
//!
//! Source: RFC 6120 §13.12; XEP-0205 v1.0; RFC 5802 §9 (guessing online). A client over the limit is answered with the stream
//! error `policy-violation` by the negotiation: a SASL failure would invite the next attempt.
//! Why here: pure but for a lock; time is a parameter. A token bucket a source, refilled evenly over a period.
//! Stored: one entry per address that used some of its allowance, at most [`REMEMBERED`]; each node counts for itself.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Addresses remembered. When more come, as in an attack from many, all are forgotten: each of them has had its whole
/// allowance then, and the cost of the table stays bounded.
pub const REMEMBERED: usize = 65_536;

/// A limit for each address.
#[derive(Debug)]
pub struct Attempts {
    allowance: u32,
    interval: Duration,
    /// When the allowance of an address will be whole again.
    whole_at: Mutex<HashMap<Source, Instant, foldhash::fast::RandomState>>,
}

/// What one customer has: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(u64);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Nobody has an address in `::/32`, so the two kinds cannot meet.
            IpAddr::V4(it) => Self(u64::from(it.to_bits())),
            IpAddr::V6(it) => Self((it.to_bits() >> 64) as u64),
        }
    }
}

impl Attempts {
    /// `allowance` at once, and as many again over each `period`.
    pub fn new(allowance: u32, period: Duration) -> Self {
        Self {
            allowance,
            interval: period / allowance.max(1),
            whole_at: Mutex::default(),
        }
    }

    /// Whether nothing is left.
    pub fn is_exhausted(&self, address: IpAddr, now: Instant) -> bool {
        let known = self.whole_at.lock().get(&Source::from(address)).copied();
        self.next(known, now).is_none()
    }

    /// Uses one up; whether there was one.
    pub fn take(&self, address: IpAddr, now: Instant) -> bool {
        let source = Source::from(address);
        let mut table = self.whole_at.lock();
        let Some(next) = self.next(table.get(&source).copied(), now) else {
            return false;
        };
        if table.len() >= REMEMBERED {
            table.retain(|_, whole_at| *whole_at > now);
            if table.len() >= REMEMBERED {
                table.clear();
            }
        }
        table.insert(source, next);
        true
    }

    /// Takes one use back.
    pub fn give_back(&self, address: IpAddr, now: Instant) {
        let source = Source::from(address);
        let mut table = self.whole_at.lock();
        let Some(whole_at) = table
            .get(&source)
            .and_then(|at| at.checked_sub(self.interval))
        else {
            return;
        };
        if whole_at > now {
            table.insert(source, whole_at);
        } else {
            table.remove(&source);
        }
    }

    /// When the allowance would be whole again after one more use; `None`: there is none left.
    fn next(&self, whole_at: Option<Instant>, now: Instant) -> Option<Instant> {
        let next = whole_at.map_or(now, |at| at.max(now)) + self.interval;
        (next <= now + self.interval * self.allowance).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn taken(attempts: &Attempts, address: &str, now: Instant) -> usize {
        let address = address.parse().unwrap();
        (0..100).take_while(|_| attempts.take(address, now)).count()
    }

    #[test]
    fn allowance_is_spent_at_once_and_comes_back_evenly() {
        let attempts = Attempts::new(10, 10 * MINUTE);
        let start = Instant::now();
        let check = |at: Duration, expected| {
            assert_eq!(
                taken(&attempts, "192.0.2.1", start + at),
                expected,
                "{at:?}"
            )
        };
        check(Duration::ZERO, 10);
        check(MINUTE - Duration::from_millis(1), 0);
        check(MINUTE, 1);
        check(3 * MINUTE, 2);
        check(60 * MINUTE, 10);
    }

    #[test]
    fn sources_count_apart() {
        let attempts = Attempts::new(1, MINUTE);
        let now = Instant::now();
        let check = |address: &str, expected| {
            assert_eq!(taken(&attempts, address, now), expected, "{address}")
        };
        check("192.0.2.1", 1);
        check("::ffff:192.0.2.1", 0);
        check("192.0.2.2", 1);
        check("2001:db8::1", 1);
        check("2001:db8::2", 0);
        check("2001:db8:0:1::1", 1);
    }

    #[test]
    fn exhausted_is_what_take_refuses() {
        let attempts = Attempts::new(2, MINUTE);
        let (now, address) = (Instant::now(), "192.0.2.1".parse().unwrap());
        assert!(!attempts.is_exhausted(address, now));
        assert!(attempts.take(address, now) && attempts.take(address, now));
        assert!(attempts.is_exhausted(address, now) && !attempts.take(address, now));
        attempts.give_back(address, now);
        assert!(!attempts.is_exhausted(address, now));
        attempts.give_back(address, now);
        attempts.give_back(address, now);
        assert_eq!(
            taken(&attempts, "192.0.2.1", now),
            2,
            "what was never taken is not given back"
        );
    }

    #[test]
    fn nothing_is_allowed_without_allowance() {
        let attempts = Attempts::new(0, MINUTE);
        assert!(!attempts.take("192.0.2.1".parse().unwrap(), Instant::now()));
    }

    #[test]
    fn table_is_bounded() {
        let attempts = Attempts::new(1, MINUTE);
        let now = Instant::now();
        for i in 0..=REMEMBERED as u32 {
            assert!(attempts.take(IpAddr::from(i.to_be_bytes()), now));
        }
        assert!(attempts.whole_at.lock().len() <= REMEMBERED);
    }
}
