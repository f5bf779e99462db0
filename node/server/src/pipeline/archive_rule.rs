//! What a stanza is, as far as keeping, copying and waking goes: one pass over its children.
//!
//! Sources: XEP-0313 v1.1.3 §6.1.1 (what a user's archive keeps), XEP-0334 v1.0.0 (hints), XEP-0160 v1.0.1 §3 (what waits
//! for an absent user), XEP-0280 v1.0.1 §6.1 (what is copied), XEP-0352 v1.0.0 §3.2 (what can wait).
//! Where they leave a choice, this is ours:
//! - The archive keeps what a second device needs to show the same conversation: bodies, encrypted payloads,
//!   receipts, markers, retractions, reactions, invitations, calls. Not chat states, events, or unknown payloads
//!   without a body or `<store/>`. Group chat is in the archive of the room.
//! - `<no-store/>` beats `<store/>`: privacy errs on the safe side.
//! - XEP-0280 copies errors that answer a copied message. Who sent what is not kept, so an error is judged by the
//!   payload that it returns, and not copied if it returns none.
//!
//! Why here: each message passes this once at the sender's and once at the recipient's home.

use std::ops::BitOr;

use xmpp::{Kind, Node, Stanza, ns};

use super::delivery::{MessageType, WhenAway};

/// What the children of a stanza say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen(u32);

impl Seen {
    const BODY: Self = Self(1);
    /// Anything but chat states, hints and ids: without it nobody misses the message.
    const CONTENT: Self = Self(1 << 1);
    const CHAT_STATE: Self = Self(1 << 2);
    const RECEIPT: Self = Self(1 << 3);
    const MARKER: Self = Self(1 << 4);
    /// Retraction or reaction: of the conversation, and quiet.
    const AMENDMENT: Self = Self(1 << 5);
    const ENCRYPTED: Self = Self(1 << 6);
    const CALL: Self = Self(1 << 7);
    const INVITE: Self = Self(1 << 8);
    /// `muc#user` without an invitation: a private message through a room.
    const MUC: Self = Self(1 << 9);
    /// A pubsub event.
    const EVENT: Self = Self(1 << 10);
    /// A carbon or an archive result: another message inside.
    const WRAPPER: Self = Self(1 << 11);
    const PRIVATE: Self = Self(1 << 12);
    const NO_COPY: Self = Self(1 << 13);
    const NO_STORE: Self = Self(1 << 14);
    const NO_PERMANENT_STORE: Self = Self(1 << 15);
    const STORE: Self = Self(1 << 16);
    /// The sender's own presence in a room, which ends a join.
    const MUC_SELF: Self = Self(1 << 17);

    fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
    fn only(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }
}

impl BitOr for Seen {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How soon an inactive client is to hear (XEP-0352).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Importance {
    /// At once.
    Now,
    /// With the next stanza that matters.
    Later,
    /// With the next stanza that matters, the last from this address.
    LatestPresence,
    /// With the next stanza that matters, the last of this item.
    LatestEvent,
    /// Not at all.
    Never,
}

/// What a stanza is: four bytes, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    kind: Kind,
    message: MessageType,
    flags: u8,
    importance: Importance,
}

const ARCHIVE: u8 = 1;
const OFFLINE: u8 = 1 << 1;
const COPY_SENT: u8 = 1 << 2;
const COPY_RECEIVED: u8 = 1 << 3;
const CONTENT: u8 = 1 << 4;

impl Default for Class {
    /// What nobody classified, an IQ say: goes out at once and is kept nowhere.
    fn default() -> Self {
        class(Kind::Iq, MessageType::Normal, 0, Importance::Now)
    }
}

