//! What is said in a room: kept in its log first, then given to all.

use std::{sync::Arc, time::Duration};

use storage::repository::LogRange;
use tokio::sync::oneshot;
use xmpp::{BareJid, Kind, StanzaError, StanzaErrorCondition as Condition};

use super::{
    Muc,
    home::{MAX_TOGETHER, Op, Ready, RoomHome, Spoken, State},
    log::{Kept, can_be_taken_back, tombstone},
    room::{Effects, Packet, Retracts, Room, Step},
};
use crate::module::Context;

/// How long what may be in the log or not waits before it is looked after again.
const SETTLE_DELAY: Duration = Duration::from_secs(1);
/// How often a tombstone is put.
const MAX_ATTEMPTS: usize = 64;

impl Muc {
    /// Keeps a message, with those that wait behind it, and gives them to all.
    pub(super) async fn say(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        ready: &mut Ready,
        first: Spoken,
        cx: &Context,
    ) {
        if let Some(stuck) = ready.stuck.take() {
            let (logs, room) = (&*self.logs, &home.address);
            let kept = ready.log.settle(logs, room, stuck, cx.now_ms()).await;
            self.kept(home, ready, kept, cx).await;
        }
        if ready.stuck.is_some() {
            let error = crate::home::wait("what is said in the room cannot be kept now");
            return self.refuse(&first.stanza, first.receipt, &error, cx);
        }
        if first.saying.reply.is_some()
            && let Some(retracts) = &first.saying.retracts
            && let Err(error) = self.is_there(&home.address, retracts).await
        {
            return self.refuse(&first.stanza, first.receipt, &error, cx);
        }
        if let Some(effects) = was_said(&ready.room, &first) {
            return self.send(home, effects, Some(first.receipt), cx);
        }
        let mut spoken = vec![first];
        while spoken.len() < MAX_TOGETHER
            && spoken.last().is_some_and(|it| it.saying.subject.is_none())
            && let Some((stanza, receipt)) = home.next_message()
        {
            match ready.room.handle(&stanza, cx.now_ms()) {
                Step::Say(saying) => {
                    let next = Spoken {
                        saying: *saying,
                        stanza,
                        receipt,
                    };
                    match was_said(&ready.room, &next) {
                        Some(effects) => self.send(home, effects, Some(next.receipt), cx),
                        None => spoken.push(next),
                    }
                }
                Step::Done(effects) => self.send(home, effects, Some(receipt), cx),
                // A message to all comes to nothing else.
                _ => receipt.done(),
            }
        }
        // The subject is a part of the room, which is kept first: what is kept is never less than what was heard.
        if let Some(changed) = spoken.pop_if(|it| it.saying.subject.is_some()) {
            self.keep_said(home, ready, spoken, cx).await;
            return self.change_subject(home, ready, changed, cx).await;
        }
        self.keep_said(home, ready, spoken, cx).await;
    }

    async fn keep_said(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        ready: &mut Ready,
        spoken: Vec<Spoken>,
        cx: &Context,
    ) {
        if spoken.is_empty() {
            return;
        }
        let (logs, room) = (&*self.logs, &home.address);
        let kept = ready.log.keep(logs, room, spoken, cx.now_ms()).await;
        self.kept(home, ready, kept, cx).await;
    }

    async fn change_subject(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        ready: &mut Ready,
        changed: Spoken,
        cx: &Context,
    ) {
        let text = changed.saying.subject.clone().unwrap_or_default();
        let record = ready
            .room
            .with_subject(&changed.saying.stanza, text, cx.now_ms());
        let (address, seen) = (&ready.room.address, ready.room.version);
        match self.repository.store(address, &record, &[], seen).await {
            Ok(version) => {
                ready.room.record = record;
                ready.room.version = version;
            }
            Err(error) => return self.refuse(&changed.stanza, changed.receipt, &error.into(), cx),
        }
        let (logs, room) = (&*self.logs, &home.address);
        match ready.log.keep(logs, room, vec![changed], cx.now_ms()).await {
            // It is the subject, whether the archive has it or not.
            Kept::No(spoken, error) => {
                tracing::warn!(%room, %error, "a change of the subject is not in the archive");
                for mut it in spoken {
                    it.saying.kept = false;
                    self.deliver(home, ready, it, None, cx.now_ms(), cx);
                }
            }
            kept => self.kept(home, ready, kept, cx).await,
        }
    }

