//! Log and state machine of Raft, both in memory only: a node that ends never comes back under its id.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use bytes::Bytes;
use openraft::{
    EmptyNode, Entry, EntryPayload, LogId, LogState, OptionalSend, RaftLogReader,
    RaftSnapshotBuilder, RaftTypeConfig, Snapshot, SnapshotMeta, StorageError, StoredMembership,
    Vote,
    storage::{LogFlushed, RaftLogStorage, RaftStateMachine},
};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use crate::directory::{replica::Frozen, submit::Core};

openraft::declare_raft_types!(
    /// What Raft orders here.
    pub(super) Types:
        D = Logged,
        R = (),
        NodeId = u64,
        Node = EmptyNode,
        SnapshotData = Frozen,
);

type Result<T> = std::result::Result<T, StorageError<u64>>;

/// How many bytes of entries one message to a follower has, about.
const SEND_BYTES: usize = 1024 * 1024;

/// A batch, as its node wrote it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Logged(pub(super) Bytes);

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logged({} bytes)", self.0.len())
    }
}

impl Serialize for Logged {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Logged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Octets;
        impl Visitor<'_> for Octets {
            type Value = Logged;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Logged, E> {
                Ok(Logged(Bytes::copy_from_slice(bytes)))
            }
        }
        deserializer.deserialize_bytes(Octets)
    }
}

#[derive(Default)]
struct Kept {
    vote: Option<Vote<u64>>,
    purged: Option<LogId<u64>>,
    entries: BTreeMap<u64, Entry<Types>>,
}

/// The log. Its bound: Raft purges what snapshots cover (see the configuration in [`super::live`]).
#[derive(Clone, Default)]
pub(super) struct Entries(Arc<Mutex<Kept>>);

impl RaftLogReader<Types> for Entries {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<Types>>> {
        let kept = self.0.lock();
        let (from, to) = (range.start_bound().cloned(), range.end_bound().cloned());
        Ok(kept
            .entries
            .range((from, to))
            .map(|(_, e)| e.clone())
            .collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<Types>>> {
        let kept = self.0.lock();
        let mut room = SEND_BYTES;
        let entries = kept.entries.range(start..end).map(|(_, e)| e);
        let fitting = entries.take_while(|entry| {
            let first = room == SEND_BYTES;
            let size = match &entry.payload {
                EntryPayload::Normal(logged) => logged.0.len() + 64,
                _ => 64,
            };
            let fits = first || size <= room;
            room = room.saturating_sub(size);
            fits
        });
        Ok(fitting.cloned().collect())
    }
}

impl RaftLogStorage<Types> for Entries {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>> {
        let kept = self.0.lock();
        let last = kept.entries.last_key_value().map(|(_, e)| e.log_id);
        Ok(LogState {
            last_purged_log_id: kept.purged,
            last_log_id: last.or(kept.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<()> {
        self.0.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>> {
        Ok(self.0.lock().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|e| (e.log_id.index, e));
        self.0.lock().entries.extend(entries);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<()> {
        self.0.lock().entries.split_off(&log_id.index);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<()> {
        let mut kept = self.0.lock();
        kept.purged = Some(log_id);
        let range = (Bound::Excluded(log_id.index), Bound::Unbounded);
        if kept.entries.range(range).next().is_none() {
            kept.entries.clear();
        } else {
            kept.entries = kept.entries.split_off(&(log_id.index + 1));
        }
        Ok(())
    }
}

/// The state machine: the replica of one generation.
pub(super) struct Machine {
    core: Arc<Core>,
    generation: u64,
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, EmptyNode>,
}

impl Machine {
    /// Empty.
    pub(super) fn new(core: Arc<Core>, generation: u64) -> Self {
        Self {
            core,
            generation,
            applied: None,
            membership: StoredMembership::default(),
        }
    }

    fn meta(&self) -> SnapshotMeta<u64, EmptyNode> {
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.applied.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

/// Says that a snapshot is there; what it holds is taken when somebody needs it.
pub(super) struct Marker(SnapshotMeta<u64, EmptyNode>);

impl RaftSnapshotBuilder<Types> for Marker {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>> {
        // Raft asks only so that it may purge its log; the replica itself is the snapshot.
        Ok(Snapshot {
            meta: self.0.clone(),
            snapshot: Box::default(),
        })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Marker;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, EmptyNode>)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut replies = Vec::new();
        for entry in entries {
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(logged) => self.core.apply(self.generation, &logged.0),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            self.applied = Some(entry.log_id);
            replies.push(());
        }
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> Marker {
        Marker(self.meta())
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Frozen>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, EmptyNode>,
        snapshot: Box<<Types as RaftTypeConfig>::SnapshotData>,
    ) -> Result<()> {
        self.core.replace(self.generation, *snapshot);
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>> {
        // Nothing is applied meanwhile, so this is the replica at `applied`.
        Ok(self.applied.is_some().then(|| Snapshot {
            meta: self.meta(),
            snapshot: Box::new(self.core.replica().freeze()),
        }))
    }
}
