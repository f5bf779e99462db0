//! Establish: a resource for who has logged in, or the session that it had.
//!
//! Source: RFC 6120 §7; XEP-0198 v1.6.3 §5. What binding and resuming do is in `bind`; here is what the client says to it.

use xmpp::{
    Element, Node, StanzaError, StanzaErrorCondition, StreamErrorCondition as Condition, ns,
};

use super::{
    bind::{self, Identity},
    header, managed,
    negotiation::Client,
    session::SessionCore,
    stream::End,
};

/// Requests to bind or resume that one stream may make.
const MAX_BINDS: usize = 10;

impl Client {
    /// Binds or resumes (RFC 6120 §7, XEP-0198 §5).
    pub(super) async fn establish(&mut self, identity: &Identity) -> Result<Box<SessionCore>, End> {
        for _ in 0..MAX_BINDS {
            let element = self.element().await?;
            let root = element.root();
            match (root.ns(), root.name()) {
                (ns::CLIENT, "iq") if root.child("bind", ns::BIND).is_some() => {
                    match self.bind(identity, root).await {
                        Ok((core, reply)) => return Ok(self.settle(core, &reply)),
                        Err(bind::Refused::Answer(error)) => {
                            self.is_still_here(identity)?;
                            self.send(&error_reply(root, &error))?
                        }
                        Err(bind::Refused::Void) => return Err(bind::Refused::void().into()),
                    }
                }
                (ns::SM, "resume") => match self.resume(identity, root).await {
                    Ok((core, reply)) => return Ok(self.settle(core, &reply)),
                    Err(failed) => {
                        self.is_still_here(identity)?;
                        self.send(&failed)?
                    }
                },
                // XEP-0198 §3: not before a resource is bound.
                (ns::SM, "enable") => self.send(&managed::failed("unexpected-request", None))?,
                _ => return Err(refuse(root)),
            }
        }
        Err(Condition::PolicyViolation.into())
    }

    /// Whatever was refused to the client of an account that is about to move it gets where that goes.
    ///
    /// # Errors
    /// It is to come again.
    pub(super) fn is_still_here(&self, identity: &Identity) -> Result<(), End> {
        let goes = self.router.served_elsewhere(&identity.account).is_some();
        match goes || self.router.peers.is_leaving() {
            true => Err(super::moving::farewell().into()),
            false => Ok(()),
        }
    }

    async fn bind(
        &self,
        identity: &Identity,
        iq: Node<'_>,
    ) -> Result<(Box<SessionCore>, Element), bind::Refused> {
        if iq.attr("type").as_deref() != Some("set") || iq.attr("id").is_none() {
            return Err(StanzaErrorCondition::BadRequest.into());
        }
        let wanted = iq
            .child("bind", ns::BIND)
            .and_then(|bind| bind.child("resource", ns::BIND))
            .map(|it| it.text());
        // RFC 6120 §7.7.2.1: rather than to refuse an empty one, we make one up.
        let core = bind::bind(
            &self.router,
            identity,
            wanted.as_deref().filter(|it| !it.is_empty()),
            None,
        )
        .await?;
        let jid = Element::new("jid", ns::BIND).with_text(core.jid().as_str());
        let reply = result_reply(iq).with_child(Element::new("bind", ns::BIND).with_child(jid));
        Ok((core, reply))
    }

    /// `<resume/>`, in either profile.
    pub(super) async fn resume(
        &self,
        identity: &Identity,
        resume: Node<'_>,
    ) -> Result<(Box<SessionCore>, Element), Element> {
        let h = resume.attr("h").and_then(|h| h.parse().ok());
        let (Some(previd), Some(h)) = (resume.attr("previd"), h) else {
            return Err(managed::failed("bad-request", None));
        };
        let resumed = bind::resume(&self.router, identity, &previd, h).await?;
        Ok((resumed.core, resumed.element))
    }

    /// Tells the client that it has its session. If it cannot be told, the session will see that and wait to be resumed.
    pub(super) fn settle(
        &mut self,
        mut core: Box<SessionCore>,
        reply: &Element,
    ) -> Box<SessionCore> {
        // A resumed session keeps its language where the new stream names none.
        if let Some(lang) = self.lang.take() {
            core.lang = (!lang.eq_ignore_ascii_case(header::LANGUAGE)).then_some(lang);
        }
        core.hold_back(&mut self.stream.transport);
        if let Err(error) = self.stream.send(reply) {
            tracing::debug!(%error, "connection lost as the session began");
        }
        core
    }
}

/// The stream error for an element that has no place here.
pub(super) fn refuse(root: Node<'_>) -> End {
    let stanza = root.ns() == ns::CLIENT && matches!(root.name(), "message" | "presence" | "iq");
    // RFC 6120 §4.9.3.12 and §7.1: nothing may be sent before.
    if stanza {
        Condition::NotAuthorized.into()
    } else {
        Condition::UnsupportedStanzaType.into()
    }
}

/// An empty result.
pub(super) fn result_reply(iq: Node<'_>) -> Element {
    reply(iq, "result")
}

/// An error.
pub(super) fn error_reply(iq: Node<'_>, error: &StanzaError) -> Element {
    reply(iq, "error").with_child(error.to_element())
}

fn reply(iq: Node<'_>, kind: &str) -> Element {
    Element::new("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr_opt("id", iq.attr("id"))
}
