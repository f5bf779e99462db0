//! A room of a multi-user chat service, as pure rules: they take values and give effects. No I/O, no clock, no locks.
//!
//! Source: XEP-0045 v1.35.5, with XEP-0410 (self-ping), 0421 (occupant ids), 0424 and 0425 (retraction, moderation), 0486
//! (avatars). [`Room::handle`] is the way in: what it comes to ([`Step`]) is either done at once or is to be kept first, and
//! goes on in [`Room::apply`] and [`Room::said`] when it was. Nothing of a room changes before it is kept.
//!
//! | file | what |
//! |---|---|
//! | `role` | roles and affiliations, their order, which follows from which |
//! | `occupants` | who is there: nicks, and the sessions that share one |
//! | `enter`, `leave`, `nick`, `presence` | coming, going, changing (§7.1 to §7.14); what presence says |
//! | `message`, `history`, `subject`, `private` | what is said: to all, earlier, about what, to one |
//! | `invite`, `voice`, `register` | invitations, requests for voice, membership by registration |
//! | `admin`, `rights`, `standing`, `given` | lists of roles and affiliations, who may change them, what follows, what is kept of roles (§8, §9) |
//! | `owner`, `form` | configuration and destruction (§10) |
//! | `request`, `relay`, `info`, `moderation` | IQs: to the room, to one another, discovery, what moderators take back |
//! | `subscribe` | who gets what is said without being here (MUC/Sub) |
//! | `hats`, `commands` | what occupants are beside that (XEP-0317), and the commands that say so |
//! | `effects`, `policy` | what a rule wants done; what the service allows |

mod admin;
mod commands;
pub mod effects;
mod enter;
mod form;
pub mod given;
mod hats;
pub mod history;
pub mod info;
mod invite;
mod leave;
mod message;
mod moderation;
mod nick;
pub mod occupants;
mod owner;
pub mod policy;
mod presence;
mod private;
mod register;
mod relay;
mod request;
mod rights;
pub mod role;
mod standing;
mod subject;
pub mod subscribe;
#[cfg(test)]
mod tests;
mod voice;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use storage::repository::{Affiliation, RoomMember, RoomRecord, StoredRoom, room::MAX_MEMBERS};
use xmpp::{
    BareJid, Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
};

use self::occupants::{Occupant, Occupants};
pub use self::{
    effects::{Change, Destroy, Effect, Effects, Packet, Real, Retracts, Saying, Step},
    enter::Since,
    history::{History, Remembered},
    policy::{Policy, Publish},
    role::Role,
};

/// Bytes of the secret that occupant ids are made with.
pub const SECRET: usize = 32;

/// A room.
#[derive(Debug)]
pub struct Room {
    /// Its address.
    pub address: BareJid,
    /// What is kept of it.
    pub record: RoomRecord,
    /// The version that a change names.
    pub version: u64,
    /// Those affiliated with it.
    pub members: BTreeMap<BareJid, RoomMember>,
    /// Of whom something changed that is not kept yet.
    unkept: BTreeSet<BareJid>,
    /// Those who subscribe, and to what.
    subscribers: BTreeMap<BareJid, u16>,
    /// Those in it.
    pub occupants: Occupants,
    /// What was said last.
    pub history: History,
    /// What the service allows.
    pub policy: Policy,
    /// Where what is said can be read, if it is published.
    pub published_at: Option<String>,
}

impl Room {
    /// A room as it was read, with nobody in it.
    pub fn new(address: BareJid, stored: StoredRoom, history: History, policy: Policy) -> Self {
        let mut room = Self {
            address,
            record: stored.record,
            version: stored.version,
            members: stored.members.into_iter().collect(),
            unkept: BTreeSet::new(),
            subscribers: BTreeMap::new(),
            occupants: Occupants::default(),
            history,
            policy,
            published_at: None,
        };
        let subscribe = room
            .members
            .iter()
            .filter(|(_, it)| it.subscription.is_some());
        let accounts: Vec<BareJid> = subscribe.map(|(account, _)| account.clone()).collect();
        for account in &accounts {
            room.note_subscriber(account);
        }
        room
    }

    /// What is to be kept of a room that somebody makes (§10.1).
    pub fn made_by(
        owner: BareJid,
        secret: [u8; SECRET],
        policy: &Policy,
        now_ms: u64,
    ) -> StoredRoom {
        let member = RoomMember {
            affiliation: Affiliation::Owner,
            ..RoomMember::default()
        };
        StoredRoom {
            record: RoomRecord {
                created_ms: now_ms,
                secret: secret.to_vec(),
                locked: policy.lock,
                creator: Some(owner.as_str().to_owned()),
                ..RoomRecord::default()
            },
            members: vec![(owner, member)],
            version: 0,
        }
    }

    /// What a stanza to the room or to somebody in it comes to.
    pub fn handle(&mut self, stanza: &Stanza, now_ms: u64) -> Step {
        let (Some(from), Some(to)) = (stanza.from().cloned(), stanza.to().cloned()) else {
            return Step::nothing();
        };
        match (stanza.kind(), to.resource()) {
            (Kind::Presence, _) => self.presence(stanza, &from, &to, now_ms),
            (Kind::Message, _) if stanza.type_attr().as_deref() == Some("error") => {
                self.error_from(stanza, &from, &to)
            }
            (Kind::Message, None) => self.message(stanza, &from, now_ms),
            (Kind::Message, Some(nick)) => self.private_message(stanza, &from, nick, now_ms),
            (Kind::Iq, None) => self.request(stanza, &from, now_ms),
            (Kind::Iq, Some(nick)) => self.relay(stanza, &from, nick),
        }
    }

