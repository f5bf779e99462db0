//! Interest: which nodes a client wants to be told of, as its capabilities say.
//!
//! Source: XEP-0060 §9.2 (`+notify`), XEP-0115 v1.6 §5.4 (verification), §6.2.
//! Why here: a client names the hash of what it can do in its presence. What stands behind a hash is asked of one client and
//! known of all that name it, if the hash is right; if it is not, or of no kind that is known, of that client alone.
//! Stored: nothing; after a start each hash is asked for once more. Bounds: [`MAX_KNOWN`], [`MAX_SESSIONS`], [`MAX_ASKED`]:
//! what is full forgets all, which costs a question each.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use xmpp::{Element, Jid, Stanza, ns};

use crate::modules::disco::caps;

/// Hashes whose meaning is known.
const MAX_KNOWN: usize = 8_192;
/// Sessions whose interest is known.
const MAX_SESSIONS: usize = 131_072;
/// Questions that were not answered.
const MAX_ASKED: usize = 16_384;
/// Nodes that one client may be interested in, and the longest name of one.
const MAX_NODES: usize = 256;
const MAX_NAME: usize = 512;
/// What the name of a node that a client is interested in ends with.
const NOTIFY: &str = "+notify";
/// What ids of questions begin with.
const ASKED: &str = "caps-";

/// Names of nodes, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Interest(Vec<Box<str>>);

impl Interest {
    /// Of these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().filter(|name| name.len() <= MAX_NAME);
        let mut names: Vec<Box<str>> = names.take(MAX_NODES).map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    /// Of what a client says that it can do.
    fn of(info: &Element) -> Self {
        let features = info
            .children()
            .filter(|it| it.is("feature", ns::DISCO_INFO));
        let names = features.filter_map(|it| it.attr("var")?.strip_suffix(NOTIFY));
        Self::new(names)
    }

    /// Whether it is about this node.
    pub fn has(&self, node: &str) -> bool {
        self.0.binary_search_by(|name| (**name).cmp(node)).is_ok()
    }

    /// Whether it is about none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

/// The capabilities that a presence names (XEP-0115 §4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caps {
    /// Which software.
    pub node: String,
    /// By which algorithm.
    pub hash: String,
    /// What came out.
    pub version: String,
}

impl Caps {
    /// What a presence names, if it names anything that can be asked for.
    pub fn of(presence: &Stanza) -> Option<Self> {
        let caps = presence.child("c", ns::CAPS)?;
        let attr = |name: &str| {
            let value = caps.attr(name)?;
            (!value.is_empty() && value.len() <= MAX_NAME).then(|| value.into_owned())
        };
        Some(Self {
            node: attr("node")?,
            hash: attr("hash").unwrap_or_default(),
            version: attr("ver")?,
        })
    }
}

/// Whose meaning is known: that of all who name a hash, or of one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Known {
    client: Option<Jid>,
    caps: Caps,
}

/// The interest of a session, and by which presence.
struct Session {
    presence: Bytes,
    interest: Arc<Interest>,
}

/// What is known.
#[derive(Default)]
pub struct Interests {
    known: Mutex<HashMap<Known, Arc<Interest>>>,
    sessions: Mutex<HashMap<u64, Session>>,
    /// What each session was asked last, and of which capabilities.
    asked: Mutex<HashMap<u64, (String, Caps)>>,
}

/// What a presence tells of a session's interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is known, and what it was before.
    Interest(Arc<Interest>),
    /// The client is to be asked this.
    Ask(Element),
    /// It has none, or was asked and has not answered.
    Nothing,
}

