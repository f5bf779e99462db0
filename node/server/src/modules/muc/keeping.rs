//! What is kept of a room: it is read, made, changed, removed.

use std::sync::Arc;

use storage::{
    ErrorKind,
    repository::{StoredRoom, pages::place},
};
use xmpp::{BareJid, Stanza, StanzaError, StanzaErrorCondition as Condition};

use super::{
    Muc,
    home::{Ready, RoomHome, State},
    log::Log,
    room::{Change, Destroy, Effects, History, Room, SECRET},
};
use crate::module::Context;

/// How often what is kept behind is tried at once, and how long it waits when it cannot be.
const MAX_ATTEMPTS: usize = 8;
const REST_DELAY_MS: u64 = 1_000;

impl Muc {
    /// Loads a room, if it is not; whether there is one.
    pub(super) async fn load(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) -> Result<bool, StanzaError> {
        if state.ready.is_some() {
            return Ok(true);
        }
        let stored = match self.repository.load(&home.address).await? {
            Some(stored) if stored.record.gone => {
                // Whoever destroyed it did not live to remove all of it.
                self.remove(home, stored.record.may_have_pages()).await?;
                None
            }
            stored => stored,
        };
        let Some(stored) = stored else {
            return Ok(false);
        };
        let (policy, now_ms) = (self.options.policy, cx.now_ms());
        let (log, history, unfinished) =
            Log::load(&*self.logs, &home.address, &policy, now_ms).await?;
        // Everybody has heard of it, and whoever served the room did not get to the end of it.
        self.take_back(home, unfinished, cx).await;
        let ready = self.ready(home, stored, history, log);
        if ready.room.record.may_have_pages() {
            // Whoever served it before may not have got to the end of it.
            self.publish_later(home, &ready.room, cx);
        }
        state.ready = Some(Box::new(ready));
        // Nobody is in it yet who was while another node served it.
        self.barrier.wait().await;
        self.know_asserted(home, state, cx);
        Ok(true)
    }

    fn ready(&self, home: &RoomHome, stored: StoredRoom, history: History, log: Log) -> Ready {
        let mut room = Room::new(home.address.clone(), stored, history, self.options.policy);
        let url = self.options.pages_url.as_ref();
        room.published_at = url.map(|url| format!("{url}/{}/", place(&home.address)));
        Ready {
            room,
            loaded_at: log.head(),
            rest_due_ms: 0,
            log,
            stuck: None,
        }
    }

    /// What another node changed is read again. Those who are in the room stay.
    pub(super) async fn reload(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) -> storage::Result<()> {
        let stored = self.repository.load(&home.address).await?;
        let stored = stored.filter(|stored| !stored.record.gone);
        match (stored, &mut state.ready) {
            (Some(stored), Some(ready)) => {
                // Those in the room are told of it as of any other change.
                let change = ready.room.change_to(stored.record, stored.members);
                let effects = ready.room.apply(change, stored.version);
                self.send(home, effects, None, cx);
            }
            (None, Some(ready)) => {
                let effects = ready.room.destroyed(&Destroy::default());
                self.send(home, effects, None, cx);
                self.forget(state, cx);
            }
            (_, None) => {}
        }
        Ok(())
    }

