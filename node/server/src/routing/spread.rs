//! One stanza for many sessions: what a room says. It is parsed and classified once; each session gets the same bytes with its
//! own address in them.
//!
//! All that is sent like this stays in order for each session, presence and messages alike. What is for sessions of other
//! nodes goes as one frame a node.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use cluster::NodeId;
use xmpp::{FullJid, Kind, Stanza, element::escape_attr_into, ns};

use super::{Delivery, Letter, Router, Said};
use crate::{
    modules::blocking::Passing,
    pipeline::archive_rule::{Class, classify},
    routing::peers::{Kind as FrameKind, frame},
};

/// A stanza on its way to many.
struct Spread<'a> {
    stanza: &'a Stanza,
    class: Class,
    passing: Passing,
    said: Option<Said>,
    /// Whoever it is from need not be told any more that the session is there: it has gone, or does not let it in.
    ends: bool,
    /// A room says that the session is in it.
    enters: bool,
}

/// What became of it at one session.
enum Outcome {
    Sent,
    /// There is no such session.
    Missing,
    /// It may be elsewhere, or come yet.
    Unknown,
}

/// Sends a stanza that lacks only its `to`. Those that are not there.
pub(super) fn spread(
    router: &Arc<Router>,
    stanza: &Stanza,
    to: &[Arc<FullJid>],
) -> Vec<Arc<FullJid>> {
    let spread = Spread::new(router, stanza);
    let mut missing = Vec::new();
    let mut others: HashMap<NodeId, Vec<&FullJid>> = HashMap::new();
    for real in to {
        if let Some(node) = router.elsewhere(real.as_jid()) {
            others.entry(node).or_default().push(real);
            continue;
        }
        match spread.send(router, real) {
            Outcome::Sent => {}
            Outcome::Missing => missing.push(real.clone()),
            Outcome::Unknown => spread.route(router, real),
        }
    }
    for (node, reals) in others {
        let body = frame::spread(stanza.raw(), &reals);
        if !router.peers.send(node, FrameKind::Spread, body) {
            // Whoever serves them by and by gets it.
            reals.iter().for_each(|real| spread.route(router, real));
        }
    }
    missing
}

impl Router {
    /// The same for what another node sent. Of those that are not there whoever it is from is told.
    pub fn spread_here(self: &Arc<Self>, body: &Bytes) {
        spread_here(self, body);
    }
}

fn spread_here(router: &Arc<Router>, body: &Bytes) {
    let parsed = frame::spread_of(body);
    let Some((stanza, reals)) = parsed else {
        return tracing::warn!("a stanza for many that is none");
    };
    let Ok(stanza) = Stanza::parse(stanza) else {
        return tracing::warn!("a stanza for many that is none");
    };
    let spread = Spread::new(router, &stanza);
    for real in reals {
        match spread.send(router, &real) {
            Outcome::Sent => {}
            Outcome::Unknown => spread.route(router, &real),
            Outcome::Missing => spread.refuse(router, &real),
        }
    }
}

/// Whether a room says to a session that it is in it (XEP-0045 §7.1.2).
pub(crate) fn says_entered(stanza: &Stanza) -> bool {
    if stanza.kind() != Kind::Presence || stanza.type_attr().is_some() {
        return false;
    }
    let x = stanza.child("x", ns::MUC_USER);
    let mut said = x.into_iter().flat_map(xmpp::Node::children);
    said.any(|it| it.is("status", ns::MUC_USER) && it.attr("code").as_deref() == Some("110"))
}

/// The bytes of a stanza with this address; as they are if they have one.
pub fn addressed(stanza: &Stanza, to: &FullJid) -> Bytes {
    let raw = stanza.raw();
    if stanza.to().is_some() {
        return raw.clone();
    }
    let name = 1 + stanza.kind().as_str().len();
    let mut out = Vec::with_capacity(raw.len() + to.as_str().len() + 8);
    out.extend_from_slice(&raw[..name]);
    out.extend_from_slice(b" to='");
    escape_attr_into(&mut out, to.as_str());
    out.push(b'\'');
    out.extend_from_slice(&raw[name..]);
    out.into()
}

impl<'a> Spread<'a> {
    fn new(router: &Router, stanza: &'a Stanza) -> Self {
        let passing = match stanza.kind() {
            Kind::Message => Passing::Message,
            Kind::Presence => Passing::PresenceIn,
            Kind::Iq => Passing::Iq,
        };
        Self {
            stanza,
            class: classify(stanza),
            passing,
            said: Said::of(router, stanza),
            ends: stanza.kind() == Kind::Presence
                && matches!(stanza.type_attr().as_deref(), Some("unavailable" | "error")),
            enters: says_entered(stanza),
        }
    }

    fn send(&self, router: &Arc<Router>, real: &FullJid) -> Outcome {
        let is_ours = router.serves(real.domain()) && router.elsewhere(real.as_jid()).is_none();
        if !is_ours {
            return Outcome::Unknown;
        }
        let entries = router.entries(real.bare_str());
        let entry = entries
            .iter()
            .find(|entry| *entry.resource == *real.resource());
        let Some(entry) = entry else {
            return match router.peers.is_settling() {
                true => Outcome::Unknown,
                false => Outcome::Missing,
            };
        };
        let account = real.to_bare();
        let home = router.homes.loaded(account.as_str());
        let lists = home.and_then(|home| home.privacy()).unwrap_or_default();
        let judge = router.judge(&account, &lists);
        let from = self.stanza.from();
        if from.is_some_and(|from| judge.denies(entry.session, self.passing, from)) {
            return Outcome::Sent;
        }
        let Some(handle) = router.sessions.get(entry.session.number) else {
            return Outcome::Sent;
        };
        if self.said.as_ref().is_some_and(|said| !said.is_for(&handle)) {
            return Outcome::Sent;
        }
        if let Some(from) = from.filter(|_| self.ends) {
            handle.directed.lock().heard_unavailable(from);
        }
        if let Some(from) = from.filter(|_| self.enters) {
            handle.directed.lock().has_entered(from);
        }
        handle.mailbox.post(Letter::Stanza(Delivery {
            class: self.class,
            ..Delivery::passing(addressed(self.stanza, real))
        }));
        Outcome::Sent
    }

    fn route(&self, router: &Arc<Router>, real: &FullJid) {
        let stanza = self.stanza.readdressed(None, Some(real.as_jid()));
        let _ = router.route(stanza, None);
    }

    fn refuse(&self, router: &Arc<Router>, real: &FullJid) {
        let stanza = self.stanza.readdressed(None, Some(real.as_jid()));
        let error = xmpp::StanzaErrorCondition::RecipientUnavailable.into();
        router.refuse(&stanza, &error);
    }
}
