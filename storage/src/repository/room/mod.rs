//! Rooms of a multi-user chat service (XEP-0045): configuration, subject, affiliations with reserved nicks, vCard.
//!
//! Every change puts the room's record, whose version it names, together with the affiliations that change: so whoever
//! changes a room knows all of it, and of two that do at once one is told `Conflict`. What is said in a room is a log
//! (`repository::log`) under the room's address.
//! Stored: `core` `R#service#room` / `ROOM`, `M#` address of somebody affiliated, `VC`; `idx` `T#` account / room: those
//! that it subscribes to; `idx` `R#service` / localpart: the
//! list of rooms, changed in the same batch as the room; `idx` `O#` account / room: those that it made.

mod config;
mod table;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use crate::error::Result;

pub use config::{RoomConfig, RoomRoles, WhoMay};
pub use table::TableRooms;

/// What lasts of somebody's standing in a room (XEP-0045 §5.2). In order of what one may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Affiliation {
    /// Banned.
    #[n(0)]
    Outcast,
    /// None.
    #[default]
    #[n(1)]
    None,
    /// May enter where only members may.
    #[n(2)]
    Member,
    /// Changes who is a member, who is banned, who moderates.
    #[n(3)]
    Admin,
    /// Changes everything.
    #[n(4)]
    Owner,
}

/// What is kept of somebody affiliated with a room.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct RoomMember {
    /// The affiliation.
    #[n(0)]
    pub affiliation: Affiliation,
    /// The nick that is reserved for it (§7.10).
    #[n(1)]
    pub nick: Option<String>,
    /// Why it is so, as whoever changed it said.
    #[n(2)]
    pub reason: Option<String>,
    /// The role that it was given while it is in the room, where its affiliation says another.
    #[n(3)]
    pub given: Option<GivenRole>,
    /// The numbers of the hats that it wears (XEP-0317); those that the room does not have count for nothing.
    #[cbor(n(4), default)]
    pub hats: Vec<u32>,
    /// What it gets of the room without being in it (MUC/Sub).
    #[n(5)]
    pub subscription: Option<RoomSubscription>,
}

/// A subscription to a room (MUC/Sub).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RoomSubscription {
    /// The nick that goes with it.
    #[n(0)]
    pub nick: String,
    /// Of what it is, a bit each.
    #[n(1)]
    pub topics: u16,
}

impl RoomMember {
    /// Whether there is nothing to keep.
    pub fn is_nothing(&self) -> bool {
        self.affiliation == Affiliation::None
            && self.nick.is_none()
            && self.given.is_none()
            && self.hats.is_empty()
            && self.subscription.is_none()
    }
}

/// A role that an occupant has been given by hand (§8): kept so that whoever serves the room next knows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GivenRole {
    /// Under which nick.
    #[n(0)]
    pub nick: String,
    /// Which, as a set of one.
    #[n(1)]
    pub role: RoomRoles,
}

/// The subject of a room (§8.1).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RoomSubject {
    /// The message that set it, as occupants got it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub stanza: Vec<u8>,
    /// Its text.
    #[n(1)]
    pub text: String,
    /// When, in milliseconds since 1970.
    #[n(2)]
    pub time_ms: u64,
}

/// What is kept of a room, those affiliated with it apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct RoomRecord {
    /// The configuration.
    #[n(0)]
    pub config: RoomConfig,
    /// The subject; `None`: there never was one.
    #[n(1)]
    pub subject: Option<RoomSubject>,
    /// When it was made, in milliseconds since 1970.
    #[n(2)]
    pub created_ms: u64,
    /// What occupant ids are made with (XEP-0421).
    #[cbor(n(3), with = "minicbor::bytes")]
    pub secret: Vec<u8>,
    /// Its creator has not configured it yet: nobody else may enter (§10.1).
    #[n(4)]
    pub locked: bool,
    /// It was destroyed, and what is left of it is to be removed.
    #[n(5)]
    pub gone: bool,
    /// The SHA-1 of its avatars, in hexadecimal (XEP-0486).
    #[n(6)]
    pub avatars: Option<Vec<String>>,
    /// Its hats (XEP-0317).
    #[cbor(n(7), default)]
    pub hats: Vec<RoomHat>,
    /// The number of the newest hat that it ever had.
    #[cbor(n(8), default)]
    pub hats_made: u32,
    /// Whoever made it: this account has a room more.
    #[n(9)]
    pub creator: Option<String>,
    /// What was said in it is or was published.
    #[cbor(n(10), default)]
    pub published: bool,
}

