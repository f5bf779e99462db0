//! What the layer tells of what it did, for metrics.

use super::policy::Cacheable;

/// Something that happened to a cached value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheEvent {
    /// Answered from the cache.
    Hit,
    /// Absence, answered from the cache.
    HitAbsent,
    /// Not there: the store was asked.
    Miss,
    /// The store was being asked already, and that answer was taken.
    Joined,
    /// Not asked for: this node wrote it just now and does not yet know what it has become.
    Refused,
    /// There, but not what this node knows, or beyond its time: the store was asked.
    Stale,
    /// A writer or another reader is at it: the store was asked, nothing was filled in.
    Busy,
    /// There, but not readable: damaged, or of a later version of this program.
    Unreadable,
    /// The cache did not answer: the store was asked.
    Unreachable,
    /// A reader filled it in.
    Filled,
    /// A reader could not: somebody was faster, a writer mostly.
    NotFilled,
    /// A writer said what it wrote.
    Published,
    /// A writer could only say that something changed.
    Closed,
    /// A writer could not say anything: the cache was told to give nothing of what it has there.
    Distrusted,
}

impl CacheEvent {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::HitAbsent => "hit_absent",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
            Self::Unreachable => "unreachable",
            Self::Filled => "filled",
            Self::NotFilled => "not_filled",
            Self::Published => "published",
            Self::Closed => "closed",
            Self::Distrusted => "distrusted",
        }
    }
}

/// Who wants to know. Called on the caller's task, so it must be quick.
pub trait CacheObserver: Send + Sync + 'static {
    /// This happened to one of these.
    fn observe(&self, what: Cacheable, event: CacheEvent);
}

/// Nobody wants to know.
impl CacheObserver for () {
    fn observe(&self, _: Cacheable, _: CacheEvent) {}
}
