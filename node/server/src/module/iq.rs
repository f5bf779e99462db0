//! Requests: an IQ that asks for something, who answers it, and what follows the reply.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::directory::SessionRef;
use parking_lot::Mutex;
use xmpp::{BareJid, Element, Jid, StanzaError, StanzaErrorCondition as Condition, StreamError};

use super::Context;
use crate::{pipeline::delivery::IqType, routing::SessionHandle};

/// An IQ that asks for something.
pub struct IqRequest {
    /// `get` or `set`.
    pub kind: IqType,
    /// Who asks; a full address if it is a session.
    pub from: Jid,
    /// Whom: a domain of ours or the bare address of an account.
    pub to: BareJid,
    /// The sender's session, if it is one of ours.
    pub session: Option<Arc<SessionHandle>>,
    /// What is asked.
    pub payload: Element,
    /// What follows the reply.
    pub followers: Followers,
}

/// What follows a reply, in order.
pub type Followers = Mutex<Vec<Follower>>;

/// Something that follows the reply to a session's request.
pub enum Follower {
    /// Sent to the session.
    Send(Element),
    /// Ends the session, once it has sent all that comes before.
    End(StreamError),
    /// Kept until then, and let go: a turn that others wait for.
    Release(Box<dyn Send>),
}

impl IqRequest {
    /// Sends to the session that asks, behind the reply.
    pub fn send_after_reply(&self, element: Element) {
        self.followers.lock().push(Follower::Send(element));
    }

    /// Ends the session that asks, behind the reply.
    pub fn end_after_reply(&self, error: StreamError) {
        self.followers.lock().push(Follower::End(error));
    }

    /// Keeps something until the reply and what follows it are on their way.
    pub fn release_after_reply(&self, kept: impl Send + 'static) {
        let kept = Box::new(kept);
        self.followers.lock().push(Follower::Release(kept));
    }

    /// Whether this session asks.
    pub fn is_of(&self, session: SessionRef) -> bool {
        let own = self.session.as_ref();
        own.is_some_and(|own| own.session == session)
    }

    /// Whether it changes something.
    pub fn is_set(&self) -> bool {
        self.kind == IqType::Set
    }

    /// Whether an account asks for itself.
    pub fn is_own(&self) -> bool {
        self.from.bare_str() == self.to.as_str()
    }

    /// Checks that this is a request for the payload `name`, which can only be read.
    ///
    /// # Errors
    /// `bad-request`: another payload. `not-allowed`: it wants to change something.
    pub fn only_get(&self, name: &str) -> Result<(), StanzaError> {
        match (self.payload.name() == name, self.kind) {
            (false, _) => Err(Condition::BadRequest.into()),
            (true, IqType::Set) => Err(Condition::NotAllowed.into()),
            (true, _) => Ok(()),
        }
    }
}

/// Answers IQs of one namespace.
#[async_trait]
pub trait IqHandler: Send + Sync {
    /// The payload of the result, or the error.
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError>;

    /// Whether only the account itself may ask (then others get `forbidden` before the handler is asked).
    fn own_only(&self) -> bool {
        false
    }

    /// What is answered in the name of an account that does not exist: what a namespace that nobody handles is answered
    /// with (RFC 6120 §10.5.3.1), unless a stranger could tell that from the answer in the name of one that does.
    fn absent(&self, _iq: &IqRequest) -> Result<Option<Element>, StanzaError> {
        Err(Condition::ServiceUnavailable.into())
    }
}
