//! Rooms: listed from the store; looked at and destroyed by the node that serves them.

use std::sync::Arc;

use xmpp::BareJid;

use super::{
    Administrator, MAX_PAGE, Response, Why,
    answers::{Page, RoomFacts, RoomLine},
    invalid, refused, waits,
};
use crate::{
    module::{Administer, Administered, Context},
    modules::muc::Muc,
};

impl Administrator {
    fn rooms(&self) -> Result<&Arc<Muc>, Response> {
        self.live()?;
        let none = || refused(Why::Absent, "no rooms are configured");
        self.rooms.as_ref().ok_or_else(none)
    }

    pub(super) async fn list_rooms(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Response, Response> {
        let rooms = self.rooms()?;
        if !rooms.services().iter().any(|it| it == service) {
            let reason = format!("{service} is no service for rooms");
            return Err(invalid("service", reason));
        }
        let limit = limit.clamp(1, MAX_PAGE);
        let found = rooms.list(service, after, limit + 1).await;
        let found = found.map_err(|error| waits(&error))?;
        let lines = found.into_iter().map(|room| RoomLine {
            room: room.room.to_string(),
            name: room.name,
            public: room.public,
            open: room.open,
        });
        let page = Page::of(lines.collect(), limit, |line: &RoomLine| {
            let end = line.room.find('@').unwrap_or(line.room.len());
            line.room[..end].to_owned()
        });
        Ok(Response::Rooms(page))
    }

    fn room_address(&self, text: &str) -> Result<BareJid, Response> {
        let services = self.rooms()?.services();
        let is_ours = |room: &BareJid| services.iter().any(|it| it == room.domain());
        let room = BareJid::parse(text).ok().filter(|it| it.local().is_some());
        let none = || invalid("room", format!("\"{text}\" is the address of no room here"));
        room.filter(is_ours).ok_or_else(none)
    }

    pub(super) async fn room(&self, room: &str) -> Result<Response, Response> {
        let room = self.room_address(room)?;
        let cx = self.live()?.context();
        match administer(&cx, &room, Administer::Inspect).await? {
            Administered::Known(facts) => Ok(Response::Room(RoomFacts {
                room: room.to_string(),
                facts: facts.into_iter().collect(),
            })),
            _ => Err(no_room(&room)),
        }
    }

    pub(super) async fn destroy_room(
        &self,
        room: &str,
        reason: Option<String>,
    ) -> Result<Response, Response> {
        let room = self.room_address(room)?;
        let cx = self.live()?.context();
        match administer(&cx, &room, Administer::Destroy { reason }).await? {
            Administered::Destroyed => Ok(Response::Done),
            _ => Err(no_room(&room)),
        }
    }
}

/// What the node that serves a room does to it.
async fn administer(
    cx: &Context,
    room: &BareJid,
    what: Administer,
) -> Result<Administered, Response> {
    cx.administer(room, what)
        .await
        .map_err(|error| waits(&error))
}

fn no_room(room: &BareJid) -> Response {
    refused(Why::Absent, format!("there is no room {room}"))
}
