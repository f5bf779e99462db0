//! The end of a session: who waits for what it still had, and who is told.
//!
//! Why here: everything a client did not get is given back at one place, in one order.
//! Source: RFC 6121 §4.5. Stored: what was not handed over, by the account's home.

use xmpp::Stanza;

use super::SessionCore;
use crate::{
    pipeline::{inbound, lifecycle},
    routing::Letter,
};

impl SessionCore {
    /// The session is over: its presence ends, its name is free, what its client did not get waits for another.
    pub fn end(self: Box<Self>, presence: Option<Stanza>) {
        let mut is_told = !self.is_unproven();
        let Self {
            handle,
            home,
            router,
            managed,
            backlog,
            unwritten,
            anonymous,
            client_state,
            inbound: handled,
            ..
        } = *self;
        let directed = std::mem::take(&mut *handle.directed.lock());
        let left = handle.mailbox.close();
        let mut numbers = Vec::from(unwritten);
        let mut homeless = Vec::new();
        let is_managed = managed.is_some();
        // What was sent and not acknowledged is older than what was not sent.
        let unacked = managed.into_iter().flat_map(|it| it.outbound.into_items());
        let unacked = unacked.map(Letter::from);
        let mut spared = Vec::new();
        if let Some(mut state) = client_state {
            state.activate(&mut spared);
        }
        let spared = spared.into_iter().map(Letter::Stanza);
        for letter in unacked.chain(spared).chain(backlog).chain(left) {
            is_told &= !letter.is_refusal();
            match letter {
                Letter::Logged(number) => numbers.push(number),
                Letter::Stanza(delivery) if delivery.number != 0 => numbers.push(delivery.number),
                Letter::Stanza(delivery) => homeless.extend(delivery.give_up()),
                Letter::Waiting | Letter::Done(_) | Letter::LaneDone => {}
            }
        }
        if is_managed {
            // What nobody can be sure of is not told. Nor is it if something of that was refused and its client may not have
            // heard: it sends again what it takes for sent otherwise.
            router.parked.forget(&handle, is_told.then(|| handled.h()));
        }
        let presence = presence.unwrap_or_else(|| inbound::unavailable(&handle.jid, None));
        // Its home stays until all of this is done.
        let ending = home.ends();
        // At once: what comes later may not overtake what this client did not get.
        router
            .directory
            .unbind(home.account.as_str(), handle.session);
        numbers.sort_unstable();
        home.release(&router, numbers);
        for bytes in homeless {
            // It was accepted for this account; now it is kept as if it had just come.
            if let Ok(stanza) = Stanza::parse(bytes) {
                let _ = router.route(stanza, None);
            }
        }
        router.clone().spawn(async move {
            let ended = lifecycle::unavailable(&router, &home, &handle, &presence, directed).await;
            if let Err(error) = ended {
                tracing::debug!(jid = %handle.jid, %error, "contacts not told of the end of a session");
            }
            // Its list says who may hear that it ends.
            router.active_lists.ended(handle.session);
            router.sessions.remove(handle.session.number);
            drop(ending);
            if anonymous {
                router.homes.forget(&router, home.account.as_str());
            }
        });
    }
}
