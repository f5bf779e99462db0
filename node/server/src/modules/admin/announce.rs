//! An announcement to everybody who is there.
//!
//! Source: XEP-0133 v1.3.1 §4.23. It goes to every available session as a headline from the server: it is not archived
//! and does not wait for those who are away.

use async_trait::async_trait;
use xmpp::{
    Element, StanzaError, ns,
    payload::form::{Field, FieldType, Form},
};

use super::{
    command::{Command, Outcome, Step, bad_payload},
    forms,
};
use crate::{
    module::{Context, IqRequest},
    routing::census::{Announcement, Everywhere},
};

/// Longest announcement in bytes.
const MAX_TEXT: usize = 16 << 10;

/// The command.
pub struct Announce;

#[async_trait]
impl Command for Announce {
    fn node(&self) -> &'static str {
        "http://jabber.org/protocol/admin#announce"
    }

    fn name(&self) -> &'static str {
        "Send Announcement to Active Users"
    }

    async fn step(
        &self,
        submitted: &[Form],
        iq: &IqRequest,
        cx: &Context,
    ) -> Result<Step, StanzaError> {
        let Some(form) = forms::submitted(submitted)? else {
            let instructions =
                "Fill out this form to make an announcement to all active users of this service.";
            let field = Field::new(FieldType::TextMulti, "announcement")
                .with_label("Announcement")
                .required();
            return Ok(Step::only(
                forms::form("Making an Announcement", instructions).with_field(field),
            ));
        };
        let text = form
            .field("announcement")
            .map(Field::text)
            .unwrap_or_default();
        if text.trim().is_empty() || text.len() > MAX_TEXT {
            return Err(bad_payload(
                "an announcement has some text, and not too much",
            ));
        }
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", iq.to.as_str())
            // Each session's own.
            .with_attr("to", "")
            .with_attr("type", "headline")
            .with_child(Element::new("body", ns::CLIENT).with_text(text));
        let announcement = Announcement::new(iq.to.domain(), &message);
        let Everywhere { all, silent } = cx.announce(announcement).await;
        let mut outcome = Outcome::default();
        outcome.inform(format!("sent to {all} sessions"));
        for node in silent {
            outcome.inform(format!(
                "the node {node} did not answer: who is there may not have got it"
            ));
        }
        Ok(Step::Done(outcome))
    }
}
