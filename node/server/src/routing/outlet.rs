//! What modules may do: each of it by the router that they do not know.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::directory::{Entry, SessionRef};
use storage::repository::{ArchivePreferences, PrivacyData};
use xmpp::{BareJid, FullJid, Stanza, StanzaError, StreamError};

use super::{
    Order, Posted, Router, SessionHandle, acting,
    census::{self, Announcement, Census, Counted, Everywhere},
    spread,
};
use crate::{
    module::{Administer, Administered, LastActivity, Notice, Outlet, Registry, Work},
    modules::{roster::subscription::Sharing, vcard::Photo},
    pipeline::{events, groups, inbound, lifecycle},
    poll_once,
};

#[async_trait]
impl Outlet for Arc<Router> {
    fn now_ms(&self) -> u64 {
        Router::now_ms(self)
    }

    fn uptime(&self) -> u32 {
        Router::uptime(self)
    }

    fn registry(&self) -> &Registry {
        Router::registry(self)
    }

    fn route(&self, stanza: Stanza) {
        let _ = Router::route(self, stanza, None);
    }

    async fn routed(&self, stanza: Stanza) -> bool {
        Router::routed(self, stanza).await
    }

    fn spread(&self, stanza: &Stanza, to: &[Arc<FullJid>]) -> Vec<Arc<FullJid>> {
        spread::spread(self, stanza, to)
    }

    fn is_elsewhere(&self, address: &BareJid) -> bool {
        self.elsewhere(address.as_jid()).is_some()
    }

    fn run(&self, work: Work) {
        let _ = poll_once::now_or_run(self, work, || {});
    }

    fn nodes_changed(&self, address: &BareJid) {
        self.peers.nodes_changed(address);
    }

    async fn kept_out(&self, account: &BareJid, of: BTreeSet<BareJid>) -> BTreeSet<BareJid> {
        events::kept_out(self, account, of).await
    }

    fn notify(&self, notice: Notice) {
        events::notify(self, &notice);
    }

    fn entries(&self, account: &BareJid) -> Arc<[Entry]> {
        Router::entries(self, account.as_str())
    }

    fn sessions(&self, visit: &mut dyn FnMut(&SessionHandle)) {
        let mut shard = 0;
        while let Some(handles) = self.sessions.shard_snapshot(shard) {
            handles.iter().for_each(|handle| visit(handle));
            shard += 1;
        }
    }

    fn share(&self, account: &BareJid, contact: &BareJid, sharing: Sharing) {
        inbound::share(self, account, contact, sharing);
    }

    fn push(&self, session: SessionRef, bytes: Bytes) {
        if let Some(handle) = self.sessions.get(session.number) {
            handle.mailbox.post(bytes.into());
        }
    }

    fn end_session(&self, session: SessionRef, error: StreamError) -> bool {
        let Some(handle) = self.sessions.get(session.number) else {
            return false;
        };
        // Nobody reads the mailbox of a session that waits to be resumed.
        if let Some(parked) = self.parked.take_parked(&handle) {
            parked.end(None);
            return true;
        }
        handle.mailbox.order(Order::End(error)) == Posted::Yes
    }

    fn presences(&self, account: &BareJid) -> Vec<Stanza> {
        let home = self.homes.loaded(account.as_str());
        home.map(|home| {
            home.presences()
                .into_iter()
                .map(|(_, presence)| presence)
                .collect()
        })
        .unwrap_or_default()
    }

    fn set_flags(&self, session: SessionRef, set: u16, clear: u16) {
        if let Some(handle) = self.sessions.get(session.number) {
            Router::set_flags(self, &handle, set, clear);
        }
    }

    fn photo_changed(&self, account: &BareJid, photo: Photo) {
        let Some(home) = self.homes.loaded(account.as_str()) else {
            return;
        };
        home.set_photo(photo);
        let router = self.clone();
        self.spawn(async move { lifecycle::photo_changed(&router, &home).await });
    }

    fn forget(&self, account: &BareJid) {
        // The home last: one that loads meanwhile pins what it is to be judged by, and is forgotten with it.
        self.rosters.forget(account);
        self.nodes.forget(account);
        self.homes.forget(self, account.as_str());
        self.groups.account_changed(account);
        self.peers.forget(account);
    }

    async fn groups_changed(&self, domain: &str) {
        groups::changed(self, domain).await;
    }

    async fn retire(
        &self,
        account: &BareJid,
        spared: Option<SessionRef>,
        error: &StreamError,
    ) -> Result<Vec<FullJid>, StanzaError> {
        acting::retire(self, account, spared, error).await
    }

    async fn end_elsewhere(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        error: &StreamError,
    ) -> Result<usize, StanzaError> {
        acting::end_elsewhere(self, account, resource, error).await
    }

    async fn lists_changed(
        &self,
        account: &BareJid,
        lists: Arc<PrivacyData>,
    ) -> Result<(), StanzaError> {
        acting::lists_changed(self, account, lists).await
    }

    fn preferences_changed(&self, account: &BareJid, preferences: Arc<ArchivePreferences>) {
        if let Some(home) = self.homes.loaded(account.as_str()) {
            home.set_preferences(preferences);
        }
    }

    async fn exists(&self, account: &BareJid) -> Result<bool, StanzaError> {
        self.homes.get(self, account).exists().await
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<LastActivity>, StanzaError> {
        Ok(acting::look(self, account).await?.last)
    }

    async fn waiting(&self, account: &BareJid) -> Result<usize, StanzaError> {
        let waiting = acting::look(self, account).await?.waiting;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }

    async fn resources(&self, account: &BareJid) -> Result<Vec<String>, StanzaError> {
        Ok(acting::look(self, account).await?.resources)
    }
    async fn census(&self, census: &Census) -> Everywhere<Counted> {
        census::count_everywhere(self, census).await
    }

    async fn announce(&self, announcement: Announcement) -> Everywhere<u64> {
        census::announce_everywhere(self, announcement).await
    }

    async fn administer(
        &self,
        address: &BareJid,
        what: Administer,
    ) -> Result<Administered, StanzaError> {
        acting::administer(self, address, what).await
    }
}
