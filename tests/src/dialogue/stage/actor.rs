//! One member of the cast while the script is played: its connection and what it has not looked at yet.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};

use crate::client::Wire;
use crate::dialogue::script::Role;
use crate::xml::{Incoming, Tree, escaped};

use super::{is_absence, is_presence};

/// What a client may leave unread. A script that gets there is wrong, or the server is.
const QUEUE: usize = 10_000;
const SM: &str = "urn:xmpp:sm:3";

pub(super) struct Actor {
    pub(super) role: Role,
    /// The full JID, while a resource is bound.
    pub(super) jid: Option<String>,
    pub(super) ignores_rest: bool,
    wire: Option<Wire>,
    queue: VecDeque<Incoming>,
    ignores_presence: bool,
    earlier: Vec<String>,
}

impl Actor {
    pub(super) fn new(role: &Role) -> Self {
        Self {
            role: role.clone(),
            jid: None,
            ignores_rest: false,
            wire: None,
            queue: VecDeque::new(),
            ignores_presence: false,
            earlier: Vec::new(),
        }
    }

    pub(super) fn wire(&mut self) -> Result<&mut Wire> {
        self.wire.as_mut().context("not connected")
    }

    /// Takes a new connection into use; what the old one had left is gone with it.
    pub(super) fn use_wire(&mut self, wire: Wire) {
        if let Some(old) = self.wire.replace(wire) {
            self.earlier.extend(old.transcript);
        }
        self.queue.clear();
    }

    pub(super) fn transcript(&self) -> Vec<&str> {
        self.earlier
            .iter()
            .chain(self.wire.iter().flat_map(|wire| &wire.transcript))
            .map(String::as_str)
            .collect()
    }

    pub(super) fn ignore_presence(&mut self) {
        self.ignores_presence = true;
        self.discard_presence();
    }

    fn ignores(&self, incoming: &Incoming) -> bool {
        is_absence(incoming) || (self.ignores_presence && is_presence(incoming))
    }

    pub(super) fn discard_presence(&mut self) {
        self.queue.retain(|incoming| !is_presence(incoming));
    }

    /// The first thing that came and was not looked at.
    pub(super) fn queued(&mut self) -> Option<Incoming> {
        self.queue.pop_front()
    }

    /// The next thing for the script. Requests and answers of stream management are passed over unless a pattern asks
    /// for them: a server may ask at any time (XEP-0198 §4).
    pub(super) async fn next(&mut self, patterns: &[Tree]) -> Result<Option<Incoming>> {
        let wanted = |tree: &Tree| {
            patterns
                .iter()
                .any(|pattern| (&pattern.ns, &pattern.name) == (&tree.ns, &tree.name))
        };
        let skipped = |incoming: &Incoming| match incoming {
            Incoming::Element(tree) => {
                tree.ns == SM && matches!(tree.name.as_str(), "r" | "a") && !wanted(tree)
            }
            Incoming::Header(_) | Incoming::Footer => false,
        };
        while let Some(incoming) = self.queue.pop_front() {
            if !skipped(&incoming) {
                return Ok(Some(incoming));
            }
        }
        loop {
            let Some(incoming) = self.wire()?.next().await? else {
                return Ok(None);
            };
            let answered = self.sync_id(&incoming).await?.is_some();
            if !(answered || self.ignores(&incoming) || skipped(&incoming)) {
                return Ok(Some(incoming));
            }
        }
    }

    /// Sends a request whose answer shows that everything before it was dealt with.
    pub(super) async fn ask(&mut self, to: &str, id: &str) -> Result<()> {
        let ask = format!(
            "<iq type='get' id='{id}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            escaped(to)
        );
        if self.wire()?.send(&ask).await.is_err() {
            // What the server said before it closed is still to be read.
            self.jid = None;
        }
        Ok(())
    }

    /// Reads until the answer to a request; what comes before it is kept.
    pub(super) async fn answered(&mut self, id: &str) -> Result<()> {
        while !self.read(id).await? {}
        Ok(())
    }

    /// Reads until the answer to a request, while `other` reads too and answers if it is the one asked.
    pub(super) async fn answered_while(&mut self, id: &str, other: &mut Self) -> Result<()> {
        loop {
            // Reading from a socket loses nothing when it is cancelled; what was read is dealt with before the next await.
            let incoming = tokio::select! {
                incoming = self.wire.as_mut().context("not connected")?.next() => Ok(incoming?),
                incoming = other.wire.as_mut().context("not connected")?.next() => Err(incoming?),
            };
            match incoming {
                Ok(incoming) => {
                    if self.keep(incoming, id).await? {
                        return Ok(());
                    }
                }
                Err(incoming) => {
                    if other.keep(incoming, "").await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn read(&mut self, id: &str) -> Result<bool> {
        let incoming = self.wire()?.next().await?;
        self.keep(incoming, id).await
    }

    /// Keeps what came for later; true if it is the answer `id`, or if there is none to come.
    async fn keep(&mut self, incoming: Option<Incoming>, id: &str) -> Result<bool> {
        let Some(incoming) = incoming else {
            // The script may expect just this; no answer will come any more.
            self.jid = None;
            return Ok(true);
        };
        if let Some(found) = self.sync_id(&incoming).await? {
            return Ok(found == id);
        }
        let management = matches!(&incoming, Incoming::Element(tree) if tree.is("r", SM));
        if !(management || self.ignores(&incoming)) {
            anyhow::ensure!(
                self.queue.len() < QUEUE,
                "more than {QUEUE} stanzas came unexpectedly"
            );
            self.queue.push_back(incoming);
        }
        Ok(false)
    }

    /// Recognises the harness's own requests and answers, and answers the former.
    async fn sync_id(&mut self, incoming: &Incoming) -> Result<Option<String>> {
        let Incoming::Element(tree) = incoming else {
            return Ok(None);
        };
        let Some(id) = tree
            .attr("id")
            .filter(|id| id.starts_with("sync-") && tree.name == "iq")
        else {
            return Ok(None);
        };
        if tree.attr("type") == Some("get") {
            let from = tree.attr("from").context("a request without its sender")?;
            let answer = format!("<iq type='result' id='{id}' to='{}'/>", escaped(from));
            self.wire()?.send(&answer).await?;
        }
        Ok(Some(id.to_owned()))
    }
}