impl Class {
    /// A message out of the log, whatever it was when it came: it waited long enough, and may wait again.
    pub fn message() -> Self {
        class(
            Kind::Message,
            MessageType::Chat,
            OFFLINE | CONTENT,
            Importance::Now,
        )
    }
    /// A copy of a message whose original is taken care of elsewhere: nobody keeps it.
    pub fn of_copy(self) -> Self {
        Self { flags: 0, ..self }
    }
    /// Message, presence or IQ.
    pub fn kind(self) -> Kind {
        self.kind
    }
    /// The type of a message; `Normal` for the others.
    pub fn message_type(self) -> MessageType {
        self.message
    }
    /// Whether the archives of sender and recipient keep it.
    pub fn archived(self) -> bool {
        self.flags & ARCHIVE != 0
    }
    /// Whether it may wait for an absent recipient.
    pub fn stored_offline(self) -> bool {
        self.flags & OFFLINE != 0
    }
    /// What to do with a message if no resource may have it.
    pub fn when_away(self) -> WhenAway {
        match (self.stored_offline(), self.flags & CONTENT != 0) {
            (true, _) => WhenAway::Store,
            (false, true) => WhenAway::Bounce,
            (false, false) => WhenAway::Drop,
        }
    }
    /// Whether the sender's other resources get a copy (XEP-0280 §8).
    pub fn copied_when_sent(self) -> bool {
        self.flags & COPY_SENT != 0
    }
    /// Whether the recipient's resources that it was not delivered to get a copy (XEP-0280 §7).
    pub fn copied_when_received(self) -> bool {
        self.flags & COPY_RECEIVED != 0
    }
    /// How soon an inactive client is to hear. Of a carbon, ask the message inside.
    pub fn importance(self) -> Importance {
        self.importance
    }
}

/// What a stanza is.
pub fn classify(stanza: &Stanza) -> Class {
    let kind = stanza.kind();
    let type_attr = match kind {
        // An IQ waits for nothing and is kept nowhere.
        Kind::Iq => return class(kind, MessageType::Normal, 0, Importance::Now),
        Kind::Message | Kind::Presence => stanza.type_attr(),
    };
    let seen = stanza
        .root()
        .children()
        .fold(Seen::default(), |seen, child| seen | look(child));
    if kind == Kind::Presence {
        let importance = match type_attr.as_deref() {
            None | Some("unavailable") if !seen.any(Seen::MUC_SELF) => Importance::LatestPresence,
            _ => Importance::Now,
        };
        return class(kind, MessageType::Normal, 0, importance);
    }
    let message = MessageType::parse(type_attr.as_deref());
    let to_full = stanza.to().is_some_and(xmpp::Jid::is_full);
    class(
        kind,
        message,
        flags(message, seen, to_full),
        importance(message, seen),
    )
}

fn class(kind: Kind, message: MessageType, flags: u8, importance: Importance) -> Class {
    Class {
        kind,
        message,
        flags,
        importance,
    }
}

/// What one child says. The namespaces of a plain chat message come first.
fn look(child: Node<'_>) -> Seen {
    match (child.ns(), child.name()) {
        (ns::CLIENT | ns::SERVER, "body") => Seen::BODY | Seen::CONTENT,
        (ns::CLIENT | ns::SERVER, "thread") => Seen::default(),
        (ns::CHAT_STATES, _) => Seen::CHAT_STATE,
        (ns::RECEIPTS, _) => Seen::RECEIPT | Seen::CONTENT,
        (ns::MARKERS, _) => Seen::MARKER | Seen::CONTENT,
        (ns::SID | ns::DELAY, _) => Seen::default(),
        (ns::HINTS, "store") => Seen::STORE,
        (ns::HINTS, "no-store") => Seen::NO_STORE,
        (ns::HINTS, "no-permanent-store") => Seen::NO_PERMANENT_STORE,
        (ns::HINTS, "no-copy") => Seen::NO_COPY,
        (ns::HINTS, _) => Seen::default(),
        (ns::CARBONS, "private") => Seen::PRIVATE,
        (ns::CARBONS, "sent" | "received") | (ns::MAM, "result") => Seen::WRAPPER | Seen::CONTENT,
        (ns::RETRACT, _) | (ns::REACTIONS, _) => Seen::AMENDMENT | Seen::CONTENT,
        // OMEMO in each of its namespaces, and whatever else XEP-0380 names.
        (ns::EME, "encryption") | (_, "encrypted") | (ns::OPENPGP, "openpgp") => {
            Seen::ENCRYPTED | Seen::CONTENT
        }
        (ns::JINGLE_MESSAGE, _) => Seen::CALL | Seen::CONTENT,
        (ns::CONFERENCE, "x") => Seen::INVITE | Seen::CONTENT,
        (ns::MUC_USER, "x") => look_into_room(child),
        (ns::PUBSUB_EVENT, "event") => Seen::EVENT | Seen::CONTENT,
        _ => Seen::CONTENT,
    }
}

