//! Pubsub nodes of services and of accounts, looked at in the store.

use xmpp::BareJid;

use super::{
    Administrator, MAX_PAGE, Response, Why,
    answers::{Page, PubsubFacts},
    invalid, refused,
};

impl Administrator {
    /// A service for publishing, or an account.
    async fn publisher(&self, text: &str) -> Result<BareJid, Response> {
        let none = |error| invalid("service", format!("\"{text}\" is no address: {error}"));
        let service = BareJid::parse(text).map_err(none)?;
        if self.pubsub.iter().any(|it| it == service.as_str()) {
            return Ok(service);
        }
        if service.local().is_none() {
            let reason = format!("{service} is no service for publishing, and no account");
            return Err(invalid("service", reason));
        }
        self.served("service", service.domain())?;
        self.must_exist(&service).await?;
        Ok(service)
    }

    pub(super) async fn list_pubsub(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Response, Response> {
        let service = self.publisher(service).await?;
        let limit = limit.clamp(1, MAX_PAGE);
        let pubsub = &self.accounts.stores.pubsub;
        let names = match service.local() {
            None => pubsub.names(&service, after, limit + 1).await?,
            Some(_) => {
                let heads = pubsub.heads(&service, MAX_PAGE).await?;
                let mut names: Vec<_> = heads.into_iter().map(|head| head.node).collect();
                names.sort();
                names.retain(|name| after.is_none_or(|after| name.as_str() > after));
                names.truncate(limit + 1);
                names
            }
        };
        Ok(Response::Pubsub(Page::of(names, limit, Clone::clone)))
    }

    pub(super) async fn pubsub_node(
        &self,
        service: &str,
        node: &str,
    ) -> Result<Response, Response> {
        let service = self.publisher(service).await?;
        let Some(found) = self.accounts.stores.pubsub.load(&service, node).await? else {
            let reason = format!("{service} has no node {node}");
            return Err(refused(Why::Absent, reason));
        };
        let head = found.head;
        let affiliations = head.affiliations.iter();
        Ok(Response::PubsubNode(Box::new(PubsubFacts {
            service: service.to_string(),
            node: head.node,
            created_ms: head.created_ms,
            creator: head.creator.to_string(),
            items: found.items.len(),
            subscriptions: found.subscriptions.len(),
            affiliations: affiliations
                .map(|(jid, it)| (jid.to_string(), it.as_str().to_owned()))
                .collect(),
            config: head.config.into_iter().collect(),
        })))
    }
}
