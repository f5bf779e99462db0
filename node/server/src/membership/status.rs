//! Status: what is to be told of this node's place in the cluster, as plain values for commands and pages.
//!
//! Identifiers are sixteen hexadecimal digits, times are milliseconds. Fields are added, never changed: a command may be
//! of another version than the node that it asks.

use std::{fmt, sync::Arc};

use cluster::NodeId;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::shape::{Shape, Shaped, shaped};

/// A life of a node as people write it.
pub fn hex(node: NodeId) -> String {
    format!("{:016x}", node.0)
}

/// How far this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It looks for the others, or follows them and serves nothing yet.
    Joining,
    /// It serves what is placed on it.
    Serving,
    /// As serving, but it has no contact with those who order changes: others may take over what it has.
    Fenced,
    /// It hands over what it has, and goes.
    Leaving,
    /// This life was declared over; the next one begins.
    Fallen,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Joining,
        Self::Serving,
        Self::Fenced,
        Self::Leaving,
        Self::Fallen,
    ];
    /// Its name, as it is serialised.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Serving => "serving",
            Self::Fenced => "fenced",
            Self::Leaving => "leaving",
            Self::Fallen => "fallen",
        }
    }
}

impl Shaped for Phase {
    const SHAPE: Shape = Shape::OneOf(&["joining", "serving", "fenced", "leaving", "fallen"]);
}

shaped! {
    /// This node's place in the cluster.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Status as "Cluster" {
        /// The cluster's name.
        pub cluster: String,
        /// This life of this node.
        pub node: String,
        /// What people call it.
        pub name: String,
        /// Where other nodes reach it.
        pub address: String,
        /// What fails together with it; empty if that is not known.
        pub zone: String,
        /// Of its program.
        pub version: String,
        /// How far it is.
        pub phase: Phase,
        /// The epoch of the view by which it serves; 0: of none yet.
        pub epoch: u64,
        /// The generation of the directory.
        pub generation: u64,
        /// The directory of members.
        pub directory: DirectoryStatus,
        /// The members, this node among them once it is one.
        pub members: Vec<MemberStatus>,
        /// The links to other nodes, members or not.
        pub links: Vec<LinkStatus>,
        /// Addresses that are dialled, and what was wrong there last.
        pub dialled: Vec<DialStatus>,
        /// Homes in memory here.
        pub homes: usize,
        /// Sessions here, those that wait to be resumed included.
        pub sessions: usize,
        /// Ends of pipes: clients whose session is at another node, and sessions whose client is.
        pub pipes: usize,
        /// How far leaving is; null: it stays.
        pub leaving: Option<Leaving>,
    }

    /// The directory of members as this node has it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct DirectoryStatus as "Directory" {
        /// `raft` or `redis`.
        pub kind: String,
        /// `alone`, `leader`, `voter`, `observer`, `joining`.
        pub role: String,
        /// The life that leads, where one does.
        pub leader: Option<String>,
        /// Entries of the log that are known of and not applied yet.
        pub lag: u64,
        /// How long ago those who order changes were heard of; null: never.
        pub silence_ms: Option<u64>,
        /// It takes no changes, because of that.
        pub fenced: bool,
    }

    /// A member of the view.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct MemberStatus as "Member" {
        /// Its life.
        pub node: String,
        /// What people call it.
        pub name: String,
        /// Where other nodes reach it.
        pub address: String,
        /// `up`, `ready`, `draining`.
        pub state: String,
        /// Its share of the accounts, relative to the others.
        pub weight: u32,
        /// What fails together with it; empty if that is not known.
        pub zone: String,
        /// Of its program.
        pub version: String,
        /// The epoch in which it came.
        pub since: u64,
        /// Whether it is the node that is asked.
        pub is_me: bool,
    }

    /// A link to another node.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct LinkStatus as "Link" {
        /// The other node's life.
        pub node: String,
        /// What people call it.
        pub name: String,
        /// Where it is reached.
        pub address: String,
        /// `up`, `silent`, `gone`.
        pub state: String,
        /// There and back, in microseconds, once it was measured.
        pub latency_us: Option<u64>,
        /// Frames that were not acknowledged.
        pub queued_frames: usize,
        /// Their bytes.
        pub queued_bytes: usize,
    }

    /// An address that is dialled.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct DialStatus as "Dialled" {
        /// The address.
        pub address: String,
        /// Who answered there last.
        pub node: Option<String>,
        /// What was wrong the last time, if anything.
        pub trouble: Option<String>,
    }
}

/// What a node does when it leaves, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The others are told, and take over what is placed here.
    Told,
    /// Accounts with sessions go to their new homes.
    HandingOver,
    /// Connections end, what is under way finishes.
    Closing,
    /// What was sent to other nodes is acknowledged, and this life is declared over.
    SigningOff,
    /// Done.
    Gone,
}

impl Shaped for Step {
    const SHAPE: Shape = Shape::OneOf(&["told", "handing_over", "closing", "signing_off", "gone"]);
}

shaped! {
    /// How far leaving is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Leaving as "Leaving" {
        /// What it does now.
        pub step: Step,
        /// Accounts with sessions that were here when it began.
        pub accounts: usize,
        /// Those that are still here.
        pub left: usize,
        /// Since when, in milliseconds.
        pub elapsed_ms: u64,
        /// Those that were not handed over in time; what was promised to them is in the store.
        #[serde(default)]
        pub given_up: usize,
    }
}

/// Who knows the status.
pub trait Report: Send + Sync {
    /// As it is now. Quick, and does not wait.
    fn status(&self) -> Status;
    /// How far this node is.
    fn phase(&self) -> Phase;
}

/// Where the status of this process is read, whichever life it is in. Clones share it.
#[derive(Clone, Default)]
pub struct Board(Arc<RwLock<Option<Arc<dyn Report>>>>);

impl Board {
    /// As it is now; `None`: this node is alone.
    pub fn status(&self) -> Option<Status> {
        let report = self.0.read().clone();
        report.map(|report| report.status())
    }

    /// How far this node is; `None`: it is alone.
    pub fn phase(&self) -> Option<Phase> {
        let report = self.0.read().clone();
        report.map(|report| report.phase())
    }

    /// From now on this one tells.
    pub fn set(&self, report: Arc<dyn Report>) {
        *self.0.write() = Some(report);
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Board").field(&self.status()).finish()
    }
}
