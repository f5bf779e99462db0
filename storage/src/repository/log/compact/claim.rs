//! Claims: who works on a log, and that it is still the same log.
//!
//! Numbers and versions begin again when an account is erased and another gets its name. What was read of the old log
//! would then fit the new one. A claim is a record beside the segments whose key nobody else uses; it can be made only
//! while there is the account, goes with an erasure, and every write of a compaction or a retention asks for it.
//! It vanishes by itself, so that who dies does not keep others away for long.

use std::time::Duration;

use bytes::Bytes;
use xmpp::BareJid;

use super::{super::TableLogs, Keeping};
use crate::{
    error::{ErrorKind, Result},
    key,
    repository::record,
    shape::{Batch, Condition, Consistency, Key, Query, Space},
};

/// For how long one may work on a log.
const CLAIMED_FOR: Duration = Duration::from_secs(15 * 60);

/// The claim of one who works on a log.
pub(in crate::repository::log) struct Claim {
    key: Key,
}

impl Claim {
    /// Claims a log; `None` if somebody else has, or if there is no such log any more.
    pub(in crate::repository::log) async fn make(
        logs: &TableLogs,
        keeping: &Keeping<'_>,
    ) -> Result<Option<Self>> {
        if is_claimed(logs, keeping.archive).await? {
            return Ok(None);
        }
        let key = Key {
            space: Space::Log,
            partition: key::log_segments(keeping.archive),
            sort: key::log_claim(record::fresh_id()),
        };
        let until = (keeping.now + CLAIMED_FOR).as_secs();
        let mut batch = Batch::new().put_until(key.clone(), Bytes::new(), Condition::Any, until);
        if let Some((guard, condition)) = &keeping.guard {
            batch = batch.check(guard.clone(), *condition);
        }
        match logs.table.write(batch).await {
            Ok(()) => Ok(Some(Self { key })),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(in crate::repository::log) fn key(&self) -> Key {
        self.key.clone()
    }

    /// Gives it up.
    pub(in crate::repository::log) async fn end(&self, logs: &TableLogs) -> Result<()> {
        let batch = Batch::new().delete(self.key.clone(), Condition::Any);
        logs.table.write(batch).await
    }
}

async fn is_claimed(logs: &TableLogs, archive: &BareJid) -> Result<bool> {
    let query = Query {
        space: Space::Log,
        partition: key::log_segments(archive),
        from: Some(Bytes::from_static(key::LOG_CLAIMS)),
        until: None,
        reverse: false,
        limit: 1,
        consistency: Consistency::Strong,
    };
    let found = logs.table.query(&query).await?;
    Ok(!found.records.is_empty())
}
