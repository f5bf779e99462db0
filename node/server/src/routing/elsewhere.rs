//! Stanzas that other nodes serve: asked of them, passed on, kept until they can be asked, and delivered anew when they come
//! back.

use std::sync::Arc;

use xmpp::Kind;

use super::{Progress, Router, UNREACHABLE_DELAY, peers::Asked};
use crate::home::{self, Parcel};

impl Router {
    /// What waited for answers of other nodes goes on, if these have come.
    pub fn go_on(self: &Arc<Self>) {
        for account in self.peers.free() {
            while let Some(parcel) = self.peers.next_of(&account) {
                let origin = parcel.origin.clone();
                home::tell(self.deliver_anew(parcel), origin);
            }
        }
    }

    /// Messages that a node which is gone was asked to deliver, and what may be done twice, are given to whoever serves their
    /// accounts now. The others are answered as what is lost on the way is.
    fn deliver_anew(self: &Arc<Self>, parcel: Parcel) -> Progress {
        let kind = parcel.stanza.type_attr();
        let is_kept = parcel.class.archived() || parcel.class.stored_offline();
        // What is said in a room is looked for there before it is said again.
        let to_room = || {
            parcel
                .stanza
                .to()
                .is_some_and(|to| !self.serves(to.domain()))
        };
        let repeats = match parcel.stanza.kind() {
            Kind::Message => is_kept || to_room(),
            Kind::Presence => kind
                .as_deref()
                .is_some_and(|kind| kind.contains("subscribe")),
            Kind::Iq => false,
        };
        if parcel.doubt.is_some() && !repeats {
            let text = "the node that served the account is gone";
            self.refuse(&parcel.stanza, &home::wait(text));
            return Progress::Done;
        }
        self.deliver_first(parcel)
    }

    /// Delivers what a home has that is not this node's any more. It comes back if it is.
    pub fn deliver_away(self: &Arc<Self>, parcel: Parcel) -> Option<Parcel> {
        let origin = parcel.origin.clone();
        match self.peers.ask(parcel, self.now_ms(), |_| false) {
            Asked::Here(parcel) => Some(parcel),
            asked => {
                home::tell(self.asked(asked), origin);
                None
            }
        }
    }

    /// What was here, and is for another node by now: it goes back to who asked, where it keeps its place, or on.
    pub fn pass_on(self: &Arc<Self>, parcel: Parcel) {
        let left = self.peers.give_back(parcel);
        if let Some(parcel) = left.and_then(|parcel| self.deliver_away(parcel)) {
            // The view has changed once more, and it is served here after all.
            home::deliver(self, parcel);
        }
    }

    fn deliver_first(self: &Arc<Self>, parcel: Parcel) -> Progress {
        let is_here = |account: &str| self.is_here(account);
        let asked = self.peers.ask_first(parcel, self.now_ms(), is_here);
        self.asked(asked)
    }

    pub(super) fn asked(self: &Arc<Self>, asked: Asked) -> Progress {
        match asked {
            Asked::Pending => Progress::Pending,
            Asked::Here(parcel) => self.deliver_here(parcel),
            Asked::Noted(question) => {
                let router = self.clone();
                self.spawn(async move {
                    let mut asked = router.peers.ask_again(question);
                    while let Asked::Noted(question) = asked {
                        tokio::time::sleep(UNREACHABLE_DELAY).await;
                        asked = router.peers.ask_again(question);
                    }
                    // It may have come back.
                    router.go_on();
                });
                Progress::Pending
            }
            // It may have been delivered: who is told that it was not would be told a lie.
            Asked::Unreachable(parcel) if parcel.doubt.is_some() || parcel.sent => {
                self.deliver_later(*parcel);
                Progress::Pending
            }
            Asked::Unreachable(parcel) => {
                let text = "the account's node cannot be reached now";
                self.refuse(&parcel.stanza, &home::wait(text));
                Progress::Done
            }
        }
    }

    fn deliver_later(self: &Arc<Self>, parcel: Parcel) {
        let router = self.clone();
        self.spawn(async move {
            tokio::time::sleep(UNREACHABLE_DELAY).await;
            let parcel = Parcel { hops: 0, ..parcel };
            home::deliver(&router, parcel);
        });
    }
}
