//! Plans: an operation as a condition and an update that DynamoDB understands, and what a refusal of it means. Pure.
//!
//! A version must begin at 1 after a record expired, and no update expression can say that. So a put is either an
//! update, which holds only if nothing expired is in the way, or a creation, which holds only if nothing else is; a put
//! under `Any` tries the first and turns to the other when the item that stood in the way says so.
//!
//! A put repeats its condition and asks that the record is not its own work: when an answer was lost, the repeat is
//! refused and finds its own write id, in `w` or, after one more writer, in `o`. When more writers came in between,
//! nobody can tell any more, and the answer is `Unavailable`: it may have been done. (One thing is taken for granted:
//! that within the seconds of a retry no record is removed, made anew and brought to the same version.)

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use bytes::Bytes;
use storage::shape::{Condition, Operation, Record};

use super::item::{self, Item, Stored};
use crate::{failure::Failure, write_id::WriteId};

const ABSENT: &str = "attribute_not_exists(p) OR x <= :now";
const LIVE: &str = "(attribute_not_exists(x) OR x > :now)";
const EXISTS: &str = "attribute_exists(p) AND (attribute_not_exists(x) OR x > :now)";
const VERSION: &str = "v = :version AND (attribute_not_exists(x) OR x > :now)";
const NOT_MINE: &str = " AND NOT (w = :write) AND NOT (o = :write)";
const CHANGE: &str = "SET d = :value, v = if_not_exists(v, :zero) + :one, w = :write, \
                      o = if_not_exists(w, :none)";

/// How an operation is put to DynamoDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A put where nothing is, or what is has expired.
    Create,
    /// A put over what is, or where nothing is.
    Change,
    /// A delete.
    Remove,
    /// A check.
    Check,
}

/// An operation and its form.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Its index in the batch.
    pub(super) index: usize,
    pub(super) operation: Operation,
    pub(super) form: Form,
}

/// What a refused condition means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was an earlier attempt of the same write that is in the way.
    Done,
    /// It is to be tried in this form.
    Try(Form),
    /// The condition does not hold: this is there.
    Conflict(Option<Record>),
    /// An earlier attempt may have been done.
    Unknown,
}

impl Plan {
    /// The plan of an operation; `None` if there is nothing to do.
    pub(super) fn of(index: usize, operation: Operation) -> Option<Self> {
        let form = match (&operation, operation.condition()) {
            (Operation::Put { .. }, Condition::Absent) => Form::Create,
            (Operation::Put { .. }, _) => Form::Change,
            (Operation::Delete { .. }, _) => Form::Remove,
            (Operation::Check { .. }, Condition::Any) => return None,
            (Operation::Check { .. }, _) => Form::Check,
        };
        Some(Self {
            index,
            operation,
            form,
        })
    }

    /// The condition, if there is one.
    pub(super) fn condition(&self) -> Option<String> {
        let condition = self.operation.condition();
        Some(match (self.form, condition) {
            (Form::Create, _) => ABSENT.to_owned(),
            (Form::Change, Condition::Exists) => format!("{EXISTS}{NOT_MINE}"),
            (Form::Change, Condition::Version(_)) => VERSION.to_owned(),
            (Form::Change, _) => format!("{LIVE}{NOT_MINE}"),
            (_, Condition::Any) => return None,
            (_, Condition::Absent) => ABSENT.to_owned(),
            (_, Condition::Exists) => EXISTS.to_owned(),
            (_, Condition::Version(_)) => VERSION.to_owned(),
        })
    }

    /// The update expression of a change.
    pub(super) fn update(&self) -> String {
        match &self.operation {
            Operation::Put {
                expires: Some(_), ..
            } => format!("{CHANGE}, x = :expires"),
            _ => format!("{CHANGE} REMOVE x"),
        }
    }

