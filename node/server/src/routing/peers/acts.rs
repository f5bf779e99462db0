//! Acts: what is done to an account where it is served, for whoever asked another node: its sessions end, it is let go of
//! because it is being removed, it is looked at.
//!
//! Each may be done again, so who gets no answer is told to try again. Nothing counts as done that was not answered.
//! Stored: nothing. Bounds: [`MAX_ACTS`], [`PATIENCE`].

use std::time::Duration;

use cluster::NodeId;
use hashbrown::HashMap;
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use xmpp::{BareJid, StanzaError, StreamError, StreamErrorCondition};

use super::{Kind, Peers, frame};
use crate::{
    home,
    module::{Administer, Administered},
    routing::census::{self, Announcement, Census, Counted},
};

/// Acts that other nodes were asked for and have not answered.
const MAX_ACTS: usize = 4_096;
/// How long another node may take. It waits for sessions and for what they write, and for an account that moves.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Act {
    /// The account is being removed: its sessions end, and it is dropped from memory.
    #[n(0)]
    Retire(#[n(0)] Reason),
    /// Its sessions end, or the one of this resource.
    #[n(1)]
    End {
        /// Which; `None`: all.
        #[n(0)]
        resource: Option<String>,
        /// What their clients are told.
        #[n(1)]
        reason: Reason,
    },
    /// It is looked at.
    #[n(2)]
    Look,
    /// Who is there, on the whole node; no account is named.
    #[n(3)]
    Count(#[n(0)] Census),
    /// All who are there are told, on the whole node; no account is named.
    #[n(4)]
    Announce(#[n(0)] Announcement),
    /// Something is done to what a service has at this address.
    #[n(5)]
    Administer(#[n(0)] Administer),
    /// Its privacy lists were changed by the node that served it before: they are read anew.
    #[n(6)]
    Lists,
}

/// Why sessions end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Reason {
    /// The condition of the stream error.
    #[n(0)]
    condition: String,
    /// For people.
    #[n(1)]
    text: Option<String>,
}

impl From<&StreamError> for Reason {
    fn from(error: &StreamError) -> Self {
        Self {
            condition: error.condition.as_str().to_owned(),
            text: error.text.clone(),
        }
    }
}

impl From<&Reason> for StreamError {
    fn from(reason: &Reason) -> Self {
        let condition = StreamErrorCondition::parse(&reason.condition);
        let condition = condition.unwrap_or(StreamErrorCondition::UndefinedCondition);
        Self {
            text: reason.text.clone(),
            ..condition.into()
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The account is not served here, or is about to be served elsewhere: nobody knows how much was done.
    #[n(0)]
    NotHere,
    /// It cannot be done now.
    #[n(1)]
    Refused,
    /// Nobody is there any more; the full addresses that contacts still see.
    #[n(2)]
    Retired(#[n(0)] Vec<String>),
    /// So many sessions end.
    #[n(3)]
    Ended(#[n(0)] u32),
    /// This is what it looks like.
    #[n(4)]
    Seen(#[n(0)] Seen),
    /// So many are there.
    #[n(5)]
    Counted(#[n(0)] Counted),
    /// So many sessions were told.
    #[n(6)]
    Reached(#[n(0)] u64),
    /// This became of what a service has at that address.
    #[n(7)]
    Administered(#[n(0)] Administered),
    /// It is done.
    #[n(8)]
    Done,
}

/// What others may want to know of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Seen {
    /// The resources of its sessions.
    #[n(0)]
    pub resources: Vec<String>,
    /// How many messages wait for its clients.
    #[n(1)]
    pub waiting: u64,
    /// When it was last there, and what it said; `None`: there is no such account.
    #[n(2)]
    pub last: Option<(u64, Option<String>)>,
}

/// An act as it is sent, behind its number.
#[derive(Encode, Decode)]
pub struct Question {
    /// Of the view by which the node was found.
    #[n(0)]
    pub epoch: u64,
    /// Whose.
    #[n(1)]
    pub account: String,
    /// What.
    #[n(2)]
    pub act: Act,
}

/// Those that are under way: who was asked, and who waits.
#[derive(Default)]
pub(super) struct Acts(Mutex<HashMap<u64, (NodeId, oneshot::Sender<Outcome>)>>);

impl Acts {
    /// A node is gone: nobody waits for it.
    pub(super) fn gone(&self, node: NodeId) {
        self.0.lock().retain(|_, (by, _)| *by != node);
    }
}

/// One that is waited for; dropped, its answer is not.
struct Waited<'a>(&'a Acts, u64);

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}

impl Peers {
    /// Has something done to an account by the node that serves it; `None`: that is this one.
    ///
    /// # Errors
    /// It was not done, or nobody knows how much of it: to be tried again.
    pub async fn act(&self, account: &BareJid, act: Act) -> Result<Option<Outcome>, StanzaError> {
        let Some(node) = self.elsewhere(account.as_str()) else {
            return Ok(None);
        };
        let lost = || home::wait("the node that serves the account does not answer");
        match self
            .asked_for(node, account.as_str(), act, PATIENCE)
            .await?
        {
            Some(Outcome::NotHere | Outcome::Refused) => {
                Err(home::wait("the account cannot be changed now"))
            }
            Some(outcome) => Ok(Some(outcome)),
            None => Err(lost()),
        }
    }

    /// Has a node do what is about all of it; `None`: it does not answer.
    pub async fn ask_node(&self, node: NodeId, act: Act) -> Option<Outcome> {
        let asked = self.asked_for(node, "", act, census::PATIENCE).await;
        asked.ok().flatten()
    }

    /// Asks a node; `None`: it does not answer.
    ///
    /// # Errors
    /// It was not asked: there is no room for more.
    async fn asked_for(
        &self,
        node: NodeId,
        account: &str,
        act: Act,
        patience: Duration,
    ) -> Result<Option<Outcome>, StanzaError> {
        let (number, epoch) = (self.number(), self.view().epoch);
        let (sender, answer) = oneshot::channel();
        {
            let mut acts = self.acts.0.lock();
            if acts.len() >= MAX_ACTS {
                return Err(home::wait("other nodes are asked too much"));
            }
            acts.insert(number, (node, sender));
        }
        let _waited = Waited(&self.acts, number);
        let account = account.to_owned();
        let question = Question {
            epoch,
            account,
            act,
        };
        let Ok(body) = minicbor::to_vec(&question) else {
            return Ok(None);
        };
        if !self.send(node, Kind::Act, frame::numbered(number, &body)) {
            return Ok(None);
        }
        let answered = tokio::time::timeout(patience, answer).await;
        Ok(answered.ok().and_then(Result::ok))
    }

    /// The answer to an act.
    pub fn acted(&self, by: NodeId, number: u64, rest: &[u8]) {
        let Ok(outcome) = minicbor::decode::<Outcome>(rest) else {
            return tracing::warn!(node = by.0, "an answer that is none");
        };
        let mut acts = self.acts.0.lock();
        if acts.get(&number).is_some_and(|(node, _)| *node == by)
            && let Some((_, waits)) = acts.remove(&number)
        {
            let _ = waits.send(outcome);
        }
    }

    /// Answers an act.
    pub fn answer_act(&self, to: NodeId, number: u64, outcome: &Outcome) {
        match minicbor::to_vec(outcome) {
            Ok(body) => drop(self.send(to, Kind::Acted, frame::numbered(number, &body))),
            Err(error) => tracing::warn!(%error, "an answer that cannot be sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Question};
    use crate::versions::{check, check_variant};

    #[test]
    fn an_earlier_version_reads_them_and_is_read() {
        // An account is retired, a session is ended, an account is looked at.
        for question in [
            "83096f616461406578616d706c652e6f7267820081826e6e6f742d617574686f72697a656464676f6e65",
            "83096f616461406578616d706c652e6f72678201826570686f6e658168636f6e666c696374",
            "83096f616461406578616d706c652e6f7267820280",
        ] {
            check::<Question>(question);
        }
        for outcome in [
            "820080",
            "820180",
            "82028181656140622f63",
            "82038102",
            "82048183816570686f6e6503821b0000018bcfe5680063627965",
        ] {
            check_variant::<Outcome>(outcome);
        }
    }
}
