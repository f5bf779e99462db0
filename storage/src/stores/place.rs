//! A place: where records and objects are kept together.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    error::Result,
    layer::{Class, Limited, Limiter},
    repository::{
        PrivateXmlLimits, TableLogs, TablePrivateXml, TablePubsub, TableRosters, TableVcards,
    },
    shape::{Blobs, Table},
};

/// What is a record and what is a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Longest private XML or vCard that is a record; a table that charges by the kilobyte wants it small.
    pub inline_max: usize,
    /// Longest roster that is a record: higher, because presence waits for rosters.
    pub roster_inline_max: usize,
    /// Longest stanza that stands in its log. What is longer is a blob, which must then answer for the log to take it or
    /// to hand it over: above the longest stanza that clients may send nothing of a message waits for blobs.
    pub stanza_inline_max: usize,
    /// Bounds of private XML.
    pub private_xml: PrivateXmlLimits,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            inline_max: 8 << 10,
            roster_inline_max: 300 << 10,
            stanza_inline_max: 300 << 10,
            private_xml: PrivateXmlLimits::default(),
        }
    }
}

/// Removes what has expired, where the store does not by itself. It is absent to readers already.
#[async_trait]
pub trait Expire: Send + Sync + 'static {
    /// Removes records that have expired by `now` (seconds since 1970), about `limit` at most; how many it removed.
    ///
    /// # Errors
    /// As any write; what was removed until then is gone.
    async fn expire(&self, now: u64, limit: usize) -> Result<u64>;
}

/// Where records and objects are kept together. Clones are the same place.
#[derive(Clone)]
pub struct Place {
    /// Its records.
    pub table: Arc<dyn Table>,
    /// Its large values.
    pub blobs: Arc<dyn Blobs>,
    /// What is large.
    pub limits: StoreLimits,
    /// What decides who waits when the store asks for less; `None`: it never does.
    pub limiter: Option<Arc<Limiter>>,
    /// The table through its cache, for calls of the class [`Class::Roster`]: what is cached is written through it alone.
    pub cached: Option<Arc<dyn Table>>,
    /// What removes expired records of the table; `None`: it does so itself.
    pub expire: Option<Arc<dyn Expire>>,
}

impl Place {
    /// With the default limits.
    pub fn new(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            table,
            blobs,
            limits: StoreLimits::default(),
            limiter: None,
            cached: None,
            expire: None,
        }
    }

    /// The table, for calls of this class.
    pub fn table_for(&self, class: Class) -> Arc<dyn Table> {
        if let (Class::Roster, Some(cached)) = (class, &self.cached) {
            return cached.clone();
        }
        let table = self.table.clone();
        match &self.limiter {
            Some(limiter) => Arc::new(Limited::new(table, limiter.clone(), class)),
            None => table,
        }
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
    }

    /// Its rosters, through a layer over its table, as the other ones here.
    pub(super) fn rosters(&self, table: Arc<dyn Table>) -> TableRosters {
        TableRosters::new(table, self.blobs.clone(), self.limits.roster_inline_max)
    }

    /// Its logs.
    pub(crate) fn logs(&self, table: Arc<dyn Table>) -> TableLogs {
        TableLogs::new(table, self.blobs.clone(), self.limits.stanza_inline_max)
    }

    /// Its private XML.
    pub(super) fn private_xml(&self, table: Arc<dyn Table>) -> TablePrivateXml {
        let StoreLimits {
            inline_max,
            private_xml,
            ..
        } = self.limits;
        TablePrivateXml::new(table, self.blobs.clone(), inline_max, private_xml)
    }

    /// Its pubsub nodes.
    pub(super) fn pubsub(&self, table: Arc<dyn Table>) -> TablePubsub {
        TablePubsub::new(table, self.blobs.clone(), self.limits.inline_max)
    }

    /// Its vCards.
    pub(super) fn vcards(&self, table: Arc<dyn Table>) -> TableVcards {
        TableVcards::new(table, self.blobs.clone(), self.limits.inline_max)
    }
}
