//! Executions of commands that are not complete: what was filled in so far.
//!
//! Source: XEP-0050 v1.3 §3.3. Bounds: [`MAX_EXECUTIONS`], the oldest goes first; each lives for [`LIFETIME_MS`] after its
//! last stage.

use hashbrown::HashMap;
use parking_lot::Mutex;
use xmpp::{Jid, StanzaError, StanzaErrorCondition as Condition, payload::form::Form};

use super::command::error;

/// How many there are at most.
pub const MAX_EXECUTIONS: usize = 256;
/// How long one waits for its next stage.
pub const LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// An execution.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Who executes: one session of one account.
    pub requester: Jid,
    /// Of which command.
    pub node: String,
    /// What was submitted, oldest first.
    pub forms: Vec<Form>,
    /// The stage that is being filled in is the last.
    pub last: bool,
    /// When it was last heard of.
    pub at_ms: u64,
}

/// All of them.
#[derive(Default)]
pub struct Executions(Mutex<HashMap<String, Execution>>);

impl Executions {
    /// An execution of this requester.
    ///
    /// # Errors
    /// `not-allowed` with `session-expired` if there is none (any more), `bad-request` with `bad-sessionid` if it is
    /// somebody else's or of another command.
    pub fn get(
        &self,
        id: &str,
        requester: &Jid,
        node: &str,
        now_ms: u64,
    ) -> Result<Execution, StanzaError> {
        let known = self
            .0
            .lock()
            .get(id)
            .filter(|execution| execution.is_alive(now_ms))
            .cloned();
        let known = known.ok_or_else(|| error(Condition::NotAllowed, "session-expired"))?;
        if known.requester != *requester || known.node != node {
            return Err(error(Condition::BadRequest, "bad-sessionid"));
        }
        Ok(known)
    }

    /// Remembers an execution.
    pub fn put(&self, id: String, execution: Execution) {
        let mut executions = self.0.lock();
        let now_ms = execution.at_ms;
        executions.retain(|_, known| known.is_alive(now_ms));
        if executions.len() >= MAX_EXECUTIONS && !executions.contains_key(&id) {
            let oldest = executions
                .iter()
                .min_by_key(|(_, known)| known.at_ms)
                .map(|(id, _)| id.clone());
            oldest.map(|oldest| executions.remove(&oldest));
        }
        executions.insert(id, execution);
    }

    /// Forgets an execution.
    pub fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }
}

impl Execution {
    fn is_alive(&self, now_ms: u64) -> bool {
        now_ms < self.at_ms.saturating_add(LIFETIME_MS)
    }
}