fn look_into_room(x: Node<'_>) -> Seen {
    let mut seen = Seen::MUC;
    for child in x.children() {
        match child.name() {
            "invite" => return Seen::INVITE | Seen::CONTENT,
            "decline" => seen = seen | Seen::CONTENT,
            "status" if child.attr("code").as_deref() == Some("110") => {
                seen = seen | Seen::MUC_SELF;
            }
            _ => {}
        }
    }
    seen
}

fn flags(message: MessageType, seen: Seen, to_full: bool) -> u8 {
    let mut flags = 0;
    let mut set = |flag, on| flags |= if on { flag } else { 0 };
    set(CONTENT, seen.any(Seen::CONTENT));
    // Nobody but our own homes wraps, and they do not ask: what comes like this is answered to one resource or forged.
    if seen.any(Seen::WRAPPER) {
        return CONTENT;
    }
    let conversation = Seen::BODY
        | Seen::RECEIPT
        | Seen::MARKER
        | Seen::AMENDMENT
        | Seen::ENCRYPTED
        | Seen::CALL
        | Seen::INVITE;
    // XEP-0334 §5: hints in an error are those of the message that it returns.
    let store = seen.any(Seen::STORE);
    let (archive, offline) = match message {
        MessageType::Normal | MessageType::Chat => (
            seen.any(conversation) || store,
            seen.any(Seen::CONTENT) || store,
        ),
        MessageType::Headline => (store, store),
        MessageType::Groupchat | MessageType::Error => (false, false),
    };
    set(
        ARCHIVE,
        archive && !seen.any(Seen::NO_STORE | Seen::NO_PERMANENT_STORE),
    );
    set(OFFLINE, offline && !seen.any(Seen::NO_STORE));

    let im_payload = seen.any(Seen::RECEIPT | Seen::CHAT_STATE | Seen::MARKER);
    let eligible = match message {
        MessageType::Groupchat => false,
        MessageType::Chat => true,
        MessageType::Normal | MessageType::Error if seen.any(Seen::BODY) => true,
        MessageType::Normal | MessageType::Headline | MessageType::Error => {
            im_payload || seen.any(Seen::INVITE)
        }
    };
    // XEP-0334 §4.3: the hint is for full addresses only.
    let no_copy = to_full && message != MessageType::Error && seen.any(Seen::NO_COPY);
    let eligible = eligible && !seen.any(Seen::PRIVATE) && !no_copy;
    set(COPY_SENT, eligible);
    // The room sends a private message to each client that joined it already.
    set(COPY_RECEIVED, eligible && !seen.any(Seen::MUC));
    flags
}

fn importance(message: MessageType, seen: Seen) -> Importance {
    let quiet = Seen::RECEIPT | Seen::MARKER | Seen::AMENDMENT;
    let aside = Seen::CONTENT
        | Seen::CHAT_STATE
        | Seen::MUC
        | Seen::PRIVATE
        | Seen::NO_COPY
        | Seen::NO_STORE
        | Seen::NO_PERMANENT_STORE
        | Seen::STORE;
    if message == MessageType::Error {
        Importance::Now
    } else if !seen.any(Seen::CONTENT) {
        Importance::Never
    } else if seen.any(Seen::EVENT) && seen.only(Seen::EVENT | aside) {
        Importance::LatestEvent
    } else if seen.any(quiet) && seen.only(quiet | aside) {
        Importance::Later
    } else {
        Importance::Now
    }
}

#[cfg(test)]
mod tests;
