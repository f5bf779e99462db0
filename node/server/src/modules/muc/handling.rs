//! What is done with a stanza for a room: the room is loaded, its rules say what the stanza comes to, and that is kept and sent.

use std::sync::Arc;

use storage::ErrorKind;
use xmpp::{Element, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    Muc, archive,
    home::{Asked, Op, RoomHome, Spoken, State},
    inspect,
    room::{Destroy, Effects, Room, Step, effects::error_reply},
    sending,
};
use crate::module::{Context, Receipt};

/// How often a change is ruled on anew because another node changed the room.
const MAX_ATTEMPTS: usize = 4;

impl Muc {
    /// Does one operation.
    pub(super) async fn handle(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        op: Op,
        cx: &Context,
    ) {
        let was_there = state
            .ready
            .as_ref()
            .is_some_and(|it| !it.room.occupants.is_empty());
        if state.ready.is_some() {
            self.know_asserted(home, state, cx);
        }
        match op {
            Op::Stanza(stanza, receipt) => self.stanza(home, state, stanza, receipt, cx).await,
            Op::Lost(reals) => {
                if let Some(ready) = &mut state.ready {
                    for real in reals {
                        let effects = ready.room.lost(&real);
                        self.send(home, effects, None, cx);
                    }
                }
            }
            Op::Settle => self.settle(home, state, cx).await,
            Op::Asked(asked) => self.asked(home, state, asked, cx).await,
            Op::Asserted => self.asserted(home, state, cx).await,
            Op::Leave => return self.leave(home, state, cx).await,
        }
        self.keep_rest(home, state, cx).await;
        let is_over = state.ready.as_ref().is_some_and(|it| it.room.is_over());
        if was_there && is_over {
            // What cannot be kept now is tried again when the room is next used, or read.
            if let Err(error) = self.destroy(home, state, Destroy::default(), cx).await {
                tracing::warn!(room = %home.address, %error, "a room that is over is not removed");
            }
        }
    }

