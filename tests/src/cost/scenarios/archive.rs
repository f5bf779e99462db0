//! Pages of an archive (XEP-0313): of what lies in the table, a message an item, as a slow conversation leaves it.

use anyhow::{Context as _, Result, ensure};
use storage::repository::{EntryFlags, NewEntry};

use super::Stage;
use crate::{
    cost::{login, row::Row},
    faults::{
        client::{self, Client},
        node::account,
    },
};

/// Messages of a page.
const PAGE: usize = 250;
/// Messages of the archive.
const ARCHIVED: u64 = 600;
/// When the first of them came.
const START_MS: u64 = 1_750_000_000_000;

impl Stage<'_> {
    pub(super) async fn archive(&mut self) -> Result<()> {
        self.fill().await?;
        let mut reader = login::classic(self.to, "reader").await?;
        let mut newest = Row::new("archive, newest page of 250");
        let mut earlier = Row::new("archive, the page of 250 before it");
        for _ in 0..self.times {
            let page = page(&mut reader, "<before/>");
            let first = newest.measure(self.ledger(), page).await?;
            let before = format!("<before>{first}</before>");
            let page = self::page(&mut reader, &before);
            earlier.measure(self.ledger(), page).await?;
        }
        self.leave(reader, "reader").await?;
        self.rows.extend([newest, earlier]);
        Ok(())
    }

    /// An item for each message.
    async fn fill(&self) -> Result<()> {
        let (archive, peer) = (account("reader"), account("contact1"));
        let logs = &self.node.stores.logs;
        for number in 0..ARCHIVED {
            let stanza = format!(
                "<message from='{peer}/phone' to='{archive}' type='chat' id='old{number}'>\
                 <body>A message of a length that messages between people have.</body></message>"
            );
            let entry = NewEntry {
                time_ms: START_MS + number * 60_000,
                flags: EntryFlags::ARCHIVED,
                peer: peer.as_jid().clone(),
                stanza: stanza.into(),
            };
            logs.append(&archive, number, number + 1, &[entry]).await?;
        }
        Ok(())
    }
}

/// Asks for a page; the id of its first message.
async fn page(reader: &mut Client, which: &str) -> Result<String> {
    let rsm = format!("<set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE}</max>{which}</set>");
    reader
        .send(&format!(
            "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'>{rsm}</query></iq>"
        ))
        .await?;
    let (mut first, mut count) = (None, 0);
    loop {
        let text = reader.next().await?;
        match client::name(&text) {
            "message" => {
                count += 1;
                if first.is_none() {
                    let (_, result) = text.split_once("<result").context("no result")?;
                    let result = format!("<result{result}");
                    first = client::attr(&result, "id").map(str::to_owned);
                }
            }
            // The server sends no more than it may keep for a client that does not say what it got.
            "r" => reader.acknowledge_all().await?,
            "iq" if client::attr(&text, "id") == Some("page") => {
                ensure!(count == PAGE, "{count} messages, and {text}");
                return first.context("a page without ids");
            }
            _ => {}
        }
    }
}
