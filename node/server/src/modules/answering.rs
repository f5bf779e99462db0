//! Services that answer: the requests of each client are answered in the order in which they come, however slow the store.
//!
//! Source: RFC 6120 §8.2.3 (a request has one child), §10.1 (order). What is no request is nothing to a service; a message is
//! refused. Bounds: [`MAX_WAITING`].

use std::sync::Arc;

use xmpp::{Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition};

use crate::{
    module::Context,
    turns::{Queues, Running},
};

/// Requests of one client that may wait behind the one that is being answered.
const MAX_WAITING: usize = 256;

/// The requests that wait, by who asks.
pub type Requests = Queues<Jid, Stanza>;

/// A request.
pub struct Request<'a> {
    /// Who asks.
    pub from: &'a Jid,
    /// Whom.
    pub to: &'a Jid,
    /// What.
    pub payload: Element,
    /// Whether it is to change something.
    pub is_set: bool,
}

impl Request<'_> {
    /// Whether it is about a node of service discovery (XEP-0030 §3.2).
    pub fn has_node(&self) -> bool {
        self.payload.attr("node").is_some_and(|it| !it.is_empty())
    }
}

/// What answers.
pub trait Answers: Send + Sync + 'static {
    /// The payload of the result, or the error.
    fn answer(
        &self,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<Option<Element>, StanzaError>> + Send;
}

/// Takes a stanza for `service`, and answers it behind those that wait.
pub fn receive<S: Answers>(service: &Arc<S>, requests: &Requests, stanza: &Stanza, cx: &Context) {
    let kind = stanza.type_attr();
    match (stanza.kind(), kind.as_deref()) {
        (Kind::Iq, Some("get" | "set")) => {
            let Some(from) = stanza.from() else { return };
            match requests.push(from, stanza.clone(), MAX_WAITING) {
                Ok(None) => {}
                Ok(Some(running)) => {
                    let (service, via) = (service.clone(), cx.clone());
                    cx.run(Box::pin(async move {
                        answer_all(&*service, running, &via).await
                    }));
                }
                Err(stanza) => {
                    let error = crate::home::wait("too much of yours waits for the service");
                    refuse(&stanza, &error, cx);
                }
            }
        }
        (Kind::Iq | Kind::Presence, _) => {}
        (Kind::Message, _) => refuse(stanza, &Condition::ServiceUnavailable.into(), cx),
    }
}

async fn answer_all(service: &impl Answers, mut running: Running<Jid, Stanza>, cx: &Context) {
    while let Some(stanza) = running.pop() {
        let payload = match request(&stanza) {
            Ok(request) => service.answer(&request).await,
            Err(error) => Err(error),
        };
        match payload {
            Ok(payload) => cx.route(Stanza::from_element(&stanza.result_reply(payload))),
            Err(error) => refuse(&stanza, &error, cx),
        }
    }
}

fn request(stanza: &Stanza) -> Result<Request<'_>, StanzaError> {
    let mut children = stanza.root().children();
    let (Some(payload), None) = (children.next(), children.next()) else {
        return Err(Condition::BadRequest.into());
    };
    let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
        return Err(Condition::BadRequest.into());
    };
    Ok(Request {
        from,
        to,
        payload: payload.to_element(),
        is_set: stanza.type_attr().as_deref() == Some("set"),
    })
}

/// Answers a stanza with an error, if it may be answered.
pub fn refuse(stanza: &Stanza, error: &StanzaError, cx: &Context) {
    if let Some(reply) = stanza.error_reply(error) {
        cx.route(Stanza::from_element(&reply));
    }
}
