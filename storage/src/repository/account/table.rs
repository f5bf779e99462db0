//! Accounts over a table.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::BareJid;

use super::{Account, AccountRepository, AgentTokens, Credentials};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, Records, repeat_on_conflict},
    },
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};

/// How many tokens are read or removed at once.
const TOKENS_PER_BATCH: usize = 50;
/// For how long tokens are kept beyond their end, in milliseconds: until then a client hears that its token is out of
/// date, and not that it is wrong.
const TOKENS_KEPT_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// How often a removal begins again when the account changed.
const MAX_ATTEMPTS: usize = 16;
/// What a row of a list holds: a format, and nothing yet. In the list of erasures: an account was removed.
const ROW: &[u8] = &[1];
/// In the list of erasures: what is erased was left by no account.
const LEFT_OVER: &[u8] = &[2];

/// The implementation over a table.
pub struct TableAccounts {
    records: Records,
}

impl TableAccounts {
    /// Accounts in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }

    fn table(&self) -> &dyn Table {
        &*self.records.table
    }

    async fn change(
        &self,
        account: &BareJid,
        seen: u64,
        change: impl FnOnce(&mut Account) + Send,
    ) -> Result<u64> {
        let Some(mut current) = self.load(account).await? else {
            return Err(Error::conflict(0, None));
        };
        if current.version != seen {
            return Err(Error::new(ErrorKind::Conflict, "account changed"));
        }
        change(&mut current);
        self.records
            .store(record_key(account), &current, seen)
            .await
    }

    /// The account goes, with its row, and its name is marked: all at once.
    async fn remove_once(&self, account: &BareJid) -> Result<bool> {
        let key = record_key(account);
        let Some(found) = self.table().get(&key, Consistency::Strong).await? else {
            return Ok(false);
        };
        let batch = Batch::new()
            .delete(key, Condition::Version(found.version))
            .delete(row_key(account)?, Condition::Any)
            .put(mark_key(account)?, ROW, Condition::Any);
        match self.table().write(batch).await {
            // Gone since: an earlier answer was lost, or another removal was faster.
            Err(error) if error.conflict_at().is_some_and(|at| at.current.is_none()) => Ok(true),
            result => result.map(|()| true),
        }
    }

    async fn names(
        &self,
        partition: Bytes,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let mut query = Query {
            space: Space::Idx,
            partition,
            from: after.map(|after| key::successor(&key::localpart(after))),
            until: None,
            reverse: false,
            limit,
            consistency: Consistency::Eventual,
        };
        let mut names = Vec::new();
        while names.len() < limit {
            query.limit = limit - names.len();
            let (rows, more) = paging::next_page(self.table(), &mut query).await?;
            for row in rows.into_iter().filter(|row| row.value == ROW) {
                names.push(String::from_utf8(row.sort.to_vec()).map_err(|e| {
                    Error::new(ErrorKind::Corrupt, "a localpart that is no text").with_source(e)
                })?);
            }
            if !more {
                break;
            }
        }
        Ok(names)
    }

    /// What must go for another agent to have its place: the oldest beyond the bound.
    async fn oldest_tokens(&self, account: &BareJid) -> Result<Vec<Key>> {
        let mut query = tokens_of(account);
        let mut known = Vec::new();
        loop {
            let (found, more) = paging::next_page(self.table(), &mut query).await?;
            for record in found {
                let issued = record::decode::<AgentTokens>(&record)?.current.issued_ms;
                known.push((issued, record.sort));
            }
            if !more {
                break;
            }
        }
        known.sort_unstable();
        let beyond = (known.len() + 1).saturating_sub(AgentTokens::MAX_AGENTS);
        let key = |(_, sort)| key::of_account(account, sort);
        Ok(known.into_iter().take(beyond).map(key).collect())
    }
}

/// Every token of an account.
fn tokens_of(account: &BareJid) -> Query {
    Query {
        space: Space::Core,
        partition: key::account(account),
        from: Some(key::TOKENS.into()),
        until: key::prefix_end(key::TOKENS),
        reverse: false,
        limit: TOKENS_PER_BATCH,
        consistency: Consistency::Strong,
    }
}

fn record_key(account: &BareJid) -> Key {
    key::of_account(account, key::ACCOUNT)
}

fn tokens_key(account: &BareJid, agent: &str) -> Key {
    key::of_account(account, key::tokens(agent))
}

fn row_key(account: &BareJid) -> Result<Key> {
    row_in(account, key::account_list(account.domain()))
}

/// The mark of a name whose former owner is being erased.
pub(crate) fn mark_key(account: &BareJid) -> Result<Key> {
    row_in(account, key::erasures(account.domain()))
}

