//! The form of a node's configuration: shown, filled in, kept, and named as a condition of publishing.
//!
//! Source: XEP-0060 §7.1.5 (publishing options), §8.2, §16.4.3, §16.4.4.

use storage::repository::PubsubField;
use xmpp::{
    StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{FORM_TYPE, Field, Form, FormType},
};

use super::{
    config::{AccessModel, Config},
    config_rows::{ROWS, Row},
    error::error,
};

/// Fields that say what cannot be chosen here, with what can be said of it.
const FIXED: &[(&str, &[&str])] = &[
    ("pubsub#node_type", &["leaf"]),
    ("pubsub#presence_based_delivery", &["0", "false"]),
    ("pubsub#purge_offline", &["0", "false"]),
    ("pubsub#tempsub", &["0", "false"]),
];

impl Config {
    /// The form to be filled in.
    pub fn form(&self) -> Form {
        let field = |row: &Row| {
            let field = Field::new(row.kind, row.var)
                .with_label(row.label)
                .with_values((row.get)(self));
            let options = (row.options)().into_iter();
            options.fold(field, |field, (value, label)| {
                field.with_option(label, value)
            })
        };
        let mut form = Form::of(FormType::Form, ns::PUBSUB_NODE_CONFIG);
        form.fields.extend(ROWS.iter().map(field));
        form
    }

    /// What a node says of itself (XEP-0060 §5.4), without what only its state tells.
    pub fn meta_data(&self) -> Form {
        const TOLD: [&str; 8] = [
            "pubsub#title",
            "pubsub#description",
            "pubsub#language",
            "pubsub#type",
            "pubsub#contact",
            "pubsub#access_model",
            "pubsub#publish_model",
            "pubsub#max_items",
        ];
        let mut form = Form::of(FormType::Result, ns::PUBSUB_META_DATA);
        for row in ROWS.iter().filter(|row| TOLD.contains(&row.var)) {
            let values = (row.get)(self);
            if values.iter().any(|value| !value.is_empty()) {
                form.fields
                    .push(Field::new(row.kind, row.var).with_values(values));
            }
        }
        form
    }

    /// The configuration as it is told to subscribers (§8.2.5.3).
    pub fn told(&self) -> Form {
        let mut form = Form::of(FormType::Result, ns::PUBSUB_NODE_CONFIG);
        let field = |row: &Row| Field::new(row.kind, row.var).with_values((row.get)(self));
        form.fields.extend(ROWS.iter().map(field));
        form
    }

    /// Those fields that differ from the defaults.
    pub fn kept(&self, defaults: &Self) -> Vec<PubsubField> {
        let rows = ROWS
            .iter()
            .filter(|row| (row.get)(self) != (row.get)(defaults));
        rows.map(|row| (row.var.to_owned(), (row.get)(self)))
            .collect()
    }

    /// From fields that were kept. What is not understood any more is left as it is by default.
    pub fn of_kept(fields: &[PubsubField], defaults: &Self) -> Self {
        let mut config = defaults.clone();
        for (var, values) in fields {
            if let Some(row) = ROWS.iter().find(|row| row.var == var) {
                let _ = (row.set)(&mut config, values);
            }
        }
        config
    }

    /// With what a form says; what it does not name stays.
    ///
    /// # Errors
    /// `not-acceptable`: a value that is none (§8.2.5.2); with `unsupported-access-model` (§8.1.2) where that is why.
    pub fn filled_in(&self, form: &Form, models: &[AccessModel]) -> Result<Self, StanzaError> {
        let mut config = self.clone();
        for field in &form.fields {
            let Some(var) = field.var.as_deref() else {
                continue;
            };
            let Some(row) = ROWS.iter().find(|row| row.var == var) else {
                refuse_other(var, &field.values)?;
                continue;
            };
            if (row.set)(&mut config, &field.values).is_none() {
                return Err(refused(var));
            }
        }
        if !models.contains(&config.access) {
            return Err(refused("pubsub#access_model"));
        }
        Ok(config)
    }

    /// Whether this is what the options of a publication ask for (§7.1.5).
    ///
    /// # Errors
    /// `conflict` with `precondition-not-met`: a field that is not known, or another value.
    pub fn meets(&self, options: &Form) -> Result<(), StanzaError> {
        for field in &options.fields {
            let Some(var) = field.var.as_deref().filter(|var| *var != FORM_TYPE) else {
                continue;
            };
            let row = ROWS.iter().find(|row| row.var == var);
            let fixed = FIXED.iter().find(|(known, _)| *known == var);
            let is_met = match (row, fixed) {
                (Some(row), _) => {
                    let mut wanted = self.clone();
                    let is_value = (row.set)(&mut wanted, &field.values).is_some();
                    is_value && (row.get)(&wanted) == (row.get)(self)
                }
                (None, Some((_, known))) => field.value().is_some_and(|it| known.contains(&it)),
                (None, None) => false,
            };
            if !is_met {
                return Err(unmet());
            }
        }
        Ok(())
    }

    /// The configuration of a node that is made by being published to with these options.
    ///
    /// # Errors
    /// As [`Config::meets`], and `not-acceptable` for a value that is none.
    pub fn with_options(
        &self,
        options: &Form,
        models: &[AccessModel],
    ) -> Result<Self, StanzaError> {
        let known = |var: &str| {
            var == FORM_TYPE
                || ROWS.iter().any(|row| row.var == var)
                || FIXED.iter().any(|(fixed, _)| *fixed == var)
        };
        let mut vars = options
            .fields
            .iter()
            .filter_map(|field| field.var.as_deref());
        if !vars.all(known) {
            return Err(unmet());
        }
        self.filled_in(options, models)
    }
}

fn unmet() -> StanzaError {
    error(Condition::Conflict, "precondition-not-met")
}

fn refused(var: &str) -> StanzaError {
    match var {
        "pubsub#access_model" => error(Condition::NotAcceptable, "unsupported-access-model"),
        _ => StanzaError::new(
            Condition::NotAcceptable,
            format!("a value of {var} that cannot be"),
        ),
    }
}

/// A field that is in no row.
fn refuse_other(var: &str, values: &[String]) -> Result<(), StanzaError> {
    let fixed = FIXED.iter().find(|(known, _)| *known == var);
    match fixed {
        Some((_, known)) if values.iter().any(|it| !known.contains(&it.as_str())) => {
            Err(refused(var))
        }
        // XEP-0004 §3.2: what is not understood is ignored.
        Some(_) | None => Ok(()),
    }
}
