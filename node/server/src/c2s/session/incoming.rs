//! What a client sends: stamped, counted, and on its way.
//!
//! Source: RFC 6120 §8.1, §8.3.3.8. Stored: nothing.

use xmpp::{
    Fragment, Kind, Stanza, StreamError, StreamErrorCondition as Condition, codec::StreamEvent, ns,
};

use super::{Flow, SessionCore};
use crate::{
    pipeline::outbound,
    routing::{Letter, Progress},
};

impl SessionCore {
    /// A stanza of the client (RFC 6120 §8).
    pub(super) fn stanza(&mut self, stanza: Stanza) -> Result<Flow, StreamError> {
        let Some(ticket) = self.begin(stanza.raw()) else {
            // `is_stalled` lets nothing in while the window is full.
            return Err(Condition::PolicyViolation.into());
        };
        let stanza = self.stamped(stanza)?;
        match stanza.kind() {
            Kind::Message => {
                let origin = self.origin(ticket);
                if outbound::message(self, stanza, origin) == Progress::Done {
                    self.complete(ticket);
                }
            }
            Kind::Iq => match outbound::iq_way(self, &stanza) {
                outbound::Way::Lane => self.enter_lane(stanza, ticket),
                outbound::Way::Route => {
                    let origin = self.origin(ticket);
                    if outbound::iq(self, stanza, origin) == Progress::Done {
                        self.complete(ticket);
                    }
                }
                outbound::Way::Nowhere => {
                    outbound::heard(self, &stanza);
                    self.complete(ticket);
                }
            },
            Kind::Presence => self.enter_lane(stanza, ticket),
        }
        Ok(Flow::Continue)
    }

    /// The stanza with the session's address as `from`, its account as `to` if it names nobody, and its stream's language.
    fn stamped(&self, stanza: Stanza) -> Result<Stanza, StreamError> {
        let jid = self.jid().as_jid();
        if let Some(from) = stanza.from()
            && from != jid
            && from.as_str() != jid.bare_str()
        {
            // RFC 6120 §8.1.2.1, §4.9.3.9.
            return Err(StreamError::new(
                Condition::InvalidFrom,
                "the 'from' address is not that of this stream",
            ));
        }
        let from = (stanza.from() != Some(jid)).then_some(jid);
        // RFC 6120 §8.1.1.1: without 'to', a message or IQ is for the account itself.
        let own = self.home.account.as_jid();
        let to = (stanza.to().is_none() && stanza.kind() != Kind::Presence).then_some(own);
        let lang = self.lang.as_deref();
        let lang = lang.filter(|_| stanza.root().attr("xml:lang").is_none());
        if from.is_none() && to.is_none() && lang.is_none() {
            Ok(stanza)
        } else {
            Ok(stanza.stamped(from, to, lang))
        }
    }

    /// A stanza whose `to` or `from` is no address (RFC 6120 §8.3.3.8): it counts, and is answered.
    pub(super) fn bad_address(&mut self, fragment: &Fragment) {
        let Some(ticket) = self.begin(fragment.raw()) else {
            return;
        };
        let mut element = fragment.to_element();
        element.remove_attr("to");
        element.set_attr("from", self.jid().as_str());
        let error = xmpp::StanzaErrorCondition::JidMalformed.into();
        if let Some(reply) = Stanza::from_element(&element).error_reply(&error) {
            self.handle.mailbox.post(Letter::refusal(&reply));
        }
        self.complete(ticket);
    }

    /// Whether nothing more may come in for now.
    pub(super) fn is_stalled(&self) -> bool {
        self.inbound.is_full() && self.inbound.repeats() == 0
            || self.settling()
            || self.strays && !self.is_settled()
            || self.handle.ending.get().is_some()
    }

    fn settling(&self) -> bool {
        // `<enable/>` stands first among what is held until nothing is in flight.
        matches!(self.held.front(), Some(StreamEvent::Element(f)) if f.root().is("enable", ns::SM))
            && self.inbound.in_flight() > 0
    }
}