    /// The values that condition and update name.
    pub(super) fn values(&self, id: &WriteId, now: u64) -> Option<HashMap<String, AttributeValue>> {
        let condition = self.operation.condition();
        let mut values = HashMap::new();
        let mut set = |name: &str, value| values.insert(name.to_owned(), value);
        if self.form != Form::Remove || condition != Condition::Any {
            set(":now", item::number(now));
        }
        if self.form != Form::Create
            && let Condition::Version(version) = condition
        {
            set(":version", item::number(version));
        }
        if let (Form::Change, Operation::Put { value, expires, .. }) = (self.form, &self.operation)
        {
            set(":value", item::binary(value));
            set(":zero", item::number(0));
            set(":one", item::number(1));
            set(":write", item::binary(id.bytes()));
            set(":none", item::binary(&Bytes::new()));
            if let Some(expires) = expires {
                set(":expires", item::number(*expires));
            }
        }
        (!values.is_empty()).then_some(values)
    }

    /// The primary key.
    pub(super) fn key(&self) -> Item {
        let key = self.operation.key();
        item::primary_key(&key.partition, &key.sort)
    }

    /// The item of a creation.
    pub(super) fn item(&self, id: &WriteId) -> Option<Item> {
        match &self.operation {
            Operation::Put {
                key,
                value,
                expires,
                ..
            } => Some(item::first(key, value, *expires, id)),
            _ => None,
        }
    }

    /// The plan as a part of a transaction.
    pub(super) fn part(
        &self,
        table: &str,
        id: &WriteId,
        now: u64,
    ) -> Result<TransactWriteItem, Failure> {
        let (values, condition) = (self.values(id, now), self.condition());
        let old = ReturnValuesOnConditionCheckFailure::AllOld;
        let item = TransactWriteItem::builder();
        let built = match self.form {
            Form::Create => Put::builder()
                .table_name(table)
                .set_item(self.item(id))
                .set_condition_expression(condition)
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(old)
                .build()
                .map(|put| item.put(put)),
            Form::Change => Update::builder()
                .table_name(table)
                .set_key(Some(self.key()))
                .update_expression(self.update())
                .set_condition_expression(condition)
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(old)
                .build()
                .map(|update| item.update(update)),
            Form::Remove => Delete::builder()
                .table_name(table)
                .set_key(Some(self.key()))
                .set_condition_expression(condition)
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(old)
                .build()
                .map(|delete| item.delete(delete)),
            Form::Check => ConditionCheck::builder()
                .table_name(table)
                .set_key(Some(self.key()))
                .set_condition_expression(condition)
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(old)
                .build()
                .map(|check| item.condition_check(check)),
        };
        built
            .map(|item| item.build())
            .map_err(|error| Failure::unexpected(table, error.to_string()))
    }

    /// What it means that the condition did not hold and `found` stood there. `doubt`: an earlier attempt of the same
    /// write may have been done.
    pub(super) fn judge(
        &self,
        found: Option<Stored>,
        id: &WriteId,
        now: u64,
        doubt: bool,
    ) -> Verdict {
        if found.as_ref().is_some_and(|stored| stored.is_by(id)) {
            return Verdict::Done;
        }
        let is_put = matches!(self.operation, Operation::Put { .. });
        let condition = self.operation.condition();
        if is_put && condition == Condition::Any {
            let expired = found.is_some_and(|stored| !stored.is_live(now));
            return Verdict::Try(if expired { Form::Create } else { Form::Change });
        }
        let found = found.and_then(|stored| stored.live(now));
        let known = match (&found, condition) {
            _ if !doubt => true,
            // `w` and `o` name the writers of the two versions after the one that was to be replaced.
            (Some(record), Condition::Version(version)) => {
                (version + 1..=version + 2).contains(&record.version)
            }
            (Some(record), Condition::Absent) => record.version <= 2,
            _ => false,
        };
        if known {
            Verdict::Conflict(found)
        } else {
            Verdict::Unknown
        }
    }
}

#[cfg(test)]
mod tests;
