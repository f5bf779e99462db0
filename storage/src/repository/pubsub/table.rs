//! Nodes over a table and blobs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::BareJid;

use super::{
    PubsubChange, PubsubHead, PubsubItem, PubsubItemHead, PubsubNode, PubsubRepository,
    codec::{self, StoredHead, StoredItem, StoredSubscription},
    keys::Keys,
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        object::{self, Draft, Kind},
        paging, record, value,
    },
    shape::{Batch, Blobs, Condition, Consistency, Key, Query, Record, Space, Table},
};

/// Records of a node that are read: its items, or its subscriptions. More than any configuration permits.
const MAX_RECORDS: usize = 100_000;
/// What the record of an item has beside its payload, about: what is longer may be in a blob.
const RECORD_ROOM: usize = 1_024;
/// Operations of a batch beside the removals of items: the head, an item, a list, subscriptions and their index.
const REMOVALS_AT_ONCE: usize = 40;

/// The implementation over a table and blobs.
pub struct TablePubsub {
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    inline_max: usize,
    clock: Arc<dyn Clock>,
}

impl TablePubsub {
    /// Nodes in this table; payloads of more than `inline_max` bytes in these blobs.
    pub fn new(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, inline_max: usize) -> Self {
        Self {
            table,
            blobs,
            inline_max,
            clock: Arc::new(SystemClock),
        }
    }

    async fn range(&self, partition: Bytes, prefix: &Bytes, limit: usize) -> Result<Vec<Record>> {
        let query = Query {
            space: Space::Core,
            partition,
            from: Some(prefix.clone()),
            until: key::prefix_end(prefix),
            reverse: false,
            limit: 1,
            consistency: Consistency::Strong,
        };
        paging::collect(&*self.table, query, limit).await
    }

    /// The payload of an item that was found without it.
    async fn filled(&self, item: PubsubItem) -> Result<Option<PubsubItem>> {
        let Some(blob) = &item.head.blob else {
            return Ok(Some(item));
        };
        // Absent: it was replaced since.
        let Some(found) = self.blobs.get(blob).await? else {
            return Ok(None);
        };
        let content = object::read_header(&found.bytes)?.1;
        let payload = found.bytes.slice(content..);
        Ok(Some(PubsubItem { payload, ..item }))
    }

    /// The value of an item's record, and the blob that it points at.
    async fn item_value(
        &self,
        service: &BareJid,
        item: &PubsubItem,
    ) -> Result<(Vec<u8>, Option<Draft>)> {
        let sealed = record::seal(&record::to_cbor(&StoredItem::of(item, true)), 0)?;
        if sealed.len() <= self.inline_max {
            return Ok((sealed, None));
        }
        let draft = Draft::new(service, Kind::Value, item.head.sequence, &self.clock);
        let mut bytes = object::header(service);
        bytes.extend_from_slice(&item.payload);
        draft.put(&*self.blobs, bytes.into()).await?;
        let head = record::to_cbor(&StoredItem::of(item, false));
        let pointer = value::pointer(draft.name.clone(), head);
        Ok((record::seal_pointer(&pointer, 0), Some(draft)))
    }

    async fn remove_all(&self, keys: Vec<Key>) -> Result<()> {
        for some in keys.chunks(Batch::MAX / 2) {
            let batch = some.iter().fold(Batch::new(), |batch, key| {
                batch.delete(key.clone(), Condition::Any)
            });
            self.table.write(batch).await?;
        }
        Ok(())
    }

    /// The blobs of items that go. Of one that was just stored only its record tells.
    async fn blobs_of(
        &self,
        keys: &Keys,
        generation: u64,
        items: &[&PubsubItemHead],
    ) -> Result<Vec<Arc<str>>> {
        let mut blobs = Vec::new();
        for item in items {
            if item.blob.is_some() {
                blobs.extend(item.blob.clone());
            } else if item.bytes as usize + RECORD_ROOM > self.inline_max {
                let key = keys.item(generation, &item.id);
                let found = self.table.get(&key, Consistency::Strong).await?;
                let blob = found.map(|found| value::blob_of(&found)).transpose()?;
                blobs.extend(blob.flatten().map(Arc::from));
            }
        }
        Ok(blobs)
    }

    async fn forget(&self, blobs: Vec<Arc<str>>) {
        for blob in blobs {
            object::forget(&*self.blobs, &blob).await;
        }
    }

