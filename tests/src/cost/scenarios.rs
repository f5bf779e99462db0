//! The operations, one after the other, each some times, on one node.
//!
//! Each begins when nothing of the one before is under way: a client waits for the answer to a ping, for `h`, or until the
//! node has forgotten the account. Accounts have thirty contacts, of whom nobody is online.

mod archive;
mod messages;
mod things;

use std::net::SocketAddr;

use anyhow::Result;
use storage::repository::{Roster, RosterItem, Subscription};

pub use messages::{BURST, DRAIN};

use super::{ledger::Ledger, login, node::Node, row::Row};
use crate::faults::{
    client::Client,
    node::{account, create_accounts},
};

/// Contacts of an account.
const CONTACTS: usize = 30;
const ACCOUNTS: [&str; 3] = ["alice", "bob", "reader"];
/// The line of what is written behind operations.
pub const BEHIND: &str = "mailbox record, behind operations";

/// A node, and how often each operation is done on it.
struct Stage<'a> {
    node: &'a Node,
    times: u64,
    to: SocketAddr,
    rows: Vec<Row>,
}

/// Does all of them; a row for each.
///
/// # Errors
/// What the server says.
pub async fn run(node: &Node, times: u64) -> Result<Vec<Row>> {
    create_accounts(&node.stores, ACCOUNTS.map(str::to_owned)).await?;
    for name in ACCOUNTS {
        let seen = node.stores.rosters.load(&account(name)).await?.version;
        let roster = contacts();
        node.stores
            .rosters
            .store(&account(name), &roster, seen)
            .await?;
    }
    let mut stage = Stage {
        node,
        times,
        to: node.address()?,
        rows: Vec::new(),
    };
    stage.logins().await?;
    stage.messages().await?;
    stage.archive().await?;
    stage.things().await?;
    let behind = Row::behind(BEHIND, node.ledger.take_behind());
    stage.rows.push(behind);
    Ok(stage.rows)
}

fn contacts() -> Roster {
    let mut roster = Roster::default();
    for number in 0..CONTACTS {
        roster.put(RosterItem {
            name: Some(format!("Contact number {number}")),
            groups: vec!["Friends".to_owned()],
            subscription: Subscription::Both,
            ..RosterItem::new(account(&format!("contact{number}")))
        });
    }
    roster
}

impl Stage<'_> {
    fn ledger(&self) -> &Ledger {
        &self.node.ledger
    }

    /// Ends a session and waits until its account is forgotten.
    async fn leave(&self, client: Client, name: &str) -> Result<()> {
        client.close().await?;
        self.node.settle(&[name]).await
    }

    async fn logins(&mut self) -> Result<()> {
        let mut classic = Row::new("login: SCRAM, bind, roster, presence");
        let mut logout = Row::new("logout");
        for _ in 0..self.times {
            let way = login::classic(self.to, "alice");
            let client = classic.measure(self.ledger(), way).await?;
            let left = self.leave(client, "alice");
            logout.measure(self.ledger(), left).await?;
        }
        let mut first = Row::new("login: SASL2 with SCRAM, first token");
        let mut token = String::new();
        for _ in 0..self.times {
            let way = login::first(self.to, "alice");
            let (client, new) = first.measure(self.ledger(), way).await?;
            token = new;
            self.leave(client, "alice").await?;
            // The next one is a first one as well.
            let accounts = &self.node.stores.accounts;
            if first.times < self.times {
                accounts.remove_all_tokens(&account("alice")).await?;
            }
        }
        let mut fast = Row::new("login: SASL2 with a FAST token");
        let mut counted = Row::new("login: the same, logins counted");
        for count in 1..=self.times {
            let way = login::fast(self.to, "alice", &token, None);
            let client = fast.measure(self.ledger(), way).await?;
            self.leave(client, "alice").await?;
            let way = login::fast(self.to, "alice", &token, Some(count));
            let client = counted.measure(self.ledger(), way).await?;
            self.leave(client, "alice").await?;
        }
        self.rows.extend([classic, first, fast, counted, logout]);
        Ok(())
    }
}
