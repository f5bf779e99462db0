//! Effects of rooms, carried out.
//!
//! What is for those in a room goes to their sessions in the order in which the rules say it. A message to one person goes
//! the way of all messages, and its sender is told when it has arrived.

use xmpp::{Element, Stanza, ns};

use super::room::{Effect, Effects, Real};
use crate::module::{Context, Receipt};

/// Does what a rule wants done; who was to get something and is not there comes back. `receipt`: who waits for the messages to
/// one person.
pub(super) fn send(effects: Effects, receipt: Option<Receipt>, cx: &Context) -> Vec<Real> {
    let mut missing = Vec::new();
    let mut routed = Vec::new();
    for effect in effects.0 {
        match effect {
            Effect::Send(packet, to) => {
                // What we wrote is a stanza.
                if let Ok(stanza) = Stanza::parse(packet.bytes) {
                    missing.extend(cx.spread(&stanza, &to));
                }
            }
            Effect::Tell(packet, to) => {
                if let Ok(stanza) = Stanza::parse(packet.bytes) {
                    let addressed = to
                        .iter()
                        .map(|to| stanza.readdressed(None, Some(to.as_jid())));
                    addressed.for_each(|it| cx.route(it));
                }
            }
            Effect::Reply(element) => reply(&element, cx),
            Effect::Route(stanza) => routed.push(stanza),
        }
    }
    match routed.is_empty() {
        true => receipt.into_iter().for_each(Receipt::done),
        false => {
            let via = cx.clone();
            cx.run(Box::pin(async move {
                for stanza in routed {
                    if !via.routed(stanza).await {
                        return;
                    }
                }
                receipt.into_iter().for_each(Receipt::done);
            }));
        }
    }
    missing
}

/// Sends a stanza to whom it names: a session gets it in the order of what it gets from the room.
pub(super) fn reply(element: &Element, cx: &Context) {
    let Ok(stanza) = Stanza::parse(element.to_bytes(ns::CLIENT).into()) else {
        return;
    };
    if let Some(left) = cx.spread_one(stanza) {
        cx.route(left);
    }
}