    async fn kept(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        ready: &mut Ready,
        kept: Kept,
        cx: &Context,
    ) {
        match kept {
            Kept::Yes(spoken, mut number, time_ms) => {
                // What is taken back vanishes also from where it was published once.
                let changes_pages =
                    |it: &Spoken| it.saying.published || it.saying.retracts.is_some();
                if ready.room.record.may_have_pages() && spoken.iter().any(changes_pages) {
                    self.publish_later(home, &ready.room, cx);
                }
                let retracts = spoken.iter().filter_map(|it| it.saying.retracts.clone());
                self.take_back(home, retracts.collect(), cx).await;
                for it in spoken {
                    let kept = it.saying.kept;
                    number += u64::from(kept);
                    self.deliver(home, ready, it, kept.then_some(number), time_ms, cx);
                }
            }
            Kept::No(spoken, error) => {
                let error: StanzaError = error.into();
                for it in spoken {
                    self.refuse(&it.stanza, it.receipt, &error, cx);
                }
            }
            Kept::Unknown(stuck) => {
                ready.stuck = Some(stuck);
                self.settle_later(home, cx);
            }
        }
    }

    fn deliver(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        ready: &mut Ready,
        spoken: Spoken,
        number: Option<u64>,
        time_ms: u64,
        cx: &Context,
    ) {
        let Spoken {
            saying, receipt, ..
        } = spoken;
        let effects = ready.room.said(&saying, number, time_ms);
        self.metrics.said();
        self.send(home, effects, Some(receipt), cx);
    }

    /// What was taken back becomes tombstones. The room waits for it, unless the store takes its time.
    pub(super) async fn take_back(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        retracts: Vec<Retracts>,
        cx: &Context,
    ) {
        let mut done = Vec::with_capacity(retracts.len());
        for one in retracts {
            let (sender, receiver) = oneshot::channel();
            done.push(receiver);
            let (muc, room) = (self.clone(), home.address.clone());
            cx.run(Box::pin(async move {
                muc.retract(&room, &one).await;
                let _ = sender.send(());
            }));
        }
        let all = async {
            for one in done {
                let _ = one.await;
            }
        };
        // Who loads the room next finds what is not done then.
        let _ = tokio::time::timeout(SETTLE_DELAY, all).await;
    }

    /// What a moderator takes back is there, as a message or its tombstone.
    ///
    /// # Errors
    /// `item-not-found`; the store did not answer.
    async fn is_there(&self, room: &BareJid, retracts: &Retracts) -> Result<(), StanzaError> {
        let range = LogRange {
            from: retracts.number,
            to: retracts.number,
        };
        let found = self.logs.read(room, range, false, 1).await?;
        match found.first().is_some_and(can_be_taken_back) {
            true => Ok(()),
            false => Err(Condition::ItemNotFound.into()),
        }
    }

    async fn retract(&self, room: &BareJid, retracts: &Retracts) {
        let change = |entry: &_| tombstone(entry, retracts);
        for _ in 0..MAX_ATTEMPTS {
            match self.logs.rewrite(room, retracts.number, &change).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%room, %error, "a retracted message is still in the archive");
                }
            }
            tokio::time::sleep(SETTLE_DELAY).await;
        }
    }

    pub(super) async fn settle(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) {
        let Some(ready) = &mut state.ready else {
            return;
        };
        let Some(stuck) = ready.stuck.take() else {
            return;
        };
        let (logs, room) = (&*self.logs, &home.address);
        let kept = ready.log.settle(logs, room, stuck, cx.now_ms()).await;
        self.kept(home, ready, kept, cx).await;
    }

    fn settle_later(self: &Arc<Self>, home: &Arc<RoomHome>, cx: &Context) {
        let (muc, home, via) = (self.clone(), home.clone(), cx.clone());
        cx.run(Box::pin(async move {
            tokio::time::sleep(SETTLE_DELAY).await;
            // It is never refused.
            let _ = home.push(&muc, Op::Settle, &via);
        }));
    }
}

/// Whether what may have been said at a node that is gone was: then its sender gets what all got.
fn was_said(room: &Room, spoken: &Spoken) -> Option<Effects> {
    if !spoken.receipt.doubted {
        return None;
    }
    let id = spoken.stanza.id()?;
    let known = room.history.said_by(&spoken.saying.from, &id)?;
    let from = spoken.stanza.from()?;
    let mut effects = Effects::default();
    let packet = Packet {
        from: known.from.clone(),
        kind: Kind::Message,
        bytes: known.bytes.clone(),
    };
    effects.send(packet, from.to_full().into_iter().map(Arc::new).collect());
    Some(effects)
}