    /// The items that go with a change, those that its batch has no room for behind it.
    fn removals(keys: &Keys, head: &PubsubHead, change: &PubsubChange) -> (Vec<Key>, Vec<Key>) {
        let purged = head.generation.wrapping_sub(1);
        let of = |generation: u64, items: &[PubsubItemHead]| -> Vec<Key> {
            let keys = items.iter().map(|item| keys.item(generation, &item.id));
            keys.collect()
        };
        let mut now = of(head.generation, &change.removed);
        let mut later = now.split_off(now.len().min(REMOVALS_AT_ONCE));
        later.extend(of(purged, &change.purged));
        (now, later)
    }
}

/// Who has to do with a node of a service.
fn concerned(batch: Batch, service: &BareJid, node: &str, change: &PubsubChange) -> Batch {
    if service.local().is_some() {
        return batch;
    }
    change.concerned.iter().fold(batch, |batch, (jid, is)| {
        let key = Key {
            space: Space::Idx,
            partition: key::pubsub_concerned(service, jid),
            sort: key::localpart(node),
        };
        match is {
            true => batch.put(key, node.as_bytes().to_vec(), Condition::Any),
            false => batch.delete(key, Condition::Any),
        }
    })
}

fn names(records: &[Record]) -> Result<Vec<String>> {
    let name = |found: &Record| {
        let name = std::str::from_utf8(&found.value);
        name.map(str::to_owned)
            .map_err(|e| record::corrupt("the name of a node").with_source(e))
    };
    records.iter().map(name).collect()
}

#[async_trait]
impl PubsubRepository for TablePubsub {
    async fn heads(&self, account: &BareJid, limit: usize) -> Result<Vec<PubsubHead>> {
        let prefix = Bytes::from_static(key::PEP_NODES);
        let found = self.range(key::account(account), &prefix, limit).await?;
        found.iter().map(codec::head).collect()
    }

    async fn names(
        &self,
        service: &BareJid,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let query = Query {
            space: Space::Idx,
            partition: key::pubsub_list(service),
            from: after.map(|after| key::successor(&key::localpart(after))),
            until: None,
            reverse: false,
            limit: 1,
            consistency: Consistency::Eventual,
        };
        names(&paging::collect(&*self.table, query, limit).await?)
    }

    async fn names_of(
        &self,
        service: &BareJid,
        address: &BareJid,
        limit: usize,
    ) -> Result<Vec<String>> {
        let query = Query {
            space: Space::Idx,
            partition: key::pubsub_concerned(service, address),
            from: None,
            until: None,
            reverse: false,
            limit: 1,
            consistency: Consistency::Strong,
        };
        names(&paging::collect(&*self.table, query, limit).await?)
    }

    async fn load(&self, service: &BareJid, node: &str) -> Result<Option<PubsubNode>> {
        let keys = Keys::of(service, node);
        let Some(found) = self.table.get(&keys.head(), Consistency::Strong).await? else {
            return Ok(None);
        };
        let head = codec::head(&found)?;
        let subscriptions = self.range(keys.partition(), &keys.subscriptions, MAX_RECORDS);
        let subscriptions = subscriptions.await?;
        let prefix = keys.items(head.generation);
        let items = self.range(keys.partition(), &prefix, MAX_RECORDS).await?;
        let mut items: Vec<PubsubItemHead> = items
            .iter()
            .map(|found| codec::item(found).map(|item| item.head))
            .collect::<Result<_>>()?;
        items.sort_unstable_by_key(|item| item.sequence);
        Ok(Some(PubsubNode {
            head,
            subscriptions: Arc::new(
                subscriptions
                    .iter()
                    .map(codec::subscription)
                    .collect::<Result<_>>()?,
            ),
            items: Arc::new(items),
        }))
    }

    async fn item(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        id: &str,
    ) -> Result<Option<PubsubItem>> {
        let key = Keys::of(service, &head.node).item(head.generation, id);
        match self.table.get(&key, Consistency::Strong).await? {
            Some(found) => self.filled(codec::item(&found)?).await,
            None => Ok(None),
        }
    }

    async fn items(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        limit: usize,
    ) -> Result<Vec<PubsubItem>> {
        let keys = Keys::of(service, &head.node);
        let prefix = keys.items(head.generation);
        let found = self.range(keys.partition(), &prefix, MAX_RECORDS).await?;
        let mut items: Vec<PubsubItem> = found.iter().map(codec::item).collect::<Result<_>>()?;
        items.sort_unstable_by_key(|item| item.head.sequence);
        let mut filled = Vec::with_capacity(items.len().min(limit));
        for item in items.into_iter().take(limit) {
            filled.extend(self.filled(item).await?);
        }
        Ok(filled)
    }

