//! The fields of a node's configuration.
//!
//! Source: XEP-0060 §16.4.4.

use xmpp::payload::form::FieldType;

use super::config::{
    AccessModel, Config, Most, NotificationType, PublishModel, SendLast, WhenFull,
};

/// Longest value of a field that is text, and most values of one that has several.
const MAX_TEXT: usize = 1_024;
const MAX_VALUES: usize = 64;

/// A field: its name, how it is shown, its value, and what reads it back. One table, so that nothing is read that is not shown.
pub(super) struct Row {
    pub(super) var: &'static str,
    pub(super) kind: FieldType,
    pub(super) label: &'static str,
    pub(super) get: fn(&Config) -> Vec<String>,
    pub(super) set: fn(&mut Config, &[String]) -> Option<()>,
    pub(super) options: fn() -> Vec<(&'static str, &'static str)>,
}

const fn no_options() -> Vec<(&'static str, &'static str)> {
    Vec::new()
}

fn yes_or_no(values: &[String]) -> Option<bool> {
    match values.first()?.trim() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn text(values: &[String]) -> Option<String> {
    let text = values.first().cloned().unwrap_or_default();
    (text.len() <= MAX_TEXT).then_some(text)
}

fn texts(values: &[String]) -> Option<Vec<String>> {
    let fits = values.len() <= MAX_VALUES && values.iter().all(|it| it.len() <= MAX_TEXT);
    fits.then(|| values.to_vec())
}

macro_rules! boolean {
    ($var:literal, $field:ident, $label:literal) => {
        Row {
            var: $var,
            kind: FieldType::Boolean,
            label: $label,
            get: |config| vec![if config.$field { "1" } else { "0" }.to_owned()],
            set: |config, values| {
                config.$field = yes_or_no(values)?;
                Some(())
            },
            options: no_options,
        }
    };
}

macro_rules! line {
    ($var:literal, $field:ident, $label:literal) => {
        Row {
            var: $var,
            kind: FieldType::TextSingle,
            label: $label,
            get: |config| vec![config.$field.clone()],
            set: |config, values| {
                config.$field = text(values)?;
                Some(())
            },
            options: no_options,
        }
    };
}

macro_rules! number {
    ($var:literal, $field:ident, $label:literal) => {
        Row {
            var: $var,
            kind: FieldType::TextSingle,
            label: $label,
            get: |config| vec![config.$field.to_string()],
            set: |config, values| {
                config.$field = Most::parse(values.first()?)?;
                Some(())
            },
            options: no_options,
        }
    };
}

macro_rules! choice {
    ($var:literal, $field:ident, $type:ident, $label:literal) => {
        Row {
            var: $var,
            kind: FieldType::ListSingle,
            label: $label,
            get: |config| vec![config.$field.as_str().to_owned()],
            set: |config, values| {
                config.$field = $type::parse(values.first()?.trim())?;
                Some(())
            },
            options: || {
                let all = $type::ALL.iter();
                all.map(|it| (it.as_str(), it.label())).collect()
            },
        }
    };
}

macro_rules! list {
    ($var:literal, $field:ident, $kind:ident, $label:literal) => {
        Row {
            var: $var,
            kind: FieldType::$kind,
            label: $label,
            get: |config| config.$field.clone(),
            set: |config, values| {
                config.$field = texts(values)?;
                Some(())
            },
            options: no_options,
        }
    };
}

/// All of them, in the order in which they are shown.
pub(super) const ROWS: &[Row] = &[
    line!("pubsub#title", title, "A friendly name for the node"),
    line!(
        "pubsub#description",
        description,
        "A description of the node"
    ),
    line!(
        "pubsub#language",
        language,
        "The default language of the node"
    ),
    line!("pubsub#type", payload_type, "The namespace of payloads"),
    list!(
        "pubsub#contact",
        contact,
        JidMulti,
        "Whom to contact with questions"
    ),
    choice!(
        "pubsub#access_model",
        access,
        AccessModel,
        "Who may subscribe and retrieve items"
    ),
    list!(
        "pubsub#roster_groups_allowed",
        groups,
        TextMulti,
        "Roster groups that may subscribe and retrieve items"
    ),
    choice!(
        "pubsub#publish_model",
        publish,
        PublishModel,
        "Who may publish"
    ),
    boolean!("pubsub#persist_items", persist, "Whether to keep items"),
    number!(
        "pubsub#max_items",
        max_items,
        "How many items to keep; max: as many as the service permits"
    ),
    number!(
        "pubsub#item_expire",
        item_expire,
        "For how many seconds to keep items; max: for as long as the service permits"
    ),
    choice!(
        "pubsub#publish_node_full",
        when_full,
        WhenFull,
        "What to do when the node is full"
    ),
    number!(
        "pubsub#max_payload_size",
        max_payload,
        "Longest payload in bytes; max: as long as the service permits"
    ),
    boolean!(
        "pubsub#deliver_notifications",
        deliver,
        "Whether to notify subscribers of items"
    ),
    boolean!(
        "pubsub#deliver_payloads",
        deliver_payloads,
        "Whether notifications carry payloads"
    ),
    boolean!(
        "pubsub#notify_config",
        notify_config,
        "Whether to notify subscribers of a new configuration"
    ),
    boolean!(
        "pubsub#notify_delete",
        notify_delete,
        "Whether to notify subscribers when the node is deleted"
    ),
    boolean!(
        "pubsub#notify_retract",
        notify_retract,
        "Whether to notify subscribers when items are removed"
    ),
    boolean!(
        "pubsub#notify_sub",
        notify_sub,
        "Whether to notify owners of subscriptions"
    ),
    choice!(
        "pubsub#notification_type",
        notification_type,
        NotificationType,
        "The type of notifications"
    ),
    choice!(
        "pubsub#send_last_published_item",
        send_last,
        SendLast,
        "When to send the last published item"
    ),
    boolean!(
        "pubsub#subscribe",
        subscribe,
        "Whether to allow subscriptions"
    ),
];
