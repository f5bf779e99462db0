//! Where records of nodes are: an account's in its own partition, a service's in one for each node.

use bytes::Bytes;
use xmpp::BareJid;

use crate::{
    key,
    shape::{Key, Space},
};

/// The records of a node.
pub(super) struct Keys {
    partition: Bytes,
    head: Bytes,
    /// What sort keys of subscriptions begin with.
    pub(super) subscriptions: Bytes,
    items: Bytes,
    /// Where it is listed, if it is a service's.
    pub(super) listed: Option<Key>,
}

impl Keys {
    pub(super) fn of(service: &BareJid, node: &str) -> Self {
        if service.local().is_some() {
            return Self {
                partition: key::account(service),
                head: key::pep_node(node),
                subscriptions: key::pep_subscriptions(node),
                items: key::pep_items(node),
                listed: None,
            };
        }
        Self {
            partition: key::pubsub_node(service, node),
            head: key::PUBSUB_HEAD,
            subscriptions: Bytes::from_static(key::PUBSUB_SUBSCRIPTIONS),
            items: Bytes::from_static(key::PUBSUB_ITEMS),
            listed: Some(Key {
                space: Space::Idx,
                partition: key::pubsub_list(service),
                sort: key::localpart(node),
            }),
        }
    }

    pub(super) fn partition(&self) -> Bytes {
        self.partition.clone()
    }

    fn at(&self, sort: Bytes) -> Key {
        Key {
            space: Space::Core,
            partition: self.partition.clone(),
            sort,
        }
    }

    pub(super) fn head(&self) -> Key {
        self.at(self.head.clone())
    }

    pub(super) fn subscription(&self, jid: &str, id: &str) -> Key {
        self.at(key::pubsub_subscription(&self.subscriptions, jid, id))
    }

    /// What sort keys of items of this generation begin with.
    pub(super) fn items(&self, generation: u64) -> Bytes {
        [&self.items[..], &generation.to_be_bytes()].concat().into()
    }

    pub(super) fn item(&self, generation: u64, id: &str) -> Key {
        self.at(key::pubsub_item(&self.items(generation), id))
    }
}
