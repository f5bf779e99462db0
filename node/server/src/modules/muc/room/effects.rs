//! What a rule wants done: stanzas to whom, what is to be kept, what is to be said.

use std::sync::Arc;

use bytes::Bytes;
use storage::repository::{RoomMember, RoomRecord};
use xmpp::{BareJid, Element, FullJid, Jid, Kind, Stanza, StanzaError, ns};

use super::given::Gift;

/// The real address of a session in a room.
pub type Real = Arc<FullJid>;

/// A stanza for many: finished but for its `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who it is from: an occupant, or the room.
    pub from: Jid,
    /// Which kind of stanza.
    pub kind: Kind,
    /// Its bytes in `jabber:client`, without `to`.
    pub bytes: Bytes,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A stanza to sessions in the room, or that were.
    Send(Packet, Vec<Real>),
    /// A stanza that lacks its `to`, to accounts, wherever they are.
    Tell(Packet, Vec<BareJid>),
    /// A stanza to whoever it names.
    Reply(Element),
    /// A message to whoever it names, whose sender waits for what becomes of it.
    Route(Stanza),
}

/// What is to be done, in order.
#[derive(Debug, Clone, Default)]
pub struct Effects(pub Vec<Effect>);

impl Effects {
    /// One reply.
    pub fn reply(element: Element) -> Self {
        Self(vec![Effect::Reply(element)])
    }

    /// To some sessions; nothing if there are none.
    pub fn send(&mut self, packet: Packet, to: Vec<Real>) {
        if !to.is_empty() {
            self.0.push(Effect::Send(packet, to));
        }
    }

    /// Behind it all that is in another.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// What a stanza comes to.
#[derive(Debug)]
pub enum Step {
    /// Nothing is to be kept.
    Done(Effects),
    /// This is to be kept, then [`super::Room::apply`].
    Keep(Box<Change>),
    /// This is to be said, then [`super::Room::said`].
    Say(Box<Saying>),
    /// The archive is asked by somebody who may (XEP-0313).
    Archive,
    /// The vCard is asked for (XEP-0486).
    Vcard,
    /// The room is destroyed; its occupants are told when it is.
    Destroy(Box<Destroy>),
}

impl Step {
    /// An error in answer to a stanza.
    pub fn refuse(stanza: &Stanza, error: &StanzaError) -> Self {
        let reply = error_reply(stanza, error);
        Self::Done(reply.map(Effects::reply).unwrap_or_default())
    }

    /// A result.
    pub fn result(stanza: &Stanza, payload: Option<Element>) -> Self {
        Self::Done(Effects::reply(stanza.result_reply(payload)))
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self::Done(Effects::default())
    }
}

/// An error in answer to a stanza; one to a presence says that it is about a room (§7.2.5).
pub fn error_reply(stanza: &Stanza, error: &StanzaError) -> Option<Element> {
    let reply = stanza.error_reply(error)?;
    let is_presence = stanza.kind() == Kind::Presence;
    Some(reply.with_children(is_presence.then(|| Element::new("x", ns::MUC))))
}

/// Something to be kept, and what follows it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The room as it is to be.
    pub record: RoomRecord,
    /// Those whose affiliation or nick changes.
    pub members: Vec<(BareJid, RoomMember)>,
    /// A vCard to put; `Some(None)`: to remove.
    pub vcard: Option<Option<Bytes>>,
    /// Roles that occupants get; who gets none has to go.
    pub gifts: Vec<Gift>,
    /// The nick of who did it.
    pub actor: Option<String>,
    /// What answers the request.
    pub reply: Option<Element>,
    /// What follows in any case, behind the reply.
    pub behind: Effects,
}

impl Change {
    /// Nothing but this record.
    pub fn of(record: RoomRecord) -> Self {
        Self {
            record,
            members: Vec::new(),
            gifts: Vec::new(),
            vcard: None,
            actor: None,
            reply: None,
            behind: Effects::default(),
        }
    }
}

/// A message to all that is to be kept before they get it.
#[derive(Debug, Clone)]
pub struct Saying {
    /// The message as occupants get it, but for the id that the archive gives it.
    pub stanza: Stanza,
    /// The occupant, or the room.
    pub from: Jid,
    /// The real address behind it, with the client, for moderators who read the archive (XEP-0313 §7).
    pub real: Option<Jid>,
    /// Whether it is worth keeping, for those who come later.
    pub kept: bool,
    /// Whether it is to be published as well.
    pub published: bool,
    /// It is a change of the subject, to this.
    pub subject: Option<String>,
    /// It takes back the message of this number.
    pub retracts: Option<Retracts>,
    /// What answers the request that it came of.
    pub reply: Option<Element>,
}

/// What a retraction takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retracts {
    /// The number of the message in the log.
    pub number: u64,
    /// Only if it is by the occupant of this id; `None`: a moderator takes it back.
    pub only_by: Option<String>,
    /// What stands in its place.
    pub tombstone: Element,
}

/// An end of the room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destroy {
    /// Where its occupants may go.
    pub venue: Option<String>,
    /// The password there.
    pub password: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What answers the request.
    pub reply: Option<Element>,
}

impl Destroy {
    /// `<destroy/>`, in the namespace of what occupants are told.
    pub fn to_element(&self) -> Element {
        let child = |name: &'static str, text: &Option<String>| {
            let text = text.as_ref()?;
            Some(Element::new(name, ns::MUC_USER).with_text(text.clone()))
        };
        Element::new("destroy", ns::MUC_USER)
            .with_attr_opt("jid", self.venue.as_ref())
            .with_children(child("password", &self.password))
            .with_children(child("reason", &self.reason))
    }
}
