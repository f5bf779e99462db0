//! What was said in a room of ours, by the number that the room's log gave it: each session is given it once.
//!
//! Why: when a room or a session is found anew, the room says again what the session may not have been given
//! (`assertions`). What is still on its way then may come as well, by the former way.

use xmpp::{Kind, Stanza, ns, payload::sid};

use super::{Router, SessionHandle};

/// A message of a room.
pub struct Said {
    room: xmpp::BareJid,
    number: u64,
    /// It is told late, to one who enters: it is given whatever was given before.
    is_history: bool,
}

impl Said {
    /// What a stanza is, if it was said in a room of ours and is in its log.
    pub fn of(router: &Router, stanza: &Stanza) -> Option<Self> {
        let is_groupchat =
            stanza.kind() == Kind::Message && stanza.type_attr().as_deref() == Some("groupchat");
        let from = stanza.from().filter(|_| is_groupchat)?;
        router.registry().service_of(from.domain())?;
        let room = from.to_bare();
        let number = sid::stanza_id(stanza.root(), &room)?.parse().ok()?;
        let is_history = stanza.child("delay", ns::DELAY).is_some();
        Some(Self {
            room,
            number,
            is_history,
        })
    }

    /// Whether a session is to be given it; from now on it was.
    pub fn is_for(&self, session: &SessionHandle) -> bool {
        let is_new = session
            .directed
            .lock()
            .hears(self.room.as_str(), self.number);
        is_new || self.is_history
    }
}
