//! Services: something with a domain of its own, such as rooms.

use async_trait::async_trait;
use bytes::Bytes;
use cluster::NodeId;
use minicbor::{Decode, Encode};
use xmpp::{BareJid, FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition};

use super::Context;

/// Something with a domain of its own, beside the accounts'.
#[async_trait]
pub trait Service: Send + Sync {
    /// Takes any stanza for the service itself.
    fn receive(&self, stanza: &Stanza, cx: &Context);
    /// Takes a stanza for an address of the service with a localpart, which is served on this node.
    fn take(&self, stanza: Stanza, receipt: Receipt, cx: &Context) {
        self.receive(&stanza, cx);
        receipt.done();
    }
    /// A view is about to count: these nodes will tell which of their sessions are in rooms that come here.
    fn expect(&self, _epoch: u64, _nodes: &[NodeId]) {}
    /// The view has changed.
    fn view_changed(&self, _cx: &Context) {}
    /// These sessions are in rooms that are served here.
    fn assert(&self, _assertions: Vec<Assertion>, _cx: &Context) {}
    /// A node has told all that it had to.
    fn all_asserted(&self, _epoch: u64, _by: NodeId) {}
    /// Some time has passed (`sweep`): what is due is begun.
    fn tidy(&self, _cx: &Context) {}
    /// Whether the service as a whole is at one place, which its address names.
    fn is_placed(&self) -> bool {
        false
    }
    /// Whether something is being done here that came before this stanza: it waits behind that, also when what it is for has
    /// just moved.
    fn is_busy_before(&self, _stanza: &Stanza) -> bool {
        false
    }
    /// Does something for an administrator to what is at this address, which is served on this node.
    ///
    /// # Errors
    /// The store did not answer, or there is nothing that could be done.
    async fn administer(
        &self,
        _address: &BareJid,
        _what: Administer,
        _cx: &Context,
    ) -> Result<Administered, StanzaError> {
        Err(Condition::FeatureNotImplemented.into())
    }
}

/// What an administrator wants of something that a service has at one of its addresses, such as a room.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Administer {
    /// To know of it.
    #[n(0)]
    Inspect,
    /// Its end.
    #[n(1)]
    Destroy {
        /// Why.
        #[n(0)]
        reason: Option<String>,
    },
}

/// What became of that.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Administered {
    /// There is nothing at this address.
    #[n(0)]
    Absent,
    /// What is known, by name and value.
    #[n(1)]
    Known(#[n(0)] Vec<(String, String)>),
    /// It is no more.
    #[n(2)]
    Destroyed,
}

/// A session that is in a room, as its node tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The room and the nick.
    pub occupant: Jid,
    /// The session.
    pub real: FullJid,
    /// Its presence; empty: it has none.
    pub presence: Bytes,
    /// The room said that it is in; else it may still have asked only.
    pub entered: bool,
    /// The newest message of the room that it was given; 0: nobody knows.
    pub heard: u64,
}

/// What became of a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its effects are committed.
    Done,
    /// It was answered with an error.
    Refused,
    /// Another node serves the address by now. Nothing was done here; or nobody knows whether it was.
    Elsewhere {
        /// Nobody knows.
        doubted: bool,
    },
}

/// Who waits for what becomes of a stanza. One that is dropped says nothing: the stanza stays unacknowledged.
pub struct Receipt {
    tell: Box<dyn FnOnce(Outcome) + Send>,
    /// The stanza may have taken effect already, at a node that is gone.
    pub doubted: bool,
}

impl Receipt {
    /// `tell` is told what became of the stanza.
    pub fn new(tell: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            doubted: false,
        }
    }

    /// The effects are committed.
    pub fn done(self) {
        (self.tell)(Outcome::Done);
    }

    /// It was answered with an error.
    pub fn refused(self) {
        (self.tell)(Outcome::Refused);
    }

    /// Another node serves the address by now, and is to do it. `doubted`: it may be done already.
    pub fn elsewhere(self, doubted: bool) {
        (self.tell)(Outcome::Elsewhere { doubted });
    }
}
