//! Commands about rooms (XEP-0045): they are listed, looked at, destroyed.
//!
//! XEP-0133 has none: the nodes are ours. A room is looked at and destroyed by the node that serves it, whichever node the
//! administrator is connected to.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    BareJid, StanzaError,
    payload::form::{Field, FieldType, Form},
};

use super::{
    command::{Command, Outcome, Step, bad_payload},
    forms,
};
use crate::{
    module::{Administer, Administered, Context, IqRequest},
    modules::muc::Muc,
};

/// The commands.
pub fn commands(rooms: &Arc<Muc>) -> Vec<Box<dyn Command>> {
    [What::List, What::Inspect, What::Destroy]
        .map(|what| {
            Box::new(Rooms {
                what,
                rooms: rooms.clone(),
            }) as Box<dyn Command>
        })
        .into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    List,
    Inspect,
    Destroy,
}

struct Rooms {
    what: What,
    rooms: Arc<Muc>,
}

impl Rooms {
    fn form(&self) -> Form {
        let room = Field::new(FieldType::JidSingle, "roomjid")
            .with_label("The address of the room")
            .required();
        match self.what {
            What::List => forms::form(
                "Listing rooms",
                "Choose a service and how many rooms to show.",
            )
            .with_field(
                Field::new(FieldType::JidSingle, "service")
                    .with_label("The service")
                    .with_value(self.rooms.services().first().cloned().unwrap_or_default())
                    .required(),
            )
            .with_field(
                Field::new(FieldType::TextSingle, "after")
                    .with_label("Only rooms behind this name"),
            )
            .with_field(forms::max_items_field()),
            What::Inspect => forms::form("Inspecting a room", "Name a room.").with_field(room),
            What::Destroy => forms::form(
                "Destroying a room",
                "Name a room; its occupants are told why.",
            )
            .with_field(room)
            .with_field(Field::new(FieldType::TextSingle, "reason").with_label("Why")),
        }
    }

    async fn list(&self, form: &Form) -> Result<Step, StanzaError> {
        let service = forms::single(form, "service")?.map(str::trim);
        let services = self.rooms.services();
        let service = services.iter().find(|it| Some(it.as_str()) == service);
        let service = service.ok_or_else(|| bad_payload("service is one of those for rooms"))?;
        let after = forms::single(form, "after")?.filter(|it| !it.is_empty());
        let max = forms::single(form, "max_items")?.and_then(|it| it.parse().ok());
        let max = max.unwrap_or(forms::MAX_SHOWN).min(forms::MAX_SHOWN);
        let found = self.rooms.list(service, after, max).await?;
        let rooms = found.iter().map(|it| it.room.as_str());
        let field = Field::new(FieldType::JidMulti, "roomjids").with_label("Rooms");
        let result = forms::result().with_field(field.with_values(rooms));
        Ok(Step::result(result.to_element()))
    }

    async fn inspect(&self, room: &BareJid, cx: &Context) -> Result<Step, StanzaError> {
        let Administered::Known(lines) = cx.administer(room, Administer::Inspect).await? else {
            return Ok(none(room));
        };
        let mut result = forms::result();
        for (name, value) in lines {
            let field = Field::new(FieldType::TextSingle, name.replace(' ', "_"));
            result.fields.push(field.with_label(name).with_value(value));
        }
        Ok(Step::result(result.to_element()))
    }

    async fn destroy(
        &self,
        room: &BareJid,
        form: &Form,
        cx: &Context,
    ) -> Result<Step, StanzaError> {
        let reason = forms::single(form, "reason")?.map(str::to_owned);
        Ok(
            match cx.administer(room, Administer::Destroy { reason }).await? {
                Administered::Destroyed => Step::Done(Outcome::default()),
                _ => none(room),
            },
        )
    }
}

fn none(room: &BareJid) -> Step {
    let mut outcome = Outcome::default();
    outcome.fail(format!("there is no room {room}"));
    Step::Done(outcome)
}

#[async_trait]
impl Command for Rooms {
    fn node(&self) -> &'static str {
        match self.what {
            What::List => "urn:starling:rooms#list",
            What::Inspect => "urn:starling:rooms#inspect",
            What::Destroy => "urn:starling:rooms#destroy",
        }
    }

    fn name(&self) -> &'static str {
        match self.what {
            What::List => "List Rooms",
            What::Inspect => "Inspect Room",
            What::Destroy => "Destroy Room",
        }
    }

    fn changes(&self) -> bool {
        self.what == What::Destroy
    }

    async fn step(
        &self,
        forms: &[Form],
        _iq: &IqRequest,
        cx: &Context,
    ) -> Result<Step, StanzaError> {
        let Some(form) = forms::submitted(forms)? else {
            return Ok(Step::only(self.form()));
        };
        if self.what == What::List {
            return self.list(form).await;
        }
        let room = forms::single(form, "roomjid")?.and_then(|it| BareJid::parse(it.trim()).ok());
        let of_ours = |room: &BareJid| {
            let mut services = self.rooms.services().iter();
            room.local().is_some() && services.any(|it| it == room.domain())
        };
        let room = room.filter(of_ours);
        let room = room.ok_or_else(|| bad_payload("roomjid is the address of a room here"))?;
        match self.what {
            What::Destroy => self.destroy(&room, form, cx).await,
            _ => self.inspect(&room, cx).await,
        }
    }
}
