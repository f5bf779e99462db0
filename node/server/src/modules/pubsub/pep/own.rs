//! What the server does at an account's nodes in the account's name.
//!
//! Why here: what clients keep in other places is the same as what they keep here (XEP-0398, XEP-0402). It goes the way that a
//! request of the account goes, so that its clients and contacts are told.

use xmpp::{
    BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, Form, FormType},
};

use super::Pep;
use crate::{
    module::Context,
    modules::pubsub::{
        perform::Desk,
        request::Request,
        rules::{Actor, Standing, config::AccessModel, publish::Publication},
    },
};

impl Pep {
    /// Performs a request of the account itself.
    pub(super) async fn perform_own(
        &self,
        account: &BareJid,
        request: Request,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError> {
        let policy = self.policies.of(account);
        let actor = Actor {
            jid: account.as_jid(),
            standing: Standing::default(),
        };
        let desk = Desk {
            nodes: &self.nodes,
            policy: &policy,
            host: self,
            cx,
        };
        desk.perform(&actor, request).await
    }

    /// Publishes an item; a node that is made by it is configured with these fields.
    pub(super) async fn publish_own(
        &self,
        account: &BareJid,
        node: &str,
        (id, payload): (&str, Element),
        config: &[(&str, &str)],
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let policy = self.policies.of(account);
        let is_there = self.nodes.load(&policy, node).await?.is_some();
        let options = (!is_there).then(|| {
            let mut form = Form::of(FormType::Submit, ns::PUBSUB_PUBLISH_OPTIONS);
            let fields = config
                .iter()
                .map(|(var, value)| Field::untyped(*var, *value));
            form.fields.extend(fields);
            form
        });
        let request = Request::Publish {
            node: node.to_owned(),
            publication: Publication {
                item: Some((Some(id.to_owned()), vec![payload])),
            },
            options,
        };
        self.perform_own(account, request, cx).await.map(drop)
    }

    /// Lets nobody but the account read a node, if there is it.
    ///
    /// # Errors
    /// The store did not answer.
    pub(super) async fn close(
        &self,
        account: &BareJid,
        node: &str,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let policy = self.policies.of(account);
        let known = self.nodes.load(&policy, node).await?;
        if known.is_none_or(|known| known.config.access == AccessModel::Whitelist) {
            return Ok(());
        }
        let access = Field::untyped("pubsub#access_model", "whitelist");
        let form = Form::of(FormType::Submit, ns::PUBSUB_NODE_CONFIG).with_field(access);
        let request = Request::Configure(node.to_owned(), form);
        self.perform_own(account, request, cx).await.map(drop)
    }

    /// Retracts an item; one that is not there is fine.
    pub(super) async fn retract_own(
        &self,
        account: &BareJid,
        node: &str,
        id: &str,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let request = Request::Retract {
            node: node.to_owned(),
            id: id.to_owned(),
            notify: true,
        };
        match self.perform_own(account, request, cx).await {
            Err(error) if error.condition != Condition::ItemNotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Ids and payloads of a node's items; `None`: there is no such node.
    pub(super) async fn items_own(
        &self,
        account: &BareJid,
        node: &str,
    ) -> Result<Option<Vec<(String, Element)>>, StanzaError> {
        let policy = self.policies.of(account);
        let Some(node) = self.nodes.load(&policy, node).await? else {
            return Ok(None);
        };
        let items = self.nodes.items(&policy, &node, &node.stored.items).await?;
        let read = |item: &storage::repository::PubsubItem| {
            let payload = Element::parse(&item.payload, "").ok()?;
            Some((item.head.id.as_ref().to_owned(), payload))
        };
        Ok(Some(items.iter().filter_map(read).collect()))
    }
}
