//! Messages: to somebody who is there, to somebody who is not, and what waited for him.

use std::net::SocketAddr;

use anyhow::Result;

use super::Stage;
use crate::{
    cost::{login, row::Row},
    faults::{
        client::{self, Client, message},
        node::account,
    },
};

/// Messages of a burst, and of what waits for somebody.
pub(super) const MANY: usize = 100;
/// The line of somebody to whom much was written while he was away.
pub const DRAIN: &str = "login that drains 100 messages";
/// How many requests a burst is depends on how it arrives.
pub const BURST: &str = "100 messages in a burst, recipient online";

impl Stage<'_> {
    pub(super) async fn messages(&mut self) -> Result<()> {
        let mut alice = login::classic(self.to, "alice").await?;
        self.online(&mut alice).await?;
        self.offline(&mut alice).await?;
        self.leave(alice, "alice").await
    }

    async fn online(&mut self, alice: &mut Client) -> Result<()> {
        let mut bob = login::classic(self.to, "bob").await?;
        let mut single = Row::new("message, recipient online");
        for number in 0..self.times {
            let sent = one(alice, &mut bob, number);
            single.measure(self.ledger(), sent).await?;
        }
        let mut burst = Row::new(BURST);
        for _ in 0..self.times {
            let sent = many(alice, &mut bob);
            burst.measure(self.ledger(), sent).await?;
        }
        self.leave(bob, "bob").await?;
        self.rows.extend([single, burst]);
        Ok(())
    }

    async fn offline(&mut self, alice: &mut Client) -> Result<()> {
        let mut cold = Row::new("message, recipient offline and not in memory");
        let mut warm = Row::new("message, recipient offline, the next one");
        let mut drain = Row::new(DRAIN);
        for _ in 0..self.times {
            for row in [&mut cold, &mut warm] {
                let sent = alone(alice);
                row.measure(self.ledger(), sent).await?;
            }
            // With the two before it is a hundred.
            for _ in 2..MANY {
                alone_unseen(alice).await?;
            }
            alice.handled().await?;
            self.node.settle(&["bob"]).await?;
            let drained = drained(self.to);
            let bob = drain.measure(self.ledger(), drained).await?;
            self.leave(bob, "bob").await?;
        }
        self.rows.extend([cold, warm, drain]);
        Ok(())
    }
}

fn to_bob(id: &str) -> String {
    let body = "A message of a length that messages between people have.";
    message(account("bob").as_str(), id, body)
}

/// Takes messages and acknowledges them.
async fn take(bob: &mut Client, count: usize) -> Result<()> {
    for _ in 0..count {
        bob.until(|text| client::name(text) == "message").await?;
    }
    Ok(bob.acknowledge_all().await?)
}

/// It arrives, and its sender knows that it is safe.
async fn one(alice: &mut Client, bob: &mut Client, number: u64) -> Result<()> {
    alice.send(&to_bob(&format!("m{number}"))).await?;
    take(bob, 1).await?;
    alice.handled().await?;
    Ok(())
}

async fn many(alice: &mut Client, bob: &mut Client) -> Result<()> {
    let all: String = (0..MANY)
        .map(|number| to_bob(&format!("b{number}")))
        .collect();
    alice.send(&all).await?;
    take(bob, MANY).await?;
    alice.handled().await?;
    Ok(())
}

async fn alone_unseen(alice: &mut Client) -> Result<()> {
    Ok(alice.send(&to_bob("off")).await?)
}

async fn alone(alice: &mut Client) -> Result<()> {
    alone_unseen(alice).await?;
    alice.handled().await?;
    Ok(())
}

/// Logs in, takes all that waits and acknowledges it.
async fn drained(to: SocketAddr) -> Result<Client> {
    let mut bob = login::bound(to, "bob", "cost").await?;
    let roster = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>";
    bob.ask(roster).await?;
    bob.send("<presence/>").await?;
    take(&mut bob, MANY).await?;
    login::pong(&mut bob).await?;
    Ok(bob)
}
