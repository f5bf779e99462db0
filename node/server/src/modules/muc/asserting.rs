//! Rooms that come and go with the view: who is in them is told by the nodes of those who are.

use std::{collections::BTreeMap, sync::Arc};

use xmpp::{BareJid, Stanza};

use super::{
    Muc,
    home::{Op, RoomHome, State},
    room::Since,
};
use crate::module::{Assertion, Context};

impl Muc {
    /// The view has changed: rooms that others serve now are let go, behind what is under way.
    pub(super) fn let_go(self: &Arc<Self>, cx: &Context) {
        for home in self.rooms.all() {
            if cx.is_elsewhere(&home.address) {
                // It is never refused.
                let _ = home.push(self, Op::Leave, cx);
            }
        }
    }

    /// These are in rooms that are served here.
    pub(super) fn take_assertions(self: &Arc<Self>, assertions: Vec<Assertion>, cx: &Context) {
        let mut by_room: BTreeMap<BareJid, Vec<Assertion>> = BTreeMap::new();
        for assertion in assertions {
            let room = assertion.occupant.to_bare();
            by_room.entry(room).or_default().push(assertion);
        }
        for (room, told) in by_room {
            let Some(home) = self.rooms.get(&room, self.options.loaded, cx.now_ms()) else {
                tracing::warn!(%room, "a room that comes finds no place");
                continue;
            };
            for assertion in told {
                home.push_asserted(self, assertion, cx);
            }
        }
    }

    /// Another node serves the room. Nobody in it is told anything.
    pub(super) async fn leave(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) {
        if !cx.is_elsewhere(&home.address) {
            // It came back before it was gone.
            return;
        }
        self.settle(home, state, cx).await;
        self.keep_rest(home, state, cx).await;
        let stuck = state.ready.take().and_then(|ready| ready.stuck);
        for spoken in stuck.into_iter().flat_map(|it| it.spoken) {
            // Who serves the room looks whether it was said.
            spoken.receipt.elsewhere(true);
        }
    }

    /// Somebody is in a room that may not be loaded yet.
    pub(super) async fn asserted(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) {
        if cx.is_elsewhere(&home.address) {
            // Whoever serves it is told as well.
            drop(home.take_asserted());
            return;
        }
        match self.load(home, state, cx).await {
            Ok(true) => self.know_asserted(home, state, cx),
            // It was destroyed meanwhile; those who were in it were told.
            Ok(false) => drop(home.take_asserted()),
            Err(error) => {
                tracing::warn!(room = %home.address, %error, "a room that came is not loaded");
                // Who next uses the room loads it, and they are known then.
            }
        }
    }

    /// Those who were told of are in the room, as they were. Who is told of late gets what was said here since.
    pub(super) fn know_asserted(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) {
        let Some(ready) = &mut state.ready else {
            return;
        };
        for told in home.take_asserted() {
            let presence = Stanza::parse(told.presence.clone()).ok();
            let nick = told.occupant.resource().unwrap_or_default().to_owned();
            let since = Since {
                heard: (told.heard > 0).then_some(told.heard),
                loaded: ready.loaded_at,
                entered: told.entered,
            };
            let room = &mut ready.room;
            let effects = room.reassert(told.real, &nick, presence.as_ref(), since);
            self.send(home, effects, None, cx);
        }
    }
}
