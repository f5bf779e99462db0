//! Multi-user chat: services with rooms in which many talk.
//!
//! Source: XEP-0045 v1.35.5, 0249, 0313 (archives of rooms), 0317, 0410, 0421, 0424, 0425, 0433, 0486.
//! A room is served at its place, as an account is: what is for it comes to the node that the view names, which loads it
//! from the store when it is first used. What is said is in the room's log before anybody hears it and before its sender is
//! told that it was taken.
//!
//! | file | what |
//! |---|---|
//! | `room` | the rules, pure |
//! | `rooms`, `home` | the rooms in memory; the queue of one of them |
//! | `handling`, `keeping`, `speaking` | what is done with a stanza; what is kept of a room; what is said in it |
//! | `asserting`, `barrier` | who is in a room that has come here from another node |
//! | `over` | the end of rooms that nobody is in any more, and that nobody uses |
//! | `log`, `archive` | the room's log; what is read back |
//! | `service` | the address of the service itself |
//! | `pages` | what is said, for everybody to read |
//! | `sending` | effects, carried out |
//! | `inspect` | what administrators are told |
//!
//! Stored: `storage::repository::room`, and logs under the addresses of rooms.
//! Bounds: rooms in memory, operations that wait, occupants, history, messages and their rate, each at its declaration.

mod archive;
mod asserting;
mod barrier;
mod handling;
mod home;
mod inspect;
mod keeping;
mod log;
pub mod options;
mod over;
mod pages;
pub mod room;
mod rooms;
mod sending;
mod service;
mod speaking;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use cluster::NodeId;
use storage::repository::{ListedRoom, LogRepository, Pages, RoomRepository};
use tokio::sync::oneshot;
use xmpp::{BareJid, Element, Stanza, StanzaError, ns};

pub use self::options::Options;
use self::{
    barrier::Barrier,
    home::{Answer, Asked, Facts, Op},
    over::Over,
    rooms::Rooms,
};
use crate::{
    metrics::RoomMetrics,
    module::{
        Administer, Administered, Assertion, Context, Module, Receipt, Registry, Service, Spec,
        Status, Target,
    },
    modules::answering::{self, Requests},
};

const SPECS: [Spec; 8] = [
    Spec::new(45, "1.35.5", Status::Complete),
    Spec::new(249, "1.2", Status::Complete),
    Spec::new(317, "0.3.1", Status::Complete),
    Spec::new(410, "1.1.0", Status::Complete),
    Spec::new(421, "1.0.1", Status::Complete),
    Spec::new(425, "0.3.0", Status::Complete),
    Spec::new(433, "0.1.0", Status::Partial("in the order of addresses")),
    Spec::new(486, "0.1.0", Status::Complete),
];

/// The module.
pub struct Muc {
    options: Options,
    repository: Arc<dyn RoomRepository>,
    logs: Arc<dyn LogRepository>,
    archives: Arc<dyn LogRepository>,
    pages: Pages,
    rooms: Rooms,
    barrier: Barrier,
    over: Over,
    /// What clients ask of a service itself, by their addresses.
    requests: Requests,
    metrics: RoomMetrics,
}

impl Muc {
    /// Services over these repositories.
    pub fn new(
        options: Options,
        repository: Arc<dyn RoomRepository>,
        logs: Arc<dyn LogRepository>,
        archives: Arc<dyn LogRepository>,
        pages: Pages,
        metrics: RoomMetrics,
    ) -> Self {
        Self {
            options,
            repository,
            logs,
            archives,
            pages,
            rooms: Rooms::default(),
            barrier: Barrier::default(),
            over: Over::default(),
            requests: Requests::default(),
            metrics,
        }
    }

    /// The services.
    pub fn services(&self) -> &[String] {
        &self.options.services
    }

