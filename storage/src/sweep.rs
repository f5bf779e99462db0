//! The sweep: objects that nobody points at are found and removed.
//!
//! Who writes an object puts it before the record that points at it; who dies between leaves an object. Its name says when
//! it was made and its bytes say whose it is, so a sweep lists all objects, a page at a time, and asks the records of the
//! owner of each that is older than a grace. No writer points at an object that old (`repository::object`), and none ever
//! points again at one that was given up: what nobody points at then, nobody ever will.
//!
//! A store of objects may serve several domains whose records are in different tables. Only objects of the owners that
//! these records are about are looked at; what a sweep cannot read it leaves.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use xmpp::BareJid;

use crate::{
    error::{ErrorKind, Result},
    key,
    repository::{
        TableLogs,
        object::{self, GRACE, Kind, OWNER_BYTES},
        paging, value,
    },
    shape::{Blobs, Consistency, Query, Space, Table},
};

/// Records of an owner that are asked for at once.
const RECORDS_AT_ONCE: usize = 50;
/// What the names of all objects of owners begin with.
const OBJECTS: &str = "u/";

/// What a page of a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that were listed.
    pub listed: u64,
    /// Objects that nobody pointed at, and that are gone.
    pub removed: u64,
    /// Where to go on; `None`: that was the last page.
    pub next: Option<String>,
}

/// Who sweeps.
pub struct Sweep {
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    logs: TableLogs,
    domains: Vec<String>,
    kinds: Vec<Kind>,
    grace: Duration,
}

impl Sweep {
    /// Sweeps the objects of the owners in these domains whose records are all in this table. No younger than `grace`,
    /// and never younger than four hours.
    pub fn new(
        table: Arc<dyn Table>,
        blobs: Arc<dyn Blobs>,
        domains: Vec<String>,
        grace: Duration,
    ) -> Self {
        Self {
            logs: TableLogs::new(table.clone(), blobs.clone(), usize::MAX),
            table,
            blobs,
            domains,
            kinds: Kind::ALL.into(),
            grace: grace.max(GRACE),
        }
    }

    /// Only those of logs: what other records point at is not all in this table.
    #[must_use]
    pub fn of_logs(self) -> Self {
        Self {
            kinds: vec![Kind::Segment, Kind::Stanza],
            ..self
        }
    }

    /// Looks at the next objects beyond `after`. One list; for each owner one ranged read; for each object one or two
    /// queries, for values those of an account.
    ///
    /// # Errors
    /// The store did not answer; the same page may be asked for again.
    pub async fn page(&self, after: Option<&str>, limit: usize, now: Duration) -> Result<Swept> {
        let names = self.blobs.list(OBJECTS, after, limit).await?;
        let mut swept = Swept {
            listed: names.len() as u64,
            removed: 0,
            next: names.last().filter(|_| names.len() == limit).cloned(),
        };
        let mut owner: Option<(String, Option<Owner>)> = None;
        for name in names {
            let Some(found) = object::read_name(&name) else {
                continue;
            };
            let old = now.saturating_sub(self.grace).as_millis();
            if u128::from(found.made_ms) > old || !self.kinds.contains(&found.kind) {
                continue;
            }
            let prefix = object::owner_prefix(&name).unwrap_or_default().to_owned();
            if owner.as_ref().is_none_or(|(known, _)| *known != prefix) {
                let found = self.owner_of(&name, &prefix).await?;
                owner = Some((prefix, found));
            }
            let Some((_, Some(owner))) = &mut owner else {
                continue;
            };
            let is_pointed_at = match found.kind {
                Kind::Value => owner.points_at(&*self.table, &name).await?,
                Kind::Segment | Kind::Stanza => {
                    is_pointed_at(&self.logs, &owner.jid, &name).await?
                }
            };
            if !is_pointed_at {
                tracing::info!(name, owner = %owner.jid, "an object that nobody points at is removed");
                self.blobs.remove(&name).await?;
                swept.removed += 1;
            }
        }
        Ok(swept)
    }

    /// The owner of an object, if it is one of ours.
    async fn owner_of(&self, name: &str, prefix: &str) -> Result<Option<Owner>> {
        let Some(bytes) = self.blobs.get_range(name, 0..OWNER_BYTES).await? else {
            return Ok(None);
        };
        let jid = match object::read_header(&bytes) {
            Ok((Some(jid), _)) if key::account_blobs(&jid) == prefix => jid,
            _ => {
                tracing::warn!(name, "an object that does not say whose it is");
                return Ok(None);
            }
        };
        let is_ours = self.domains.iter().any(|domain| *domain == jid.domain());
        let values = Values::NotAsked;
        Ok(is_ours.then_some(Owner { jid, values }))
    }
}

/// Whose objects are looked at.
struct Owner {
    jid: BareJid,
    values: Values,
}

/// The objects that records of an account point at.
enum Values {
    NotAsked,
    Known(BTreeSet<String>),
    /// A record of it cannot be read, and may point at anything.
    Unreadable,
}

impl Owner {
    /// Whether a record of the account points at this object, or may.
    async fn points_at(&mut self, table: &dyn Table, name: &str) -> Result<bool> {
        if let Values::NotAsked = self.values {
            self.values = match values(table, &self.jid).await {
                Ok(known) => Values::Known(known),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let owner = &self.jid;
                    tracing::warn!(%error, %owner, "values are not swept: a record cannot be read");
                    Values::Unreadable
                }
                Err(error) => return Err(error),
            };
        }
        Ok(match &self.values {
            Values::Known(known) => known.contains(name),
            Values::NotAsked | Values::Unreadable => true,
        })
    }
}

/// The objects that records of an account point at. One ranged read for each page of its records.
///
/// # Errors
/// `Corrupt` if one of them cannot be read.
async fn values(table: &dyn Table, account: &BareJid) -> Result<BTreeSet<String>> {
    let mut query = Query {
        space: Space::Core,
        partition: key::account(account),
        from: None,
        until: None,
        reverse: false,
        limit: RECORDS_AT_ONCE,
        consistency: Consistency::Strong,
    };
    let mut found = BTreeSet::new();
    loop {
        let (records, more) = paging::next_page(table, &mut query).await?;
        for record in &records {
            found.extend(value::blob_of(record)?);
        }
        if !more {
            return Ok(found);
        }
    }
}

/// Whether the log of an archive points at an object of this name.
pub(crate) async fn is_pointed_at(logs: &TableLogs, archive: &BareJid, name: &str) -> Result<bool> {
    let Some(found) = object::read_name(name) else {
        return Ok(true);
    };
    match logs.points_at(archive, found, name).await {
        // It cannot be told.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
        result => result,
    }
}