    /// Makes a room for who enters. Of two nodes that make it one does.
    pub(super) async fn create(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        stanza: &Stanza,
        nick: &str,
        cx: &Context,
    ) -> Result<Effects, StanzaError> {
        let from = stanza.from().ok_or(Condition::BadRequest)?;
        self.may_have_more(&from.to_bare()).await?;
        let (policy, now_ms) = (self.options.policy, cx.now_ms());
        let secret = crate::random::bytes::<SECRET>();
        let made = Room::made_by(from.to_bare(), secret, &policy, now_ms);
        // Of a room that was destroyed nothing is left; of one that was made and never known of, its log may be.
        let (log, history, _) = Log::load(&*self.logs, &home.address, &policy, now_ms).await?;
        let mut ready = self.ready(home, made.clone(), history, log);
        // Before it is kept: who may not enter makes nothing.
        let effects = ready.room.enter(stanza, from, nick, &[201], now_ms)?;
        let created = self
            .repository
            .create(&home.address, &made.record, &made.members)
            .await;
        match created {
            Ok(version) => {
                ready.room.version = version;
                state.ready = Some(Box::new(ready));
                self.metrics.created();
                Ok(effects)
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                if !self.load(home, state, cx).await? {
                    return Err(crate::home::wait("the room is being made or removed"));
                }
                let ready = state.ready.as_mut().ok_or(Condition::InternalServerError)?;
                ready.room.enter(stanza, from, nick, &[], now_ms)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// # Errors
    /// `not-allowed` (XEP-0045 §10.1.1): somebody has made as many rooms as one may.
    async fn may_have_more(&self, account: &BareJid) -> Result<(), StanzaError> {
        let limit = self.options.per_user as usize;
        if limit == 0 || self.options.is_admin(account.as_jid()) {
            return Ok(());
        }
        match self.repository.made_by(account, limit).await? < limit {
            true => Ok(()),
            false => Err(StanzaError::new(
                Condition::NotAllowed,
                "you have made as many rooms as one may",
            )),
        }
    }

    pub(super) async fn keep(&self, ready: &mut Ready, change: Change) -> storage::Result<Effects> {
        let (address, seen) = (&ready.room.address, ready.room.version);
        let version = match &change.vcard {
            Some(vcard) => {
                let put = self
                    .repository
                    .put_vcard(address, &change.record, vcard.clone(), seen);
                put.await?
            }
            None => {
                let put = self
                    .repository
                    .store(address, &change.record, &change.members, seen);
                put.await?
            }
        };
        Ok(ready.room.apply(change, version))
    }

    /// Keeps what follows from what was done: nobody waits for it, and what cannot be kept now is by and by.
    pub(super) async fn keep_rest(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        cx: &Context,
    ) {
        for _ in 0..MAX_ATTEMPTS {
            let Some(ready) = &mut state.ready else {
                return;
            };
            if ready.room.is_kept() || ready.rest_due_ms > cx.now_ms() {
                return;
            }
            let members = ready.room.unkept();
            let (address, seen) = (&ready.room.address, ready.room.version);
            let record = &ready.room.record;
            let stored = self.repository.store(address, record, &members, seen).await;
            let failed = match stored {
                Ok(version) => {
                    ready.room.kept(&members, version);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    self.reload(home, state, cx).await.err()
                }
                Err(error) => Some(error),
            };
            if let (Some(error), Some(ready)) = (failed, &mut state.ready) {
                tracing::warn!(room = %home.address, %error, "roles of a room are not kept yet");
                ready.rest_due_ms = cx.now_ms() + REST_DELAY_MS;
            }
        }
    }

    /// A room is no more: first it is kept that it is gone, then everybody is told, then what is left is removed.
    pub(super) async fn destroy(
        self: &Arc<Self>,
        home: &Arc<RoomHome>,
        state: &mut State,
        destroy: Destroy,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let Some(ready) = &mut state.ready else {
            return Ok(());
        };
        let mut record = ready.room.record.clone();
        record.gone = true;
        let (address, seen) = (&ready.room.address, ready.room.version);
        ready.room.version = self.repository.store(address, &record, &[], seen).await?;
        let published = record.may_have_pages();
        ready.room.record = record;
        let effects = ready.room.destroyed(&destroy);
        self.send(home, effects, None, cx);
        self.forget(state, cx);
        self.metrics.destroyed();
        if let Err(error) = self.remove(home, published).await {
            // Whoever uses the name next goes on.
            tracing::warn!(room = %home.address, %error, "what is left of a room is not removed yet");
        }
        Ok(())
    }

    /// The room is no more: what nobody knows to be said was not.
    fn forget(&self, state: &mut State, cx: &Context) {
        let stuck = state.ready.take().and_then(|ready| ready.stuck);
        for spoken in stuck.into_iter().flat_map(|it| it.spoken) {
            let error = Condition::ItemNotFound.into();
            self.refuse(&spoken.stanza, spoken.receipt, &error, cx);
        }
    }

    async fn remove(&self, home: &RoomHome, published: bool) -> storage::Result<()> {
        if published {
            self.unpublish(&home.address).await?;
        }
        self.logs.erase(&home.address).await?;
        self.repository.remove(&home.address).await
    }
}