impl Interests {
    /// What a session's presence tells, which `client` sent. `account` asks where something has to be asked.
    pub fn told(&self, session: u64, client: &Jid, account: &str, presence: &Stanza) -> Told {
        if let Some(interest) = self.of_session(session, presence.raw()) {
            return Told::Interest(interest);
        }
        let Some(caps) = Caps::of(presence) else {
            // Nothing is kept for a client that says nothing.
            self.sessions.lock().remove(&session);
            return Told::Nothing;
        };
        if let Some(interest) = self.meaning(client, &caps) {
            self.remember(session, presence.raw(), interest.clone());
            return Told::Interest(interest);
        }
        let id = format!("{ASKED}{}", crate::random::token());
        let node = format!("{}#{}", caps.node, caps.version);
        let mut asked = self.asked.lock();
        // Who was asked and has not answered is not asked again.
        if asked.get(&session).is_some_and(|(_, known)| *known == caps) {
            return Told::Nothing;
        }
        if asked.len() >= MAX_ASKED {
            asked.clear();
        }
        asked.insert(session, (id.clone(), caps));
        let query = Element::new("query", ns::DISCO_INFO).with_attr("node", node);
        Told::Ask(
            Element::new("iq", ns::CLIENT)
                .with_attr("type", "get")
                .with_attr("id", id)
                .with_attr("from", account)
                .with_attr("to", client.as_str())
                .with_child(query),
        )
    }

    /// The interest of a session whose presence is this, if it was found out.
    pub fn of_session(&self, session: u64, presence: &Bytes) -> Option<Arc<Interest>> {
        let sessions = self.sessions.lock();
        let known = sessions.get(&session)?;
        // The same bytes: nothing is parsed for what has not changed.
        let is_same = known.presence.as_ptr() == presence.as_ptr();
        (is_same || known.presence == *presence).then(|| known.interest.clone())
    }

    /// What a session was interested in last, whatever it says now.
    pub fn last(&self, session: u64) -> Option<Arc<Interest>> {
        let sessions = self.sessions.lock();
        sessions.get(&session).map(|known| known.interest.clone())
    }

    /// The session has gone.
    pub fn forget(&self, session: u64) {
        self.sessions.lock().remove(&session);
        self.asked.lock().remove(&session);
    }

    /// Whether an answer of this id may be one to a question of ours.
    pub fn may_be_asked(id: &str) -> bool {
        id.starts_with(ASKED)
    }

    /// A client answers. True: its interest can be told now.
    pub fn answered(&self, session: u64, client: &Jid, answer: &Stanza) -> bool {
        let Some(id) = answer.id() else { return false };
        let caps = {
            let mut asked = self.asked.lock();
            match asked.get(&session) {
                Some((known, _)) if *known == *id => asked.remove(&session).map(|(_, caps)| caps),
                _ => None,
            }
        };
        let Some(caps) = caps else { return false };
        let info = match answer.type_attr().as_deref() {
            Some("result") => answer.child("query", ns::DISCO_INFO),
            _ => None,
        };
        // Who does not say what it can do is interested in nothing.
        let info = info.map(|info| info.to_element());
        let (interest, is_right) = match &info {
            Some(info) => (Interest::of(info), is_right(&caps, info)),
            None => (Interest::default(), false),
        };
        let client = (!is_right).then(|| client.clone());
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(Known { client, caps }, Arc::new(interest));
        true
    }

    fn meaning(&self, client: &Jid, caps: &Caps) -> Option<Arc<Interest>> {
        let known = self.known.lock();
        let of = |client| {
            let caps = caps.clone();
            known.get(&Known { client, caps }).cloned()
        };
        of(None).or_else(|| of(Some(client.clone())))
    }

    fn remember(&self, session: u64, presence: &Bytes, interest: Arc<Interest>) {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.clear();
        }
        let presence = presence.clone();
        sessions.insert(session, Session { presence, interest });
    }
}

/// XEP-0115 §5.4: whether what a client says is what its hash stands for.
fn is_right(caps: &Caps, info: &Element) -> bool {
    caps::verification_by(&caps.hash, info).is_some_and(|computed| computed == caps.version)
}

#[cfg(test)]
mod tests;
