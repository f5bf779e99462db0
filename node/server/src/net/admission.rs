//! Admission: how many connections there may be, in all and from one address, and how fast they may come.
//!
//! Source: RFC 6120 §13.12 (denial of service), XEP-0205 v1.0 (discouraging it).
//! Why here: pure but for a lock and counters; time is a parameter. The listener asks before it spends anything on a
//! connection.
//! Stored: an entry per address that has a connection or came a moment ago; bounded, see [`AdmissionLimits::remembered`].

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::proxy_protocol::canonical;

/// How much is admitted. An address is an IPv4 address or an IPv6 network of 64 bits, which is what one customer has.
#[derive(Debug, Clone)]
pub struct AdmissionLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// New connections of one address in a second, over a longer time.
    pub per_second: u32,
    /// New connections of one address at once.
    pub burst: u32,
    /// Addresses without a connection whose rate is remembered. If more come in, as in an attack from many addresses, all
    /// those are forgotten, and the other limits remain.
    pub remembered: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            per_address: 1_000,
            per_second: 20,
            burst: 100,
            remembered: 65_536,
        }
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server is full.
    #[error("too many connections")]
    Full,
    /// The address has too many.
    #[error("too many connections from one address")]
    PerAddress,
    /// The address comes too often.
    #[error("connections from one address come too fast")]
    Rate,
}

/// How many connections were refused, by reason, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusedCounts {
    /// See [`Refused::Full`].
    pub full: u64,
    /// See [`Refused::PerAddress`].
    pub per_address: u64,
    /// See [`Refused::Rate`].
    pub rate: u64,
}

/// A look at who is in, for as long as somebody may come in or is in.
#[derive(Debug, Clone)]
pub struct Counts(Weak<Admission>);

impl Counts {
    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.0.upgrade().map_or(0, |it| it.open())
    }

    /// Connections that were refused; none once all of it is over.
    pub fn refused(&self) -> RefusedCounts {
        self.0
            .upgrade()
            .map_or_else(RefusedCounts::default, |it| it.refused())
    }
}

/// A range of addresses, written `192.0.2.0/24` or as a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether `address` belongs to it; an IPv4 address mapped into IPv6 counts as itself.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, canonical(address)) {
            (IpAddr::V4(net), IpAddr::V4(it)) => {
                (net.to_bits() ^ it.to_bits())
                    .checked_shr(32 - self.prefix)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(net), IpAddr::V6(it)) => {
                (net.to_bits() ^ it.to_bits())
                    .checked_shr(128 - self.prefix)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a network such as 192.0.2.0/24")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(it, prefix)| (it, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |it| it.parse().map_err(|_| NetworkError))?;
        if prefix > bits {
            Err(NetworkError)
        } else {
            Ok(Self { address, prefix })
        }
    }
}

/// An IPv4 address, or the upper half of an IPv6 one. They cannot meet: nobody has an address in `::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u64);

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(it) => Self(u64::from(it.to_bits())),
            IpAddr::V6(it) => Self(u64::try_from(it.to_bits() >> 64).expect("64 bits are left")),
        }
    }
}

#[derive(Debug)]
struct Entry {
    open: usize,
    /// When the bucket will be full again: each admission moves it by one interval, and it may be a burst ahead of now.
    full_at: Instant,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    by_address: HashMap<Key, Entry, foldhash::fast::RandomState>,
}

/// Who is in.
#[derive(Debug)]
pub(super) struct Admission {
    limits: AdmissionLimits,
    table: Mutex<Table>,
    refused: [AtomicU64; 3],
}

impl Admission {
    pub(super) fn new(limits: AdmissionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            refused: Default::default(),
        })
    }

    /// Counts one connection whose address is not known yet.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Permit, Refused> {
        let mut table = self.table.lock();
        if table.open >= self.limits.connections {
            return Err(self.refuse(Refused::Full));
        }
        table.open += 1;
        Ok(Permit {
            admission: self.clone(),
            key: None,
        })
    }

    pub(super) fn counts(self: &Arc<Self>) -> Counts {
        Counts(Arc::downgrade(self))
    }

    fn open(&self) -> usize {
        self.table.lock().open
    }

    fn refused(&self) -> RefusedCounts {
        let [full, per_address, rate] = self
            .refused
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        RefusedCounts {
            full,
            per_address,
            rate,
        }
    }

    fn refuse(&self, why: Refused) -> Refused {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
        why
    }

    fn admit(&self, key: Key, now: Instant) -> Result<(), Refused> {
        let limits = &self.limits;
        let interval = Duration::from_secs(1) / limits.per_second.max(1);
        let mut table = self.table.lock();
        if table.by_address.len() >= limits.connections.saturating_add(limits.remembered) {
            table.forget(limits, now);
        }
        let entry = table.by_address.entry(key).or_insert(Entry {
            open: 0,
            full_at: now,
        });
        if entry.open >= limits.per_address {
            return Err(self.refuse(Refused::PerAddress));
        }
        let full_at = entry.full_at.max(now) + interval;
        if full_at > now + interval * limits.burst.max(1) {
            return Err(self.refuse(Refused::Rate));
        }
        entry.full_at = full_at;
        entry.open += 1;
        Ok(())
    }
}

impl Table {
    fn forget(&mut self, limits: &AdmissionLimits, now: Instant) {
        self.by_address
            .retain(|_, entry| entry.open > 0 || entry.full_at > now);
        // Half of the room has to be free afterwards, else this would be done again for every connection.
        if self.by_address.len() >= limits.connections.saturating_add(limits.remembered / 2) {
            self.by_address.retain(|_, entry| entry.open > 0);
        }
    }
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    key: Option<Key>,
}

impl Permit {
    /// Counts the connection for its address.
    pub(super) fn assign(&mut self, address: IpAddr, now: Instant) -> Result<(), Refused> {
        debug_assert!(self.key.is_none(), "a connection has one address");
        let key = Key::from(address);
        self.admission.admit(key, now)?;
        self.key = Some(key);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut table = self.admission.table.lock();
        table.open -= 1;
        if let Some(entry) = self.key.and_then(|key| table.by_address.get_mut(&key)) {
            entry.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
