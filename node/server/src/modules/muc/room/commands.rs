//! Ad-hoc commands to a room (XEP-0050): those of hats (XEP-0317 §3.2 to §3.7).
//!
//! A command has one form, so nothing has to be remembered between asking and answering. Admins and owners make and destroy
//! hats; moderators give and take them as well; whoever may enter sees which there are.

use storage::repository::{Affiliation, RoomHat};
use xmpp::{
    Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::{
    Room,
    effects::{Change, Step},
    hats::Wanted,
    role::Role,
    standing::is_set,
};
use crate::modules::admin::command::{self, Action, Outcome, Request, bad_payload, error};

const FORM: &str = "urn:xmpp:hats:commands";
const TITLE: &str = "hats#title";
const URI: &str = "hats#uri";
const HUE: &str = "hats#hue";
const ADDRESS: &str = "hats#jid";
/// Lines of a list at most.
const MAX_LINES: usize = 1_000;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Create,
    Destroy,
    List,
    Assign,
    Unassign,
    Assigned,
}

impl Command {
    const ALL: [Self; 6] = [
        Self::Create,
        Self::Destroy,
        Self::List,
        Self::Assign,
        Self::Unassign,
        Self::Assigned,
    ];

    fn node(self) -> &'static str {
        match self {
            Self::Create => "urn:xmpp:hats:commands:create",
            Self::Destroy => "urn:xmpp:hats:commands:destroy",
            Self::List => "urn:xmpp:hats:commands:list",
            Self::Assign => "urn:xmpp:hats:commands:assign",
            Self::Unassign => "urn:xmpp:hats:commands:unassign",
            Self::Assigned => "urn:xmpp:hats:commands:list-assigned",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Create => "Create a Hat",
            Self::Destroy => "Destroy a Hat",
            Self::List => "List Hats",
            Self::Assign => "Assign a Hat",
            Self::Unassign => "Remove a Hat",
            Self::Assigned => "List Assigned Hats",
        }
    }

    fn parse(node: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.node() == node)
    }
}