    /// The affiliation of an account: its own, or the ban of its domain (§9.2).
    pub fn affiliation(&self, jid: &Jid) -> Affiliation {
        let own = self.member(&jid.to_bare());
        let own = own.map(|member| member.affiliation);
        own.filter(|it| *it != Affiliation::None)
            .unwrap_or_else(|| {
                let domain = BareJid::from_parts(None, jid.domain()).ok();
                let of_domain = domain.and_then(|domain| self.members.get(&domain));
                of_domain.map_or(Affiliation::None, |member| member.affiliation)
            })
    }

    /// What is kept of an account.
    pub fn member(&self, account: &BareJid) -> Option<&RoomMember> {
        self.members.get(account)
    }

    /// Those with an affiliation.
    pub fn with_affiliation(&self, affiliation: Affiliation) -> impl Iterator<Item = &BareJid> {
        let members = self.members.iter();
        members
            .filter(move |(_, member)| member.affiliation == affiliation)
            .map(|(account, _)| account)
    }

    /// Whether so many more accounts may be kept.
    ///
    /// # Errors
    /// `not-allowed`: too much is kept of others.
    fn has_room_for(&self, more: usize) -> Result<(), StanzaError> {
        match self.members.len() + more <= MAX_MEMBERS {
            true => Ok(()),
            false => Err(StanzaError::new(
                Condition::NotAllowed,
                "the room keeps as many addresses as it may",
            )),
        }
    }

    /// Whether somebody may read what is said here: who is here, and who may enter (XEP-0313 §7).
    fn may_read(&self, from: &Jid) -> bool {
        let config = &self.record.config;
        match self.affiliation(from) {
            Affiliation::Outcast => false,
            Affiliation::None => {
                let is_open = !config.members_only && config.password.is_none();
                is_open || self.role(from) != Role::None
            }
            _ => true,
        }
    }

    /// Who reserved a nick.
    pub fn reserved_by(&self, nick: &str) -> Option<&BareJid> {
        let folded = occupants::folded(nick);
        let is_it = |member: &RoomMember| {
            let subscribed = member.subscription.as_ref().map(|it| it.nick.as_str());
            let mut nicks = member.nick.as_deref().into_iter().chain(subscribed);
            nicks.any(|nick| occupants::folded(nick) == folded)
        };
        let mut members = self.members.iter();
        members
            .find(|(_, member)| is_it(member))
            .map(|(account, _)| account)
    }

    /// The id by which an account is known under each of its nicks (XEP-0421 §4).
    pub fn occupant_id(&self, account: &BareJid) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.record.secret);
        let tag = hmac::sign(&key, account.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    }

    /// The role of a session.
    pub fn role(&self, real: &Jid) -> Role {
        self.occupants
            .of(real)
            .map_or(Role::None, |occupant| occupant.role)
    }

    /// Whether what is said here is published: its owner wants it, the service allows it, and it is kept.
    pub fn is_published(&self) -> bool {
        self.publishes(&self.record)
    }

    fn publishes(&self, record: &RoomRecord) -> bool {
        let config = &record.config;
        let is_open = config.public && !config.members_only && config.password.is_none();
        config.logged
            && config.archived
            && match self.policy.publish {
                Publish::Never => false,
                Publish::Open => is_open,
                Publish::All => true,
            }
    }

    /// Whether it goes when nobody is in it (§7.14).
    pub fn is_over(&self) -> bool {
        self.occupants.is_empty() && (!self.record.config.persistent || self.record.locked)
    }

    /// Whether this occupant sees real addresses.
    fn sees_addresses(&self, role: Role) -> bool {
        self.record.config.non_anonymous || role == Role::Moderator
    }

    /// Every session in the room.
    fn everybody(&self) -> Vec<Real> {
        self.occupants.sessions().cloned().collect()
    }

    /// A message of the room itself to all.
    fn notice(&self, children: impl IntoIterator<Item = Element>) -> Packet {
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_attr("type", "groupchat")
            .with_children(children);
        self.packet(self.address.as_jid().clone(), Kind::Message, &message)
    }

    fn packet(&self, from: Jid, kind: Kind, element: &Element) -> Packet {
        Packet {
            from,
            kind,
            bytes: element.to_bytes(ns::CLIENT).into(),
        }
    }

    /// Whether a nick may be had at all (§17.1).
    fn check_nick(&self, nick: &str) -> Result<(), StanzaError> {
        let too_long = nick.chars().count() > self.policy.nick;
        if nick.trim().is_empty() || too_long {
            let text = match too_long {
                true => "the nick is too long",
                false => "a nick must be visible",
            };
            return Err(StanzaError::new(Condition::NotAcceptable, text));
        }
        Ok(())
    }

    /// Whether a nick is free for an account.
    fn is_free(&self, nick: &str, account: &BareJid) -> bool {
        let others = |occupant: &Occupant| occupant.account != *account;
        !self.occupants.named(nick).is_some_and(others)
            && self.reserved_by(nick).is_none_or(|owner| owner == account)
    }
}

/// `<status code='...'/>`
fn status_element(code: u16) -> Element {
    Element::new("status", ns::MUC_USER).with_attr("code", code.to_string())
}
