//! The audit log: each change is written down before it is done, and how it ended afterwards; a line of the log says the same.
//!
//! What rescues a cluster (a node drains, is fenced) is done even while the store takes no entry: the line has it then.

use storage::repository::{AuditEntry, AuditOutcome};

use super::{
    Administrator, Caller, MAX_PAGE, Request, Response, Why,
    answers::{AuditLine, Page},
    operations::{Kind, operation},
    refused,
};
use crate::clock;

/// Longest target in the log, in bytes.
const MAX_TARGET: usize = 1_024;

/// A change that is under way.
pub(super) struct Begun {
    /// In the log; `None`: it did not take it.
    number: Option<u64>,
    entry: AuditEntry,
}

impl Administrator {
    /// Writes down what is about to be done; `None`: it changes nothing.
    ///
    /// # Errors
    /// The log does not take it: nothing is done.
    pub(super) async fn begin(
        &self,
        caller: &Caller,
        request: &Request,
    ) -> Result<Option<Begun>, Response> {
        let kind = operation(request.name()).map_or(Kind::Change, |operation| operation.kind);
        if kind == Kind::Look {
            return Ok(None);
        }
        let entry = AuditEntry {
            number: 0,
            at_ms: clock::now_ms(),
            who: caller.who.to_string(),
            peer: caller.peer.map(|peer| peer.to_string()),
            node: self.node(),
            operation: request.name().to_owned(),
            target: request.target().map(shortened),
            outcome: None,
        };
        let number = match self.operators.append_audit(&entry).await {
            Ok(number) => Some(number),
            Err(error) if kind == Kind::Rescue => {
                tracing::warn!(%error, "the audit log takes no entry");
                None
            }
            Err(error) => {
                tracing::warn!(%error, operation = entry.operation, "not done: the audit log takes no entry");
                let reason = "nothing was done: the audit log takes no entry now";
                return Err(refused(Why::Store, reason));
            }
        };
        Ok(Some(Begun { number, entry }))
    }

    /// Writes down how it ended.
    pub(super) async fn end(&self, begun: Begun, response: &Response) {
        let why = match response {
            Response::Refused { why, .. } => Some(why.as_str().to_owned()),
            _ => None,
        };
        let Begun { number, entry } = begun;
        tracing::info!(
            audit.number = number,
            audit.who = entry.who,
            audit.peer = entry.peer,
            audit.operation = entry.operation,
            audit.target = entry.target,
            audit.outcome = why.as_deref().unwrap_or("done"),
            "administration"
        );
        let Some(number) = number else { return };
        let outcome = AuditOutcome {
            done: why.is_none(),
            why,
        };
        if let Err(error) = self.operators.finish_audit(number, outcome).await {
            tracing::warn!(%error, number, "the audit log does not say how a change ended");
        }
    }

    pub(super) async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Response, Response> {
        let limit = limit.clamp(1, MAX_PAGE);
        let entries = self.operators.audit(before, limit + 1).await?;
        let lines = entries.into_iter().map(line).collect();
        let page = Page::of(lines, limit, |line: &AuditLine| line.number.to_string());
        Ok(Response::Audit(page))
    }

    pub(super) fn node(&self) -> Option<String> {
        Some((self.desk.as_ref()?.look)().cluster?.node)
    }
}

fn shortened(mut target: String) -> String {
    let end = target.floor_char_boundary(MAX_TARGET);
    target.truncate(end);
    target
}

fn line(entry: AuditEntry) -> AuditLine {
    AuditLine {
        number: entry.number,
        at_ms: entry.at_ms,
        who: entry.who,
        peer: entry.peer,
        node: entry.node,
        operation: entry.operation,
        target: entry.target,
        outcome: match entry.outcome {
            None => "unknown".to_owned(),
            Some(outcome) if outcome.done => "done".to_owned(),
            Some(outcome) => outcome.why.unwrap_or_else(|| "refused".to_owned()),
        },
    }
}