fn row_in(account: &BareJid, partition: Bytes) -> Result<Key> {
    let local = account
        .local()
        .ok_or_else(|| Error::new(ErrorKind::NotAllowed, "an account without localpart"))?;
    Ok(Key {
        space: Space::Idx,
        partition,
        sort: key::localpart(local),
    })
}

#[async_trait]
impl AccountRepository for TableAccounts {
    async fn load(&self, account: &BareJid) -> Result<Option<Account>> {
        let found = self.records.load::<Account>(&record_key(account)).await?;
        Ok(found.map(|(account, version)| Account { version, ..account }))
    }

    async fn create(&self, account: &BareJid, credentials: Credentials, now_ms: u64) -> Result<()> {
        let row = row_key(account)?;
        // Tokens that a removal did not live to remove must not open the new account. While there is no account, none
        // can be put.
        if let Some(current) = self
            .table()
            .get(&record_key(account), Consistency::Strong)
            .await?
        {
            return Err(Error::conflict(0, Some(current)));
        }
        self.remove_all_tokens(account).await?;
        let new = Account {
            credentials,
            created_ms: now_ms,
            disabled: false,
            version: 0,
        };
        let listed = Batch::new()
            .put(row, ROW, Condition::Any)
            .delete(mark_key(account)?, Condition::Any);
        self.records
            .store_with(record_key(account), &new, 0, listed)
            .await?;
        Ok(())
    }

    async fn set_credentials(
        &self,
        account: &BareJid,
        credentials: Credentials,
        seen: u64,
    ) -> Result<u64> {
        self.change(account, seen, |current| current.credentials = credentials)
            .await
    }

    async fn set_disabled(&self, account: &BareJid, disabled: bool, seen: u64) -> Result<u64> {
        self.change(account, seen, |current| current.disabled = disabled)
            .await
    }

    async fn remove(&self, account: &BareJid) -> Result<bool> {
        repeat_on_conflict(MAX_ATTEMPTS, || self.remove_once(account)).await
    }

    async fn begin_erasure(&self, account: &BareJid) -> Result<()> {
        let batch = Batch::new()
            .check(record_key(account), Condition::Absent)
            .put(mark_key(account)?, LEFT_OVER, Condition::Absent);
        match self.table().write(batch).await {
            // It is marked already, maybe as a removal that must be finished: that stays.
            Err(error) if error.conflict_at().is_some_and(|at| at.index == 1) => Ok(()),
            result => result,
        }
    }

    async fn end_erasure(&self, account: &BareJid) -> Result<()> {
        let batch = Batch::new().delete(mark_key(account)?, Condition::Any);
        self.table().write(batch).await
    }

    async fn is_being_removed(&self, account: &BareJid) -> Result<bool> {
        let mark = mark_key(account)?;
        let found = self.table().get(&mark, Consistency::Strong).await?;
        Ok(found.is_some_and(|mark| mark.value == ROW))
    }

    async fn removals(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.names(key::erasures(domain), after, limit).await
    }

    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.names(key::account_list(domain), after, limit).await
    }

    async fn tokens(&self, account: &BareJid, agent: &str) -> Result<Option<AgentTokens>> {
        let found = self
            .records
            .load::<AgentTokens>(&tokens_key(account, agent))
            .await?;
        Ok(found.map(|(tokens, version)| AgentTokens { version, ..tokens }))
    }

    async fn put_tokens(
        &self,
        account: &BareJid,
        agent: &str,
        tokens: &AgentTokens,
        seen: u64,
    ) -> Result<u64> {
        let mut with = Batch::new().check(record_key(account), Condition::Exists);
        if seen == 0 {
            let oldest = self.oldest_tokens(account).await?;
            with = oldest
                .into_iter()
                .take(TOKENS_PER_BATCH)
                .fold(with, |with, key| with.delete(key, Condition::Any));
        }
        let previous = tokens.previous.as_ref().map_or(0, |token| token.expires_ms);
        let end_ms = tokens.current.expires_ms.max(previous);
        let until = end_ms.saturating_add(TOKENS_KEPT_MS).div_ceil(1_000);
        self.records
            .store_until(tokens_key(account, agent), tokens, seen, until, with)
            .await
    }

    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()> {
        self.table()
            .write(Batch::new().delete(tokens_key(account, agent), Condition::Any))
            .await
    }

    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()> {
        let partition = key::account(account);
        let mut query = tokens_of(account);
        loop {
            let (found, more) = paging::next_page(self.table(), &mut query).await?;
            paging::delete_all(self.table(), Space::Core, &partition, found).await?;
            if !more {
                return Ok(());
            }
        }
    }
}
