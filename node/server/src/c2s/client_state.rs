//! Client state: what an inactive client need not hear at once.
//!
//! Source: XEP-0352 v1.0.0 §3.2 (what may be suppressed), §5.1 (order), §5.2 (resumption).
//! While the client is inactive, chat states are dropped; presence waits, the latest of each address only; PEP events
//! wait, the latest of each item only; the rest that is not urgent waits in order. What is urgent goes out at once,
//! and what waits goes out before it, so the client sees stanzas in the order in which they came, and the radio wakes
//! once. Bounded: beyond the limit what waits goes out.
//! Pure. Lives in the session; not carried over by a resumption (§5.2), so [`ClientState::activate`] comes first.

use std::{collections::HashMap, mem};

use xmpp::{Jid, Stanza, ns};

use crate::pipeline::archive_rule::{Class, Importance};

/// What makes a stanza take the place of one that waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Presence of this address.
    Presence(Jid),
    /// A pubsub event about one item.
    Event {
        /// Whose node.
        publisher: Jid,
        /// The node.
        node: String,
        /// The item.
        item: String,
    },
}

/// How urgent a stanza is to an inactive client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Urgency {
    /// Goes out at once, after all that waits.
    Now,
    /// Waits.
    Later,
    /// Waits; an earlier one of the same key is forgotten.
    Latest(Key),
    /// Not worth sending: a chat state.
    Never,
}

/// How urgent a stanza for a client is. A carbon is as urgent as the message inside: pass that.
pub fn urgency(stanza: &Stanza, class: Class) -> Urgency {
    match class.importance() {
        Importance::Now => Urgency::Now,
        Importance::Later => Urgency::Later,
        Importance::Never => Urgency::Never,
        Importance::LatestPresence => stanza.from().map_or(Urgency::Now, |from| {
            Urgency::Latest(Key::Presence(from.clone()))
        }),
        Importance::LatestEvent => event_key(stanza).map_or(Urgency::Later, Urgency::Latest),
    }
}

/// The item of an event about exactly one, published or retracted; other events all wait, in order.
fn event_key(stanza: &Stanza) -> Option<Key> {
    let publisher = stanza.from()?.clone();
    let event = stanza.child("event", ns::PUBSUB_EVENT)?;
    let mut parts = event.children();
    let (items, None) = (parts.next()?, parts.next()) else {
        return None;
    };
    let mut entries = items.children();
    let (entry, None) = (entries.next()?, entries.next()) else {
        return None;
    };
    Some(Key::Event {
        publisher,
        node: items.attr("node")?.into_owned(),
        item: entry.attr("id")?.into_owned(),
    })
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Stanzas.
    pub stanzas: usize,
    /// Bytes of stanzas.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanzas: 200,
            bytes: 128 << 10,
        }
    }
}

/// The filter of one session; `T` is a stanza.
#[derive(Debug)]
pub struct ClientState<T> {
    inactive: bool,
    limits: Limits,
    /// In order of arrival; `None` where a later one took over.
    held: Vec<Option<Held<T>>>,
    latest: HashMap<Key, usize>,
    count: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Held<T> {
    item: T,
    bytes: usize,
    key: Option<Key>,
}

impl<T> ClientState<T> {
    /// Active, as each stream begins (XEP-0352 §4.2).
    pub fn new(limits: Limits) -> Self {
        Self {
            inactive: false,
            limits,
            held: Vec::new(),
            latest: HashMap::new(),
            count: 0,
            bytes: 0,
        }
    }
    /// Whether the client is inactive.
    pub fn is_inactive(&self) -> bool {
        self.inactive
    }
    /// How many stanzas wait.
    pub fn waiting(&self) -> usize {
        self.count
    }
    /// `<inactive/>`
    pub fn deactivate(&mut self) {
        self.inactive = true;
    }
    /// `<active/>`, or the end of the stream: appends to `out` what waits, before anything else is sent.
    pub fn activate(&mut self, out: &mut impl Extend<T>) {
        self.inactive = false;
        self.flush(out);
    }
    /// Appends to `out` what waits: on `<r/>`, a ping of ours, or whatever else wakes the client anyway.
    pub fn flush(&mut self, out: &mut impl Extend<T>) {
        out.extend(self.held.drain(..).flatten().map(|held| held.item));
        // Memory goes back too: most sessions are idle most of the time.
        self.held = Vec::new();
        self.latest = HashMap::new();
        self.count = 0;
        self.bytes = 0;
    }
    /// A stanza of `bytes` for the client: appends to `out` what is to be sent now.
    pub fn offer(&mut self, item: T, bytes: usize, urgency: Urgency, out: &mut impl Extend<T>) {
        let key = match urgency {
            _ if !self.inactive => return out.extend([item]),
            Urgency::Never => return,
            Urgency::Now => {
                self.flush(out);
                return out.extend([item]);
            }
            Urgency::Later => None,
            Urgency::Latest(key) => Some(key),
        };
        if let Some(place) = key.as_ref().and_then(|key| self.latest.remove(key)) {
            self.forget(place);
        }
        if self.count == self.limits.stanzas || self.bytes + bytes > self.limits.bytes {
            self.flush(out);
        }
        self.hold(Held { item, bytes, key });
        if self.bytes > self.limits.bytes || self.count > self.limits.stanzas {
            // Alone larger than the limit.
            self.flush(out);
        }
    }
    fn hold(&mut self, held: Held<T>) {
        if self.held.len() > 2 * self.count + 16 {
            self.compact();
        }
        self.count += 1;
        self.bytes += held.bytes;
        if let Some(key) = &held.key {
            self.latest.insert(key.clone(), self.held.len());
        }
        self.held.push(Some(held));
    }
    fn forget(&mut self, place: usize) {
        if let Some(held) = self.held[place].take() {
            self.count -= 1;
            self.bytes -= held.bytes;
        }
    }
    /// Closes the gaps: they never outnumber what waits by much.
    fn compact(&mut self) {
        for held in mem::take(&mut self.held).into_iter().flatten() {
            if let Some(place) = held.key.as_ref().and_then(|key| self.latest.get_mut(key)) {
                *place = self.held.len();
            }
            self.held.push(Some(held));
        }
    }
}

#[cfg(test)]
mod tests;