    async fn stanza(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        stanza: Stanza,
        receipt: Receipt,
        cx: &Context,
    ) {
        if state.ready.is_none() && cx.is_elsewhere(&home.address) {
            return receipt.elsewhere(false);
        }
        match self.load(home, state, cx).await {
            Ok(true) => {}
            Ok(false) => return self.absent(home, state, stanza, receipt, cx).await,
            Err(error) => return self.refuse(&stanza, receipt, &error, cx),
        }
        for _ in 0..MAX_ATTEMPTS {
            let Some(ready) = &mut state.ready else {
                return self.refuse(&stanza, receipt, &Condition::ItemNotFound.into(), cx);
            };
            match ready.room.handle(&stanza, cx.now_ms()) {
                Step::Done(effects) => return self.send(home, effects, Some(receipt), cx),
                Step::Say(saying) => {
                    let first = Spoken {
                        saying: *saying,
                        stanza,
                        receipt,
                    };
                    return self.say(home, ready, first, cx).await;
                }
                Step::Archive => {
                    archive::answer(self, &ready.room, &stanza, cx);
                    return receipt.done();
                }
                Step::Vcard => {
                    self.vcard(&ready.room, stanza, cx);
                    return receipt.done();
                }
                Step::Destroy(destroy) => {
                    match self.destroy(home, state, *destroy, cx).await {
                        Ok(()) => receipt.done(),
                        Err(error) => self.refuse(&stanza, receipt, &error, cx),
                    }
                    return;
                }
                Step::Keep(change) => match self.keep(ready, *change).await {
                    Ok(effects) => {
                        if ready.room.record.may_have_pages() {
                            // It may be for others than before.
                            self.publish_later(home, &ready.room, cx);
                        }
                        return self.send(home, effects, Some(receipt), cx);
                    }
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        if let Err(error) = self.reload(home, state, cx).await {
                            return self.refuse(&stanza, receipt, &error.into(), cx);
                        }
                    }
                    Err(error) => return self.refuse(&stanza, receipt, &error.into(), cx),
                },
            }
        }
        let error = crate::home::wait("the room is being changed by others");
        self.refuse(&stanza, receipt, &error, cx);
    }

    /// A stanza for a room that is not there: who enters makes it (§10.1).
    async fn absent(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        stanza: Stanza,
        receipt: Receipt,
        cx: &Context,
    ) {
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            return receipt.done();
        };
        let is_presence = stanza.kind() == Kind::Presence;
        let kind = stanza.type_attr();
        let enters = is_presence && kind.is_none() && stanza.child("x", ns::MUC).is_some();
        let nick = to.resource().map(str::to_owned);
        let error = match (enters, nick) {
            (true, Some(nick)) if self.options.may_create(from) => {
                match self.create(home, state, &stanza, &nick, cx).await {
                    Ok(effects) => return self.send(home, effects, Some(receipt), cx),
                    Err(error) => error,
                }
            }
            (true, Some(_)) => Condition::NotAllowed.into(),
            (true, None) => Condition::JidMalformed.into(),
            (false, _) if is_presence && kind.as_deref() != Some("error") => {
                // §17.3: nobody who is not there can leave, and no probe is answered.
                return receipt.done();
            }
            (false, _) => Condition::ItemNotFound.into(),
        };
        drop(kind);
        self.refuse(&stanza, receipt, &error, cx);
    }

    async fn asked(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        asked: Asked,
        cx: &Context,
    ) {
        let found = self.load(home, state, cx).await;
        match asked {
            Asked::Destroy(reason, answer) => {
                let outcome = match found {
                    Ok(true) => {
                        let destroy = Destroy {
                            reason,
                            ..Destroy::default()
                        };
                        self.destroy(home, state, destroy, cx).await.map(|()| true)
                    }
                    other => other,
                };
                let _ = answer.send(outcome);
            }
            Asked::Inspect(answer) => {
                let lines = found.map(|_| {
                    state
                        .ready
                        .as_ref()
                        .map(|ready| inspect::lines(&ready.room))
                });
                let _ = answer.send(lines);
            }
            Asked::EndIfOver(answer) => {
                let ready = state.ready.as_ref();
                let is_over = ready.is_some_and(|it| it.room.is_over() && it.stuck.is_none());
                let outcome = match found {
                    Ok(true) if is_over => {
                        let destroy = Destroy::default();
                        self.destroy(home, state, destroy, cx).await.map(|()| true)
                    }
                    // Loading one that was destroyed before has removed it.
                    other => other.map(|_| false),
                };
                let _ = answer.send(outcome);
            }
        }
    }

    /// Does what a rule wants done. Who is not there any more is taken out of the room behind what is under way.
    pub(super) fn send(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        effects: Effects,
        receipt: Option<Receipt>,
        cx: &Context,
    ) {
        let mut missing = sending::send(effects, receipt, cx);
        missing.dedup();
        if !missing.is_empty() {
            // It is never refused.
            let _ = home.push(self, Op::Lost(missing), cx);
        }
    }

    /// Answers with an error.
    pub(super) fn refuse(
        &self,
        stanza: &Stanza,
        receipt: Receipt,
        error: &StanzaError,
        cx: &Context,
    ) {
        if let Some(reply) = error_reply(stanza, error) {
            sending::reply(&reply, cx);
        }
        receipt.refused();
    }

    /// Answers with the room's vCard; one that has none has an empty one.
    fn vcard(self: &Arc<Self>, room: &Room, stanza: Stanza, cx: &Context) {
        let (muc, via, address) = (self.clone(), cx.clone(), room.address.clone());
        cx.run(Box::pin(async move {
            let found = muc.repository.vcard(&address).await;
            let vcard = found.map(|xml| {
                let empty = || Element::new("vCard", ns::VCARD);
                xml.map_or_else(empty, |xml| {
                    Element::parse(&xml, ns::CLIENT).unwrap_or_else(|_| empty())
                })
            });
            let reply = match vcard {
                Ok(vcard) => Some(stanza.result_reply(Some(vcard))),
                Err(error) => stanza.error_reply(&error.into()),
            };
            reply.iter().for_each(|reply| sending::reply(reply, &via));
        }));
    }
}