impl RoomRecord {
    /// Whether there may be pages of what was said in it.
    pub fn may_have_pages(&self) -> bool {
        self.published || self.config.logged
    }
}

/// A hat that those in a room may wear (XEP-0317).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RoomHat {
    /// By which it is known here; never used again.
    #[n(0)]
    pub number: u32,
    /// By which it is known everywhere.
    #[n(1)]
    pub uri: String,
    /// What it is called.
    #[n(2)]
    pub title: String,
    /// Its colour, as an angle in degrees.
    #[n(3)]
    pub hue: Option<String>,
    /// The language of the title.
    #[n(4)]
    pub lang: Option<String>,
}

/// A room as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredRoom {
    /// Itself.
    pub record: RoomRecord,
    /// Those affiliated with it, by address.
    pub members: Vec<(BareJid, RoomMember)>,
    /// The version that a change must name.
    pub version: u64,
}

/// A line of the list of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRoom {
    /// Its address.
    pub room: BareJid,
    /// What it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// In which language.
    pub lang: String,
    /// Whether everybody may see that there is it.
    pub public: bool,
    /// Whether everybody may enter.
    pub open: bool,
    /// Whether it ends with its last occupant, or was destroyed and may not be removed yet. What was listed before this was known
    /// says no.
    pub passing: bool,
}

/// Where a page of the list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFrom<'a> {
    /// At the first.
    Start,
    /// Behind this localpart.
    After(&'a str),
    /// Ahead of this localpart, going back.
    Before(&'a str),
    /// At the last, going back.
    End,
}

/// The contract. Reads are strong.
#[async_trait]
pub trait RoomRepository: Send + Sync + 'static {
    /// A room. One get and a query; `None`: there is none, which is never said when it could not be read.
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>>;
    /// Makes a room. One batch. Returns its version.
    ///
    /// # Errors
    /// `Conflict` if there is one: of two that make it one does.
    async fn create(
        &self,
        room: &BareJid,
        record: &RoomRecord,
        members: &[(BareJid, RoomMember)],
    ) -> Result<u64> {
        self.store(room, record, members, 0).await
    }
    /// Puts a room's record, and of those affiliated the ones that change ([`RoomMember::is_nothing`]: removed). One batch.
    /// Returns its new version.
    ///
    /// # Errors
    /// `Conflict` if its version is not `seen`. `TooLarge` for more than [`MAX_CHANGED`] members.
    async fn store(
        &self,
        room: &BareJid,
        record: &RoomRecord,
        members: &[(BareJid, RoomMember)],
        seen: u64,
    ) -> Result<u64>;
    /// Removes all of a room whose record says that it is gone, the record last. Repeatable.
    ///
    /// # Errors
    /// `Conflict` if its record says something else.
    async fn remove(&self, room: &BareJid) -> Result<()>;
    /// The version of a room's record; `None`: there is none, or it was destroyed. One get.
    async fn version(&self, room: &BareJid) -> Result<Option<u64>>;
    /// Its vCard, as its owner put it. One get.
    async fn vcard(&self, room: &BareJid) -> Result<Option<Bytes>>;
    /// Puts its vCard, together with the record that knows its avatars. One batch. Returns the record's new version.
    ///
    /// # Errors
    /// `Conflict` as for [`store`](Self::store); `TooLarge` beyond [`MAX_VCARD`].
    async fn put_vcard(
        &self,
        room: &BareJid,
        record: &RoomRecord,
        vcard: Option<Bytes>,
        seen: u64,
    ) -> Result<u64>;
    /// How many rooms an account has made that there still are; no more than `limit` are counted. One query.
    async fn made_by(&self, account: &BareJid, limit: usize) -> Result<usize>;
    /// The rooms of a service that an account subscribes to; at most `limit`. One query, and a get for each.
    async fn subscriptions(
        &self,
        account: &BareJid,
        service: &str,
        limit: usize,
    ) -> Result<Vec<(BareJid, RoomSubscription)>>;
    /// An account is being erased: no index says any more what it made and subscribes to. Rooms know it still. Repeatable.
    async fn forget(&self, account: &BareJid) -> Result<()>;
    /// Rooms of a service in the order of their localparts, or against it; at most `limit`. Fewer only if there are no more.
    async fn list(
        &self,
        service: &str,
        from: ListFrom<'_>,
        limit: usize,
    ) -> Result<Vec<ListedRoom>>;
}

/// Members that one change may name.
pub const MAX_CHANGED: usize = 48;
/// Longest vCard of a room.
pub const MAX_VCARD: usize = 200 << 10;
/// Those that a room may be affiliated with.
pub const MAX_MEMBERS: usize = 100_000;