    /// The rooms of a service behind a localpart, listed or not.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn list(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedRoom>, StanzaError> {
        Ok(service::all(&*self.repository, service, after, limit).await?)
    }

    /// The end of a room that is served here; whether there was one.
    ///
    /// # Errors
    /// The store did not answer.
    async fn destroy_room(
        self: &Arc<Self>,
        room: &BareJid,
        reason: Option<String>,
        cx: &Context,
    ) -> Result<bool, StanzaError> {
        self.ask(room, |answer| Asked::Destroy(reason, answer), cx)
            .await
    }

    /// What is known of a room that is served here, by name and value; `None`: there is none.
    ///
    /// # Errors
    /// The store did not answer.
    async fn inspect_room(
        self: &Arc<Self>,
        room: &BareJid,
        cx: &Context,
    ) -> Result<Option<Facts>, StanzaError> {
        self.ask(room, Asked::Inspect, cx).await
    }

    async fn ask<T>(
        self: &Arc<Self>,
        room: &BareJid,
        asked: impl FnOnce(Answer<T>) -> Asked,
        cx: &Context,
    ) -> Result<T, StanzaError> {
        let busy = || crate::home::wait("too many rooms are in use");
        let home = self.rooms.get(room, self.options.loaded, cx.now_ms());
        let (sender, answer) = oneshot::channel();
        let home = home.ok_or_else(busy)?;
        // It is never refused.
        let _ = home.push(self, Op::Asked(asked(sender)), cx);
        answer.await.unwrap_or_else(|_| Err(busy()))
    }

    fn take_in(self: &Arc<Self>, stanza: Stanza, receipt: Receipt, cx: &Context) {
        let Some(to) = stanza.to().cloned() else {
            return receipt.done();
        };
        let room = to.to_bare();
        if room.local().is_none() {
            answering::receive(self, &self.requests, &stanza, cx);
            return receipt.done();
        }
        let busy = "too many rooms are in use";
        let Some(home) = self.rooms.get(&room, self.options.loaded, cx.now_ms()) else {
            return self.refuse(&stanza, receipt, &crate::home::wait(busy), cx);
        };
        if let Err(back) = home.push(self, Op::Stanza(stanza, receipt), cx)
            && let Op::Stanza(stanza, receipt) = *back
        {
            let error = crate::home::wait("too much waits for the room");
            self.refuse(&stanza, receipt, &error, cx);
        }
        self.metrics.loaded(self.rooms.len());
    }
}

/// What a registry holds: the module as a service.
struct AsService(Arc<Muc>);

#[async_trait]
impl Service for AsService {
    fn receive(&self, stanza: &Stanza, cx: &Context) {
        answering::receive(&self.0, &self.0.requests, stanza, cx);
    }

    fn take(&self, stanza: Stanza, receipt: Receipt, cx: &Context) {
        self.0.take_in(stanza, receipt, cx);
    }

    fn is_busy_before(&self, stanza: &Stanza) -> bool {
        let room = stanza.to().and_then(|to| self.0.rooms.find(to.bare_str()));
        room.is_some_and(|room| room.is_busy())
    }

    fn expect(&self, epoch: u64, nodes: &[NodeId]) {
        self.0.barrier.expect(epoch, nodes);
    }

    fn view_changed(&self, cx: &Context) {
        self.0.let_go(cx);
        self.0.over.view_changed(cx.now_ms());
    }

    fn tidy(&self, cx: &Context) {
        self.0.end_those_over(cx);
    }

    fn assert(&self, assertions: Vec<Assertion>, cx: &Context) {
        self.0.take_assertions(assertions, cx);
    }

    fn all_asserted(&self, epoch: u64, by: NodeId) {
        self.0.barrier.told(epoch, by);
    }

    async fn administer(
        &self,
        room: &BareJid,
        what: Administer,
        cx: &Context,
    ) -> Result<Administered, StanzaError> {
        Ok(match what {
            Administer::Inspect => {
                let facts = self.0.inspect_room(room, cx).await?;
                facts.map_or(Administered::Absent, Administered::Known)
            }
            Administer::Destroy { reason } => match self.0.destroy_room(room, reason, cx).await? {
                true => Administered::Destroyed,
                false => Administered::Absent,
            },
        })
    }
}

impl Module for Muc {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        for domain in &self.options.services {
            let item = Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", domain.as_str())
                .with_attr("name", "Rooms");
            registry.disco_item(Target::Server, item);
            registry.service(domain.clone(), Arc::new(AsService(self.clone())));
        }
        for spec in SPECS {
            registry.spec(spec);
        }
    }
}
