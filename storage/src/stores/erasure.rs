//! The erasure of what a name has, in every place.
//!
//! Where its account was, the mark of its name says that it is being erased, from the removal on. In other places a mark of
//! their own is put before anything is looked at and taken away when nothing is left. An erasure is guarded by the mark
//! of the place it works on: when that is gone, somebody else has finished, and what is there is a new owner's.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use xmpp::BareJid;

use super::{
    layout::{Kept, Layout},
    place::Place,
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    key,
    layer::{Class, Guarded, guarded},
    repository::{Roster, VcardRepository, account::mark_key, paging},
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};

/// How much is removed at once.
const AT_ONCE: usize = 50;

/// How long a mark elsewhere stands that its eraser did not take away: it died, and the next one puts its own.
const MARKED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// The erasure of a name.
pub(super) struct Erasure<'a> {
    account: &'a BareJid,
    layout: &'a Layout,
    /// Each place with its mark; that of the account first.
    places: Vec<(&'a Place, Key)>,
}

impl<'a> Erasure<'a> {
    /// # Errors
    /// `NotAllowed` for an address without localpart.
    pub(super) fn new(account: &'a BareJid, layout: &'a Layout) -> Result<Self> {
        let of_account = mark_key(account)?;
        let elsewhere = guarded::erasure_mark(key::account(account));
        let places = layout.places().into_iter().map(|place| {
            let is_first = place.is(&layout.accounts);
            let mark = if is_first { &of_account } else { &elsewhere };
            (place, mark.clone())
        });
        Ok(Self {
            account,
            layout,
            places: places.collect(),
        })
    }

    /// Whether the name has nothing anywhere.
    pub(super) async fn is_clean(&self) -> Result<bool> {
        for (place, mark) in &self.places {
            if !self.is_clean_in(place, mark).await? {
                return Ok(false);
            }
        }
        let by_others = match &self.layout.messages {
            Kept::By(logs) => logs.tip(self.account).await?.head > 0,
            Kept::In(_) => false,
        };
        Ok(!by_others)
    }

    async fn is_clean_in(&self, place: &Place, mark: &Key) -> Result<bool> {
        if is_marked(place, mark).await? {
            return Ok(false);
        }
        let nothing = async |space, partition| {
            let query = Query {
                limit: 1,
                ..everything(space, partition)
            };
            let found = place.table.query(&query).await?;
            Ok::<_, Error>(found.records.is_empty() && !found.more)
        };
        let prefix = key::account_blobs(self.account);
        Ok(nothing(Space::Core, key::account(self.account)).await?
            && nothing(Space::Log, key::log(self.account)).await?
            && nothing(Space::Log, key::log_segments(self.account)).await?
            && place.blobs.list(&prefix, None, 1).await?.is_empty())
    }

    /// Erases everything. Repeatable after dying anywhere.
    pub(super) async fn run(&self) -> Result<()> {
        let elsewhere = &self.places[1..];
        let until = (SystemClock.now() + MARKED_FOR).as_secs();
        for (place, mark) in elsewhere {
            let batch = Batch::new().put_until(mark.clone(), "", Condition::Any, until);
            place.table.write(batch).await?;
        }
        // Looked at behind the marks: if somebody else has finished meanwhile, what is elsewhere is a new owner's.
        let (home, mark) = &self.places[0];
        let is_ours = is_marked(home, mark).await?;
        if is_ours {
            self.erase_by_others().await?;
            self.erase_in_places().await?;
        }
        for (place, mark) in elsewhere {
            let batch = Batch::new().delete(mark.clone(), Condition::Any);
            place.table.write(batch).await?;
        }
        Ok(())
    }

    async fn erase_in_places(&self) -> Result<()> {
        for (place, mark) in &self.places {
            match self.erase_in(place, mark).await {
                // Its mark is gone: somebody else has done it.
                Err(error) if error.kind() == ErrorKind::NotAllowed => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// What systems keep that fit no shape. Those that only read keep it: it is theirs.
    async fn erase_by_others(&self) -> Result<()> {
        let writable = |result: Result<()>| match result {
            Err(error) if error.kind() == ErrorKind::NotAllowed => Ok(()),
            result => result,
        };
        if let Kept::By(logs) = &self.layout.messages {
            writable(logs.erase(self.account).await)?;
        }
        if let Kept::By(vcards) = &self.layout.vcards {
            writable(vcards.remove(self.account).await)?;
        }
        if let Kept::By(rosters) = &self.layout.rosters {
            let known = rosters.load(self.account).await?;
            if !known.items.is_empty() {
                let stored = rosters
                    .store(self.account, &Roster::default(), known.version)
                    .await;
                writable(stored.map(drop))?;
            }
        }
        Ok(())
    }

    async fn erase_in(&self, place: &Place, mark: &Key) -> Result<()> {
        // As who changes contacts does: what is erased is erased from a cache as well.
        let guard = Guarded::by_record(place.table_for(Class::Roster), mark.clone());
        let table: Arc<dyn Table> = Arc::new(guard);
        // Before its record, which alone knows the rows of its index.
        place.vcards(table.clone()).remove(self.account).await?;
        self.erase_records(&*table).await?;
        place.logs(table).erase_records(self.account).await?;
        // After the records: none is left that points at a blob.
        self.erase_blobs(place, mark).await
    }

    async fn erase_records(&self, table: &dyn Table) -> Result<()> {
        let partition = key::account(self.account);
        let mut query = everything(Space::Core, partition.clone());
        loop {
            let (records, more) = paging::next_page(table, &mut query).await?;
            paging::delete_all(table, Space::Core, &partition, records).await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn erase_blobs(&self, place: &Place, mark: &Key) -> Result<()> {
        let prefix = key::account_blobs(self.account);
        loop {
            let found = place.blobs.list(&prefix, None, AT_ONCE).await?;
            // What was there while the mark was is not of a new owner.
            if found.is_empty() || !is_marked(place, mark).await? {
                return Ok(());
            }
            for blob in found {
                place.blobs.remove(&blob).await?;
            }
        }
    }
}

async fn is_marked(place: &Place, mark: &Key) -> Result<bool> {
    Ok(place.table.get(mark, Consistency::Strong).await?.is_some())
}

fn everything(space: Space, partition: Bytes) -> Query {
    Query {
        space,
        partition,
        from: None,
        until: None,
        reverse: false,
        limit: AT_ONCE,
        consistency: Consistency::Strong,
    }
}
