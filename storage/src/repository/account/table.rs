//! Accounts over a table.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::BareJid;

use super::{Account, AccountRepository, AgentTokens, Credentials};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{paging, record::Records},
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};

/// How many tokens are removed at once.
const TOKENS_PER_BATCH: usize = 50;
/// What a row of the list holds: a format, and nothing yet.
const ROW: &[u8] = &[1];

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
}

fn record_key(account: &BareJid) -> Key {
    key::of_account(account, key::ACCOUNT)
}

fn tokens_key(account: &BareJid, agent: &str) -> Key {
    key::of_account(account, key::tokens(agent))
}

fn row_key(account: &BareJid) -> Result<Key> {
    let local = account
        .local()
        .ok_or_else(|| Error::new(ErrorKind::NotAllowed, "an account without localpart"))?;
    Ok(Key {
        space: Space::Idx,
        partition: key::account_list(account.domain()),
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
        let listed = Batch::new().put(row, ROW, Condition::Any);
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
        let key = record_key(account);
        let removed = self.table().get(&key, Consistency::Strong).await?.is_some();
        if removed {
            let batch = Batch::new()
                .delete(key, Condition::Any)
                .delete(row_key(account)?, Condition::Any);
            self.table().write(batch).await?;
        }
        self.remove_all_tokens(account).await?;
        Ok(removed)
    }

    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let query = Query {
            space: Space::Idx,
            partition: key::account_list(domain),
            from: after.map(|after| key::successor(&key::localpart(after))),
            until: None,
            reverse: false,
            limit,
            consistency: Consistency::Eventual,
        };
        let rows = paging::collect(self.table(), query, limit).await?;
        let localpart = |sort: &[u8]| {
            String::from_utf8(sort.to_vec()).map_err(|e| {
                Error::new(ErrorKind::Corrupt, "a localpart that is no text").with_source(e)
            })
        };
        rows.iter().map(|row| localpart(&row.sort)).collect()
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
        let exists = Batch::new().check(record_key(account), Condition::Exists);
        self.records
            .store_with(tokens_key(account, agent), tokens, seen, exists)
            .await
    }

    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()> {
        self.table()
            .write(Batch::new().delete(tokens_key(account, agent), Condition::Any))
            .await
    }

    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()> {
        let partition = key::account(account);
        let mut query = Query {
            space: Space::Core,
            partition: partition.clone(),
            from: Some(key::TOKENS.into()),
            until: key::prefix_end(key::TOKENS),
            reverse: false,
            limit: TOKENS_PER_BATCH,
            consistency: Consistency::Strong,
        };
        loop {
            let (found, more) = paging::next_page(self.table(), &mut query).await?;
            paging::delete_all(self.table(), Space::Core, &partition, found).await?;
            if !more {
                return Ok(());
            }
        }
    }
}
