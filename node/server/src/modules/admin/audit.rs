//! What administrators do by commands is in the audit log, as what is done over the API is: before it is done, and how it ended.

use storage::repository::{AuditEntry, AuditOutcome, Operators};
use xmpp::{
    Jid, StanzaError,
    payload::form::{Field, Form},
};

use super::command::{Command, Step};

/// Longest target in the log, in bytes.
const MAX_TARGET: usize = 1_024;
/// The fields that say to what something is done.
const TARGETS: [&str; 3] = ["accountjid", "accountjids", "roomjid"];

/// A change that is under way.
pub(super) struct Begun {
    number: u64,
    entry: AuditEntry,
}

/// Writes down what is about to be done.
///
/// # Errors
/// `wait`: the log does not take it, and nothing is done.
pub(super) async fn begin(
    operators: &Operators,
    by: &Jid,
    command: &dyn Command,
    forms: &[Form],
    now_ms: u64,
) -> Result<Begun, StanzaError> {
    let entry = AuditEntry {
        number: 0,
        at_ms: now_ms,
        who: format!("account {by}"),
        peer: None,
        node: None,
        operation: command.node().to_owned(),
        target: target(forms),
        outcome: None,
    };
    match operators.append_audit(&entry).await {
        Ok(number) => Ok(Begun { number, entry }),
        Err(error) => {
            tracing::warn!(%error, operation = entry.operation, "not done: the audit log takes no entry");
            Err(crate::home::wait(
                "nothing was done: the audit log takes no entry now",
            ))
        }
    }
}

/// Writes down how it ended.
pub(super) async fn end(operators: &Operators, begun: Begun, ended: &Result<Step, StanzaError>) {
    let why = match ended {
        Err(error) => Some(error.condition.as_str()),
        Ok(Step::Done(outcome)) if !outcome.is_complete() => Some("incomplete"),
        Ok(_) => None,
    };
    let Begun { number, entry } = begun;
    tracing::info!(
        audit.number = number,
        audit.who = entry.who,
        audit.operation = entry.operation,
        audit.target = entry.target,
        audit.outcome = why.unwrap_or("done"),
        "administration"
    );
    let outcome = AuditOutcome {
        done: why.is_none(),
        why: why.map(str::to_owned),
    };
    if let Err(error) = operators.finish_audit(number, outcome).await {
        tracing::warn!(%error, number, "the audit log does not say how a change ended");
    }
}

fn target(forms: &[Form]) -> Option<String> {
    let is_target = |field: &&Field| field.var.as_deref().is_some_and(|it| TARGETS.contains(&it));
    let fields = forms.iter().flat_map(|form| &form.fields).filter(is_target);
    let values: Vec<&str> = fields
        .flat_map(|it| &it.values)
        .map(String::as_str)
        .collect();
    let mut target = values.join(" ");
    target.truncate(target.floor_char_boundary(MAX_TARGET));
    (!target.is_empty()).then_some(target)
}