    async fn store(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        change: &PubsubChange,
    ) -> Result<u64> {
        let keys = Keys::of(service, &head.node);
        let write_id = record::fresh_id();
        let value = record::seal(&record::to_cbor(&StoredHead::of(head)), write_id)?;
        if value.len() > record::MAX_INLINE {
            return Err(Error::new(ErrorKind::TooLarge, "the head of a node"));
        }
        let seen = record::unchanged_since(head.version);
        let mut batch = Batch::new().put(keys.head(), value, seen);
        if let (0, Some(listed)) = (head.version, &keys.listed) {
            batch = batch.put(listed.clone(), head.node.clone(), Condition::Any);
        }
        let of_now: Vec<_> = change.removed.iter().chain(&change.replaced).collect();
        let purged: Vec<_> = change.purged.iter().collect();
        let mut gone = self.blobs_of(&keys, head.generation, &of_now).await?;
        let former = head.generation.wrapping_sub(1);
        gone.extend(self.blobs_of(&keys, former, &purged).await?);
        let mut draft = None;
        if let Some(item) = &change.put {
            let key = keys.item(head.generation, &item.head.id);
            let (value, made) = self.item_value(service, item).await?;
            batch = batch.put(key, value, Condition::Any);
            draft = made;
        }
        for subscription in &change.subscribed {
            let key = keys.subscription(subscription.jid.as_str(), &subscription.id);
            let stored = record::to_cbor(&StoredSubscription::of(subscription));
            batch = batch.put(key, record::seal(&stored, 0)?, Condition::Any);
        }
        for gone in &change.unsubscribed {
            let key = keys.subscription(gone.jid.as_str(), &gone.id);
            batch = batch.delete(key, Condition::Any);
        }
        batch = concerned(batch, service, &head.node, change);
        let (now, later) = Self::removals(&keys, head, change);
        batch = now
            .into_iter()
            .fold(batch, |batch, key| batch.delete(key, Condition::Any));
        if let Some(draft) = &draft {
            draft.check()?;
        }
        if let Err(error) = record::commit(&*self.table, batch, write_id).await {
            // Of a lost answer nobody knows whether the record points at it.
            if let Some(draft) = draft.filter(|_| object::is_refused(&error)) {
                object::forget(&*self.blobs, &draft.name).await;
            }
            return Err(error);
        }
        self.forget(gone).await;
        // They are none of the node's any more.
        if let Err(error) = self.remove_all(later).await {
            tracing::debug!(%service, node = head.node, %error, "removed items are left behind");
        }
        Ok(head.version + 1)
    }

    async fn remove(&self, service: &BareJid, node: &PubsubNode) -> Result<()> {
        let head = &node.head;
        let keys = Keys::of(service, &head.node);
        let items: Vec<_> = node.items.iter().collect();
        let blobs = self.blobs_of(&keys, head.generation, &items).await?;
        let mut batch = Batch::new().delete(keys.head(), record::unchanged_since(head.version));
        if let Some(listed) = &keys.listed {
            batch = batch.delete(listed.clone(), Condition::Any);
        }
        match self.table.write(batch).await {
            // It is gone: by this very write, if its answer was lost.
            Err(error) if error.conflict_at().is_some_and(|at| at.current.is_none()) => {}
            written => written?,
        }
        self.forget(blobs).await;
        let items = node.items.iter();
        let items = items.map(|item| keys.item(head.generation, &item.id));
        let subscriptions = node.subscriptions.iter();
        let subscriptions = subscriptions.map(|it| keys.subscription(it.jid.as_str(), &it.id));
        let people = node.subscriptions.iter().map(|it| it.jid.to_bare());
        let people = people.chain(head.affiliations.iter().map(|(jid, _)| jid.clone()));
        let indexed = people.filter(|_| keys.listed.is_some()).map(|jid| Key {
            space: Space::Idx,
            partition: key::pubsub_concerned(service, &jid),
            sort: key::localpart(&head.node),
        });
        let mut rest: Vec<Key> = items.chain(subscriptions).chain(indexed).collect();
        rest.sort_unstable();
        rest.dedup();
        self.remove_all(rest).await
    }
}
