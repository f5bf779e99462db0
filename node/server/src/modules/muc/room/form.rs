//! The configuration as a form (XEP-0045 §10.2, fields of §15.5.3), and back.
//!
//! A field that is not sent leaves what it is about as it is.

use storage::repository::{RoomConfig, RoomRoles, WhoMay};
use xmpp::{
    StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::role::Role;

/// What is asked for with `maxusers`.
const SIZES: [u32; 8] = [10, 20, 50, 100, 500, 1_000, 5_000, 10_000];
/// Longest text of a field, in bytes.
const MAX_TEXT: usize = 4 << 10;
/// Messages that a room may want to show.
const MAX_HISTORY: u32 = 1_000;

const ROLES: [(Role, &str); 3] = [
    (Role::Moderator, "Moderators"),
    (Role::Participant, "Participants"),
    (Role::Visitor, "Visitors"),
];

const PRIVATE: [(WhoMay, &str, &str); 4] = [
    (WhoMay::Anyone, "anyone", "Everybody"),
    (WhoMay::Participants, "participants", "Those with voice"),
    (WhoMay::Moderators, "moderators", "Moderators"),
    (WhoMay::Nobody, "none", "Nobody"),
];

/// The form, filled in.
pub(super) fn form(config: &RoomConfig) -> Form {
    let text = |var: &str, label: &str, value: &str| {
        Field::new(FieldType::TextSingle, format!("muc#roomconfig_{var}"))
            .with_label(label)
            .with_value(value)
    };
    let yes = |var: &str, label: &str, value: bool| {
        Field::new(FieldType::Boolean, format!("muc#roomconfig_{var}"))
            .with_label(label)
            .with_bool(value)
    };
    let secret = Field::new(FieldType::TextPrivate, "muc#roomconfig_roomsecret")
        .with_label("Password")
        .with_value(config.password.clone().unwrap_or_default());
    let fields = [
        text("roomname", "Name", &config.name),
        text("roomdesc", "Description", &config.description),
        text("lang", "Language", &config.lang),
        yes(
            "persistentroom",
            "Stays when nobody is in it",
            config.persistent,
        ),
        yes("publicroom", "Listed", config.public),
        yes("membersonly", "Members only", config.members_only),
        yes(
            "moderatedroom",
            "Only who is given voice may speak",
            config.moderated,
        ),
        yes(
            "passwordprotectedroom",
            "Asks for a password",
            config.password.is_some(),
        ),
        secret,
        list("whois", "Who sees real addresses")
            .with_value(if config.non_anonymous {
                "anyone"
            } else {
                "moderators"
            })
            .with_option("Moderators", "moderators")
            .with_option("Everybody", "anyone"),
        yes(
            "changesubject",
            "Participants may change the subject",
            config.change_subject,
        ),
        yes(
            "allowinvites",
            "Occupants may invite others",
            config.allow_invites,
        ),
        allow_pm(config.allow_pm),
        max_users(config.max_users),
        roles(
            "presencebroadcast",
            "Whose presence is shown",
            config.broadcast,
        ),
        roles(
            "getmemberlist",
            "Who may see who is affiliated",
            config.member_list,
        ),
        yes("enablelogging", "What is said is published", config.logged),
        yes("enablearchiving", "What is said is kept", config.archived),
        text(
            "maxhistoryfetch",
            "Messages shown to who enters",
            &config.history.to_string(),
        ),
        yes(
            "allow_register",
            "Whoever likes may register",
            config.allow_register,
        ),
        yes(
            "allow_voice_requests",
            "Visitors may ask for voice",
            config.allow_voice_requests,
        ),
        yes(
            "allow_subscription",
            "Whoever may enter may subscribe",
            config.allow_subscription,
        ),
    ];
    let mut form =
        Form::of(FormType::Form, ns::MUC_ROOMCONFIG).with_title("Configuration of the room");
    form.fields.extend(fields);
    form
}

fn list(var: &str, label: &str) -> Field {
    Field::new(FieldType::ListSingle, format!("muc#roomconfig_{var}")).with_label(label)
}

fn allow_pm(now: WhoMay) -> Field {
    let value = PRIVATE.iter().find(|(who, ..)| *who == now);
    let field = list("allowpm", "Who may send private messages")
        .with_value(value.map_or("anyone", |(_, value, _)| *value));
    let options = PRIVATE.iter();
    options.fold(field, |field, (_, value, label)| {
        field.with_option(*label, *value)
    })
}

fn max_users(now: u32) -> Field {
    let written = |size: u32| {
        if size == 0 {
            String::new()
        } else {
            size.to_string()
        }
    };
    let mut sizes: Vec<u32> = SIZES.into_iter().chain((now > 0).then_some(now)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let field = list("maxusers", "Occupants at most").with_value(written(now));
    let field = sizes.into_iter().fold(field, |field, size| {
        field.with_option(size.to_string(), size.to_string())
    });
    field.with_option("As many as the service allows", "")
}

fn roles(var: &str, label: &str, now: RoomRoles) -> Field {
    let field = Field::new(FieldType::ListMulti, format!("muc#roomconfig_{var}")).with_label(label);
    let chosen = ROLES.iter().filter(|(role, _)| now.contains(role.as_set()));
    let field = field.with_values(chosen.map(|(role, _)| role.as_str()));
    ROLES.iter().fold(field, |field, (role, label)| {
        field.with_option(*label, role.as_str())
    })
}

/// The configuration that a filled in form makes of another.
///
/// # Errors
/// `not-acceptable` for a value that is none, and for a password that is asked for and empty.
pub(super) fn read(form: &Form, config: &RoomConfig) -> Result<RoomConfig, StanzaError> {
    let mut new = config.clone();
    let field = |var: &str| form.field(&format!("muc#roomconfig_{var}"));
    let text = |var: &str, target: &mut String| {
        let Some(field) = field(var) else {
            return Ok(());
        };
        let written = field.value().unwrap_or_default();
        if written.len() > MAX_TEXT {
            return Err(unacceptable("a text is too long"));
        }
        *target = written.to_owned();
        Ok(())
    };
    text("roomname", &mut new.name)?;
    text("roomdesc", &mut new.description)?;
    text("lang", &mut new.lang)?;
    let flags = [
        ("persistentroom", &mut new.persistent),
        ("publicroom", &mut new.public),
        ("membersonly", &mut new.members_only),
        ("moderatedroom", &mut new.moderated),
        ("changesubject", &mut new.change_subject),
        ("allowinvites", &mut new.allow_invites),
        ("enablelogging", &mut new.logged),
        ("enablearchiving", &mut new.archived),
        ("allow_register", &mut new.allow_register),
        ("allow_voice_requests", &mut new.allow_voice_requests),
        ("allow_subscription", &mut new.allow_subscription),
    ];
    for (var, target) in flags {
        if let Some(field) = field(var) {
            *target = field
                .bool()
                .ok_or_else(|| unacceptable("a field is neither true nor false"))?;
        }
    }
    if let Some(field) = field("whois") {
        new.non_anonymous = match field.value() {
            Some("anyone") => true,
            Some("moderators") => false,
            _ => {
                return Err(unacceptable(
                    "real addresses are seen by moderators or by anyone",
                ));
            }
        };
    }
    if let Some(field) = field("allowpm") {
        let known = PRIVATE
            .iter()
            .find(|(_, value, _)| field.value() == Some(value));
        let known =
            known.ok_or_else(|| unacceptable("nobody knows who may send private messages"))?;
        new.allow_pm = known.0;
    }
    if let Some(field) = field("maxusers") {
        new.max_users = count(field)?;
    }
    if let Some(field) = field("maxhistoryfetch") {
        new.history = count(field)?.min(MAX_HISTORY);
    }
    for (var, target) in [
        ("presencebroadcast", &mut new.broadcast),
        ("getmemberlist", &mut new.member_list),
    ] {
        if let Some(field) = field(var) {
            *target = roles_of(field)?;
        }
    }
    new.password = password(form, config)?;
    Ok(new)
}

fn password(form: &Form, config: &RoomConfig) -> Result<Option<String>, StanzaError> {
    let asked = form.field("muc#roomconfig_passwordprotectedroom");
    let secret = form.field("muc#roomconfig_roomsecret");
    let secret = secret.map(|field| field.value().unwrap_or_default().to_owned());
    let is_asked = match asked {
        Some(field) => field
            .bool()
            .ok_or_else(|| unacceptable("a field is neither true nor false"))?,
        None => secret
            .as_ref()
            .map_or(config.password.is_some(), |it| !it.is_empty()),
    };
    if !is_asked {
        return Ok(None);
    }
    match secret.or_else(|| config.password.clone()) {
        // §10.1.3
        None => Err(unacceptable("the password is empty")),
        Some(secret) if secret.is_empty() || secret.len() > MAX_TEXT => {
            Err(unacceptable("the password is empty or too long"))
        }
        secret => Ok(secret),
    }
}

fn count(field: &Field) -> Result<u32, StanzaError> {
    match field.value().map(str::trim) {
        None | Some("" | "none") => Ok(0),
        Some(written) => written
            .parse()
            .map_err(|_| unacceptable("a number is expected")),
    }
}

fn roles_of(field: &Field) -> Result<RoomRoles, StanzaError> {
    let written = field.values.iter().filter(|value| !value.is_empty());
    written.into_iter().try_fold(RoomRoles::NONE, |set, value| {
        let role = Role::parse(value).filter(|role| *role != Role::None);
        let role = role.ok_or_else(|| unacceptable("an unknown role"))?;
        Ok(set.with(role.as_set()))
    })
}

fn unacceptable(text: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable, text)
}

#[cfg(test)]
mod tests;
