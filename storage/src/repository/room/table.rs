//! Rooms over a table.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use super::{
    ListFrom, ListedRoom, MAX_CHANGED, MAX_MEMBERS, MAX_VCARD, RoomMember, RoomRecord,
    RoomRepository, RoomSubscription, StoredRoom,
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, Records, corrupt},
    },
    shape::{Batch, Condition, Consistency, Key, Query, Record, Space, Table},
};

/// Members of a change that is small: what was said of each elsewhere is removed with it.
const FEW: usize = 4;
/// Lines of an index that are read at once.
const LINES_AT_ONCE: usize = 100;
/// How often a room is read again that changes while it is read.
const MAX_ATTEMPTS: usize = 8;

/// The implementation over a table.
pub struct TableRooms {
    records: Records,
}

/// A line of the list, as it is stored.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Listing {
    #[n(0)]
    name: String,
    #[n(1)]
    description: String,
    #[n(2)]
    lang: String,
    #[n(3)]
    public: bool,
    #[n(4)]
    open: bool,
    #[cbor(n(5), default)]
    passing: bool,
}

impl From<&RoomRecord> for Listing {
    fn from(record: &RoomRecord) -> Self {
        let config = &record.config;
        Self {
            name: config.name.clone(),
            description: config.description.clone(),
            lang: config.lang.clone(),
            // What is not configured yet is not there for others.
            public: config.public && !record.locked && !record.gone,
            open: !config.members_only && config.password.is_none(),
            passing: !config.persistent || record.locked || record.gone,
        }
    }
}

/// A vCard, as it is stored.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Card {
    #[cbor(n(0), with = "minicbor::bytes")]
    xml: Vec<u8>,
}

fn of_room(room: &BareJid, sort: Bytes) -> Key {
    Key {
        space: Space::Core,
        partition: key::room(room),
        sort,
    }
}

fn listing_key(room: &BareJid) -> Key {
    Key {
        space: Space::Idx,
        partition: key::room_list(room.domain()),
        sort: key::localpart(room.local().unwrap_or_default()),
    }
}

/// Where it is kept that somebody subscribes to a room.
fn subscribed_key(room: &BareJid, account: &BareJid) -> Key {
    Key {
        space: Space::Idx,
        partition: key::rooms_subscribed(account),
        sort: key::room_made(room),
    }
}

/// Where it is kept that somebody made a room.
fn made_key(room: &BareJid, record: &RoomRecord) -> Option<Key> {
    let creator = BareJid::parse(record.creator.as_deref()?).ok()?;
    Some(Key {
        space: Space::Idx,
        partition: key::rooms_made(&creator),
        sort: key::room_made(room),
    })
}

/// All lines of an index.
fn lines(partition: Bytes) -> Query {
    Query {
        space: Space::Idx,
        partition,
        from: None,
        until: None,
        reverse: false,
        limit: 1,
        consistency: Consistency::Strong,
    }
}

/// The value of a record that only its own batch writes.
fn sealed<T: Encode<()>>(value: &T) -> Result<Vec<u8>> {
    record::seal(&record::to_cbor(value), record::fresh_id())
}

impl TableRooms {
    /// Rooms in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }

    /// The batch of a change: its list entry, and what else goes with it.
    fn with_listing(room: &BareJid, record: &RoomRecord, batch: Batch) -> Result<Batch> {
        let listing = sealed(&Listing::from(record))?;
        Ok(batch.put(listing_key(room), listing, Condition::Any))
    }

    async fn load_once(&self, room: &BareJid, key: &Key) -> Result<Option<Option<StoredRoom>>> {
        let Some((record, version)) = self.records.load::<RoomRecord>(key).await? else {
            return Ok(Some(None));
        };
        let query = Query {
            space: Space::Core,
            partition: key::room(room),
            from: Some(key::ROOM_MEMBERS.into()),
            until: key::prefix_end(key::ROOM_MEMBERS),
            reverse: false,
            limit: 1,
            consistency: Consistency::Strong,
        };
        let found = paging::collect(&*self.records.table, query, MAX_MEMBERS).await?;
        let after = self.records.load::<RoomRecord>(key).await?;
        if after.map(|(_, version)| version) != Some(version) {
            return Ok(None);
        }
        let members = found.iter().map(member).collect::<Result<_>>()?;
        Ok(Some(Some(StoredRoom {
            record,
            members,
            version,
        })))
    }
}