impl Room {
    /// The commands that somebody may use, as items (XEP-0050 §2.2).
    pub(super) fn command_items(&self, from: &Jid) -> Element {
        let allowed = Command::ALL.into_iter().filter(|it| self.may(from, *it));
        let item = |command: Command| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", self.address.as_str())
                .with_attr("node", command.node())
                .with_attr("name", command.name())
        };
        Element::new("query", ns::DISCO_ITEMS)
            .with_attr("node", ns::COMMANDS)
            .with_children(allowed.map(item))
    }

    /// What a command is (XEP-0050 §2.3).
    pub(super) fn command_info(&self, from: &Jid, node: &str) -> Option<Element> {
        let command = Command::parse(node).filter(|it| self.may(from, *it))?;
        let identity = Element::new("identity", ns::DISCO_INFO)
            .with_attr("category", "automation")
            .with_attr("type", "command-node")
            .with_attr("name", command.name());
        let feature =
            |var: &'static str| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
        let element = Element::new("query", ns::DISCO_INFO)
            .with_attr("node", node)
            .with_child(identity);
        Some(element.with_children([ns::COMMANDS, ns::DATA_FORMS].map(feature)))
    }

    fn may(&self, from: &Jid, command: Command) -> bool {
        let affiliation = self.affiliation(from);
        match command {
            Command::Create | Command::Destroy => affiliation >= Affiliation::Admin,
            Command::Assign | Command::Unassign | Command::Assigned => {
                affiliation >= Affiliation::Admin || self.role(from) == Role::Moderator
            }
            Command::List => self.may_read(from),
        }
    }

    /// A request to run one.
    pub(super) fn run_command(
        &self,
        stanza: &Stanza,
        from: &Jid,
        payload: &Element,
        now_ms: u64,
    ) -> Result<Step, StanzaError> {
        if !is_set(stanza) {
            return Err(Condition::BadRequest.into());
        }
        let request = Request::parse(payload)?;
        let command = Command::parse(&request.node).ok_or(Condition::ItemNotFound)?;
        if !self.may(from, command) {
            return Err(Condition::Forbidden.into());
        }
        let session = request.session.clone();
        let session = session.unwrap_or_else(|| format!("{now_ms:x}"));
        let node = command.node();
        match (request.action, &request.form) {
            (Action::Cancel, _) => {
                let canceled = command::canceled_element(node, &session);
                return Ok(Step::result(stanza, Some(canceled)));
            }
            (Action::Prev, _) => return Err(error(Condition::BadRequest, "bad-action")),
            _ => {}
        }
        let answer = |step| {
            let element = command::step_element(node, &session, step, true);
            stanza.result_reply(Some(element))
        };
        let shows = |form: Form| {
            let step = command::Step::only(form);
            Ok(Step::Done(super::Effects::reply(answer(step))))
        };
        let result = |form: Form| {
            let step = command::Step::result(form.to_element());
            Ok(Step::Done(super::Effects::reply(answer(step))))
        };
        let form = request.form.filter(|it| it.form_type == FormType::Submit);
        let lang = stanza.root().attr("xml:lang").map(|it| it.into_owned());
        let change = match (command, form) {
            (Command::List, _) => return result(self.list_of_hats()),
            (Command::Assigned, _) => return result(self.list_of_assigned()),
            (Command::Create, None) => return shows(form_to_create()),
            (Command::Destroy, None) => {
                return shows(form_of("Destroying a hat").with_field(self.hat_field()));
            }
            (Command::Assign, None) => return shows(self.form_to_assign("Assigning a hat")),
            (Command::Unassign, None) => return shows(self.form_to_assign("Removing a hat")),
            (Command::Create, Some(form)) => {
                let [uri, title, hue] = [URI, TITLE, HUE].map(|var| form.value(var));
                let wanted = Wanted::parse(uri, title, hue, lang).map_err(bad_payload)?;
                self.with_hat(wanted)?
            }
            (Command::Destroy, Some(form)) => self.without_hat(uri_of(&form)?)?,
            (Command::Assign | Command::Unassign, Some(form)) => {
                let address = form
                    .value(ADDRESS)
                    .and_then(|it| Jid::parse(it.trim()).ok());
                let address = address.filter(|it| it.local().is_some());
                let address = address.ok_or_else(|| bad_payload("hats#jid is an address"))?;
                let worn = command == Command::Assign;
                self.with_worn(&address.to_bare(), uri_of(&form)?, worn)?
            }
        };
        Ok(Step::Keep(Box::new(Change {
            reply: Some(answer(command::Step::Done(Outcome::default()))),
            ..change
        })))
    }

    fn hat_field(&self) -> Field {
        let field = Field::new(FieldType::ListSingle, URI)
            .with_label("The hat")
            .required();
        let hats = self.record.hats.iter();
        hats.fold(field, |field, hat| {
            field.with_option(hat.title.clone(), hat.uri.clone())
        })
    }

    fn form_to_assign(&self, title: &str) -> Form {
        let address = Field::new(FieldType::JidSingle, ADDRESS)
            .with_label("Address")
            .required();
        form_of(title)
            .with_field(address)
            .with_field(self.hat_field())
    }

    fn list_of_hats(&self) -> Form {
        let mut form = Form::of(FormType::Result, FORM).with_title("Hats");
        form.reported = [TITLE, URI, HUE].map(column).into();
        form.items = self.record.hats.iter().map(columns).collect();
        form
    }

    fn list_of_assigned(&self) -> Form {
        let mut form = Form::of(FormType::Result, FORM).with_title("Assigned hats");
        form.reported = [ADDRESS, TITLE, URI, HUE].map(column).into();
        let worn = self.members.keys().flat_map(|account| {
            self.hats_of(account).map(move |hat| {
                let mut line = columns(hat);
                line.insert(0, Field::untyped(ADDRESS, account.as_str()));
                line
            })
        });
        form.items = worn.take(MAX_LINES).collect();
        form
    }
}

fn uri_of(form: &Form) -> Result<&str, StanzaError> {
    let uri = form.value(URI).map(str::trim).filter(|it| !it.is_empty());
    uri.ok_or_else(|| bad_payload("hats#uri names a hat"))
}

fn form_of(title: &str) -> Form {
    Form::of(FormType::Form, FORM).with_title(title)
}

fn form_to_create() -> Form {
    let field = |var, label| Field::new(FieldType::TextSingle, var).with_label(label);
    form_of("Creating a hat")
        .with_instructions("A hat with the URI of another replaces that.")
        .with_field(field(TITLE, "What it is called").required())
        .with_field(field(URI, "Its URI").required())
        .with_field(field(HUE, "Its colour, as an angle from 0 to 360"))
}

fn column(var: &str) -> Field {
    Field::new(FieldType::TextSingle, var)
}

fn columns(hat: &RoomHat) -> Vec<Field> {
    let hue = hat.hue.clone().unwrap_or_default();
    vec![
        Field::untyped(TITLE, hat.title.clone()),
        Field::untyped(URI, hat.uri.clone()),
        Field::untyped(HUE, hue),
    ]
}
