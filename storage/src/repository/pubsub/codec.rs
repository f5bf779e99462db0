//! Records of nodes: CBOR maps with numeric keys. Their bytes are what an earlier version wrote, so numbers never change.

use std::sync::Arc;

use minicbor::{Decode, Encode, bytes::ByteVec};
use xmpp::{BareJid, Jid};

use super::model::{
    PubsubAffiliation, PubsubField, PubsubHead, PubsubItem, PubsubItemHead, PubsubState,
    PubsubSubscription,
};
use crate::{
    error::Result,
    repository::{
        record::{self, Opened, corrupt},
        value,
    },
    shape::Record,
};

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct StoredHead {
    #[n(0)]
    node: String,
    #[n(1)]
    generation: u64,
    #[n(2)]
    sequence: u64,
    #[n(3)]
    created_ms: u64,
    #[n(4)]
    creator: String,
    #[n(5)]
    config: Vec<PubsubField>,
    #[n(6)]
    affiliations: Vec<(String, u8)>,
    #[n(7)]
    last: Option<StoredItem>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct StoredItem {
    #[n(0)]
    id: String,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    published_ms: u64,
    #[n(3)]
    publisher: String,
    /// Absent where a pointer stands in its place.
    #[n(4)]
    payload: Option<ByteVec>,
    #[n(5)]
    bytes: u32,
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct StoredSubscription {
    #[n(0)]
    jid: String,
    #[n(1)]
    id: String,
    #[n(2)]
    state: u8,
    #[n(3)]
    options: Vec<PubsubField>,
}

impl StoredHead {
    pub(super) fn of(head: &PubsubHead) -> Self {
        let affiliation = |(jid, it): &(BareJid, PubsubAffiliation)| {
            (jid.as_str().to_owned(), affiliation_number(*it))
        };
        Self {
            node: head.node.clone(),
            generation: head.generation,
            sequence: head.sequence,
            created_ms: head.created_ms,
            creator: head.creator.as_str().to_owned(),
            config: head.config.clone(),
            affiliations: head.affiliations.iter().map(affiliation).collect(),
            last: head.last.as_ref().map(|last| StoredItem::of(last, true)),
        }
    }

    fn into_head(self, version: u64) -> Result<PubsubHead> {
        let bare = |text: &str| {
            BareJid::parse(text).map_err(|e| corrupt("an address of a node").with_source(e))
        };
        let affiliation = |(jid, number): &(String, u8)| {
            let known = affiliation_of(*number).ok_or_else(|| corrupt("an affiliation"))?;
            Ok((bare(jid)?, known))
        };
        Ok(PubsubHead {
            version,
            generation: self.generation,
            sequence: self.sequence,
            created_ms: self.created_ms,
            creator: bare(&self.creator)?,
            config: self.config,
            affiliations: self
                .affiliations
                .iter()
                .map(affiliation)
                .collect::<Result<_>>()?,
            last: self.last.map(|last| last.into_item(None)),
            node: self.node,
        })
    }
}

impl StoredItem {
    pub(super) fn of(item: &PubsubItem, with_payload: bool) -> Self {
        Self {
            id: item.head.id.as_ref().to_owned(),
            sequence: item.head.sequence,
            published_ms: item.head.published_ms,
            publisher: item.head.publisher.as_ref().to_owned(),
            payload: with_payload.then(|| item.payload.to_vec().into()),
            bytes: item.head.bytes,
        }
    }

    fn into_item(self, blob: Option<Arc<str>>) -> PubsubItem {
        let payload: Vec<u8> = self.payload.map(Into::into).unwrap_or_default();
        PubsubItem {
            head: PubsubItemHead {
                id: self.id.into(),
                sequence: self.sequence,
                published_ms: self.published_ms,
                publisher: self.publisher.into(),
                bytes: self.bytes,
                blob,
            },
            payload: payload.into(),
        }
    }
}

impl StoredSubscription {
    pub(super) fn of(subscription: &PubsubSubscription) -> Self {
        Self {
            jid: subscription.jid.as_str().to_owned(),
            id: subscription.id.as_ref().to_owned(),
            state: state_number(subscription.state),
            options: subscription.options.clone(),
        }
    }
}

/// A head as it was found.
pub(super) fn head(found: &Record) -> Result<PubsubHead> {
    record::decode::<StoredHead>(found)?.into_head(found.version)
}

/// An item as it was found; the payload of a large one is in its blob.
pub(super) fn item(found: &Record) -> Result<PubsubItem> {
    match record::open(&found.value)? {
        Opened::Body(body) => Ok(record::from_cbor::<StoredItem>(&body)?.into_item(None)),
        Opened::Pointer(pointer) => {
            let (blob, head) = value::read_pointer(pointer)?;
            let head = head.ok_or_else(|| corrupt("an item whose pointer has no head"))?;
            Ok(record::from_cbor::<StoredItem>(&head)?.into_item(Some(blob.into())))
        }
    }
}

/// A subscription as it was found.
pub(super) fn subscription(found: &Record) -> Result<PubsubSubscription> {
    let stored: StoredSubscription = record::decode(found)?;
    Ok(PubsubSubscription {
        jid: Jid::parse(&stored.jid).map_err(|e| corrupt("a subscriber").with_source(e))?,
        id: stored.id.into(),
        state: state_of(stored.state).ok_or_else(|| corrupt("a state of a subscription"))?,
        options: stored.options,
    })
}

fn affiliation_number(affiliation: PubsubAffiliation) -> u8 {
    match affiliation {
        PubsubAffiliation::Owner => 1,
        PubsubAffiliation::Publisher => 2,
        PubsubAffiliation::PublishOnly => 3,
        PubsubAffiliation::Member => 4,
        PubsubAffiliation::Outcast => 5,
    }
}

fn affiliation_of(number: u8) -> Option<PubsubAffiliation> {
    PubsubAffiliation::ALL
        .into_iter()
        .find(|known| affiliation_number(*known) == number)
}

fn state_number(state: PubsubState) -> u8 {
    match state {
        PubsubState::Pending => 1,
        PubsubState::Unconfigured => 2,
        PubsubState::Subscribed => 3,
    }
}

fn state_of(number: u8) -> Option<PubsubState> {
    [
        PubsubState::Pending,
        PubsubState::Unconfigured,
        PubsubState::Subscribed,
    ]
    .into_iter()
    .find(|known| state_number(*known) == number)
}