fn member(record: &Record) -> Result<(BareJid, RoomMember)> {
    let (address, member): (String, RoomMember) = record::decode(record)?;
    let address = BareJid::parse(&address)
        .map_err(|error| corrupt("a member that has no address").with_source(error))?;
    Ok((address, member))
}

/// Takes the room out of the lists of those who subscribe to it, of what is kept of it; `None`: nobody does.
fn unlisted(room: &BareJid, kept: &[Record]) -> Option<Batch> {
    let members = kept
        .iter()
        .filter(|record| record.sort.starts_with(key::ROOM_MEMBERS))
        .filter_map(|record| member(record).ok());
    let subscribers = members.filter(|(_, member)| member.subscription.is_some());
    subscribers.fold(None, |batch, (account, _)| {
        let key = subscribed_key(room, &account);
        Some(batch.unwrap_or_default().delete(key, Condition::Any))
    })
}

fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::TooLarge, what)
}

#[async_trait]
impl RoomRepository for TableRooms {
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
        let key = of_room(room, key::ROOM);
        for _ in 0..MAX_ATTEMPTS {
            if let Some(found) = self.load_once(room, &key).await? {
                return Ok(found);
            }
        }
        Err(Error::new(
            ErrorKind::Throttled,
            "a room that changes all the time",
        ))
    }

    async fn store(
        &self,
        room: &BareJid,
        record: &RoomRecord,
        members: &[(BareJid, RoomMember)],
        seen: u64,
    ) -> Result<u64> {
        if members.len() > MAX_CHANGED {
            return Err(too_large("too many members of a room at once"));
        }
        let mut batch = Self::with_listing(room, record, Batch::new())?;
        for (address, member) in members {
            let listed = subscribed_key(room, address);
            if member.subscription.is_some() {
                let value = sealed(&room.as_str().to_owned())?;
                batch = batch.put(listed, value, Condition::Any);
            } else if members.len() <= FEW {
                // Who is not any more is removed alone; a line that is left says nothing that is not looked up.
                batch = batch.delete(listed, Condition::Any);
            }
            let key = of_room(room, key::room_member(address));
            batch = match member.is_nothing() {
                true => batch.delete(key, Condition::Any),
                false => {
                    let value = sealed(&(address.as_str().to_owned(), member.clone()))?;
                    batch.put(key, value, Condition::Any)
                }
            };
        }
        if let (0, Some(key)) = (seen, made_key(room, record)) {
            batch = batch.put(key, sealed(&())?, Condition::Any);
        }
        let key = of_room(room, key::ROOM);
        self.records.store_with(key, record, seen, batch).await
    }

    async fn remove(&self, room: &BareJid) -> Result<()> {
        let key = of_room(room, key::ROOM);
        let table = &*self.records.table;
        let Some((record, version)) = self.records.load::<RoomRecord>(&key).await? else {
            return Ok(());
        };
        if !record.gone {
            return Err(Error::conflict(0, None));
        }
        let mut query = Query {
            space: Space::Core,
            partition: key::room(room),
            from: None,
            until: None,
            reverse: false,
            limit: MAX_CHANGED,
            consistency: Consistency::Strong,
        };
        loop {
            let (mut records, more) = paging::next_page(table, &mut query).await?;
            records.retain(|record| record.sort != key::ROOM);
            // While it is known who subscribes.
            if let Some(unlisted) = unlisted(room, &records) {
                table.write(unlisted).await?;
            }
            paging::delete_all(table, Space::Core, &key.partition, records).await?;
            if !more {
                break;
            }
        }
        let last = Batch::new()
            .delete(key, Condition::Version(version))
            .delete(listing_key(room), Condition::Any);
        let last = match made_key(room, &record) {
            Some(key) => last.delete(key, Condition::Any),
            None => last,
        };
        match table.write(last).await {
            // Another removed it, or this did and was not told.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                match self
                    .records
                    .load::<RoomRecord>(&of_room(room, key::ROOM))
                    .await?
                {
                    None => Ok(()),
                    Some(_) => Err(error),
                }
            }
            written => written,
        }
    }

    async fn version(&self, room: &BareJid) -> Result<Option<u64>> {
        let key = of_room(room, key::ROOM);
        let found = self.records.load::<RoomRecord>(&key).await?;
        let there = found.filter(|(record, _)| !record.gone);
        Ok(there.map(|(_, version)| version))
    }

    async fn vcard(&self, room: &BareJid) -> Result<Option<Bytes>> {
        let found = self
            .records
            .load::<Card>(&of_room(room, key::VCARD))
            .await?;
        Ok(found.map(|(card, _)| card.xml.into()))
    }

    async fn put_vcard(
        &self,
        room: &BareJid,
        record: &RoomRecord,
        vcard: Option<Bytes>,
        seen: u64,
    ) -> Result<u64> {
        let key = of_room(room, key::VCARD);
        let batch = match vcard {
            Some(vcard) if vcard.len() > MAX_VCARD => {
                return Err(too_large("a vCard of a room that is too long"));
            }
            Some(vcard) => {
                let card = sealed(&Card { xml: vcard.into() })?;
                Batch::new().put(key, card, Condition::Any)
            }
            None => Batch::new().delete(key, Condition::Any),
        };
        let key = of_room(room, key::ROOM);
        self.records.store_with(key, record, seen, batch).await
    }

    async fn subscriptions(
        &self,
        account: &BareJid,
        service: &str,
        limit: usize,
    ) -> Result<Vec<(BareJid, RoomSubscription)>> {
        let mut query = lines(key::rooms_subscribed(account));
        let mut subscriptions = Vec::new();
        loop {
            query.limit = LINES_AT_ONCE;
            let (found, more) = paging::next_page(&*self.records.table, &mut query).await?;
            for line in &found {
                if subscriptions.len() >= limit {
                    return Ok(subscriptions);
                }
                let address: String = record::decode(line)?;
                let room = BareJid::parse(&address)
                    .map_err(|error| corrupt("a room that has no address").with_source(error))?;
                if room.domain() != service {
                    continue;
                }
                let key = of_room(&room, key::room_member(account));
                let known = self.records.load::<(String, RoomMember)>(&key).await?;
                let subscription = known.and_then(|((_, member), _)| member.subscription);
                subscriptions.extend(subscription.map(|it| (room, it)));
            }
            if !more {
                return Ok(subscriptions);
            }
        }
    }

    async fn made_by(&self, account: &BareJid, limit: usize) -> Result<usize> {
        let query = lines(key::rooms_made(account));
        let found = paging::collect(&*self.records.table, query, limit).await?;
        Ok(found.len())
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let table = &*self.records.table;
        for partition in [key::rooms_made(account), key::rooms_subscribed(account)] {
            let mut query = lines(partition.clone());
            query.limit = LINES_AT_ONCE;
            loop {
                let (found, more) = paging::next_page(table, &mut query).await?;
                paging::delete_all(table, Space::Idx, &partition, found).await?;
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn list(
        &self,
        service: &str,
        from: ListFrom<'_>,
        limit: usize,
    ) -> Result<Vec<ListedRoom>> {
        let (after, before, reverse) = match from {
            ListFrom::Start => (None, None, false),
            ListFrom::After(local) => (Some(key::successor(&key::localpart(local))), None, false),
            ListFrom::Before(local) => (None, Some(key::localpart(local)), true),
            ListFrom::End => (None, None, true),
        };
        let query = Query {
            from: after,
            until: before,
            reverse,
            ..lines(key::room_list(service))
        };
        let found = paging::collect(&*self.records.table, query, limit).await?;
        found.iter().map(|record| listed(service, record)).collect()
    }
}

fn listed(service: &str, record: &Record) -> Result<ListedRoom> {
    let local = std::str::from_utf8(&record.sort).ok();
    let room = local.and_then(|local| BareJid::from_parts(Some(local), service).ok());
    let listing: Listing = record::decode(record)?;
    Ok(ListedRoom {
        room: room.ok_or_else(|| corrupt("a room that has no address"))?,
        name: listing.name,
        description: listing.description,
        lang: listing.lang,
        public: listing.public,
        open: listing.open,
        passing: listing.passing,
    })
}

#[cfg(test)]
mod tests;
