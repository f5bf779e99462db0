//! SASL2: authentication, and all that a session needs with it, in one exchange.
//!
//! Source: XEP-0388 v1.0.4, XEP-0386 v1.1.0 (binding), XEP-0198 v1.6.3 §8 (resumption), XEP-0480 (keys for another hash),
//! XEP-0484 (tokens, in `fast`). Left out: second factors.
//! Order: proof, tasks, resumption, binding, token, one `<success/>` that tells it all, features unless resumed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use xmpp::{
    BareJid, Element, Node, ns,
    sasl::{Mechanism, SaslFailure, Upgrade},
};

use super::{
    authenticate::{Proven, Refused, decode},
    bind::{self, Identity},
    fast::Use,
    features::Profile,
    negotiation::{Client, Login},
    passage::Passage,
    session::SessionCore,
    stream::End,
};
use crate::{modules::archive, random};

/// What `<authenticate/>` asks for.
pub(super) struct Request<'a> {
    root: Node<'a>,
    /// The mechanism's name.
    pub(super) mechanism: String,
    /// The client's first message.
    pub(super) initial: Option<Vec<u8>>,
    /// The installation of the client.
    pub(super) agent: Option<String>,
    /// The mechanism that a token is wanted for.
    pub(super) token: Option<Mechanism>,
    /// It authenticates with a token.
    pub(super) fast: Option<Use>,
    upgrades: Vec<Upgrade>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(root: Node<'a>) -> Result<Self, SaslFailure> {
        let initial = root
            .child("initial-response", ns::SASL2)
            .map(|it| decode(&it.text()))
            .transpose()?;
        let agent = root
            .child("user-agent", ns::SASL2)
            .and_then(|it| it.attr("id"));
        let token = root
            .child("request-token", ns::FAST)
            .and_then(|it| it.attr("mechanism"));
        let upgrades = root
            .children()
            .filter(|it| it.is("upgrade", ns::SASL_UPGRADE));
        Ok(Self {
            root,
            mechanism: root.attr("mechanism").unwrap_or_default().into_owned(),
            initial,
            agent: agent.and_then(|id| parse_agent(&id)),
            token: token.and_then(|name| Mechanism::parse(&name)),
            fast: root.child("fast", ns::FAST).map(Use::parse).transpose()?,
            upgrades: upgrades
                .filter_map(|it| Upgrade::parse(it.text().trim()))
                .collect(),
        })
    }
}

/// The id of a client's installation, a UUID, in lower case. What is none identifies nobody.
fn parse_agent(id: &str) -> Option<String> {
    let dashes = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| {
        if dashes.contains(&at) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    (id.len() == 36 && id.bytes().enumerate().all(fits)).then(|| id.to_ascii_lowercase())
}

impl Client {
    /// One attempt. `None`: it failed, and the client may try again.
    pub(super) async fn sasl2(&mut self, root: Node<'_>) -> Result<Option<Login>, End> {
        let name = root.attr("mechanism").unwrap_or_default();
        let attempt = match Request::parse(root) {
            Ok(request) => self
                .attempt(&request)
                .await
                .map(|(proven, token)| (request, proven, token)),
            Err(failure) => Err(failure.into()),
        };
        match attempt {
            Ok((request, proven, token)) => {
                self.logged_in(&proven.identity, &name);
                let Proven {
                    identity,
                    additional,
                    ..
                } = proven;
                if self.router.served_elsewhere(&identity.account).is_some() {
                    let passage = Passage::sasl2(&identity, root, additional, token.as_ref());
                    return Ok(Some(Login::Elsewhere(Box::new(passage))));
                }
                let welcome = self.welcome(&request, identity, additional, token);
                welcome.await.map(Some)
            }
            Err(refused) => self.fail(Profile::Sasl2, &name, refused).map(|()| None),
        }
    }

    /// Proof and tasks; `<token/>` if one is due.
    async fn attempt(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Proven, Option<Element>), Refused> {
        if let Some(fast) = &request.fast {
            return self.fast(request, fast).await;
        }
        let mechanism = self.chosen(&request.mechanism)?;
        let mut proven = self
            .prove(Profile::Sasl2, mechanism, request.initial.clone())
            .await?;
        self.upgrade(&request.upgrades, &mut proven).await?;
        let token = self.issue_token(request, &proven.identity).await;
        Ok((proven, token))
    }

    /// Does what was asked for inline, and tells.
    pub(super) async fn welcome(
        &mut self,
        request: &Request<'_>,
        identity: Identity,
        additional: Option<Vec<u8>>,
        token: Option<Element>,
    ) -> Result<Login, End> {
        let data = additional.map(|data| additional_data(&data));
        let success = |jid: &str, results: Vec<Element>| {
            Element::new("success", ns::SASL2)
                .with_children(data)
                .with_child(Element::new("authorization-identifier", ns::SASL2).with_text(jid))
                .with_children(results)
        };
        let mut results = Vec::new();
        if let Some(resume) = request.root.child("resume", ns::SM) {
            match self.resume(&identity, resume).await {
                Ok((core, resumed)) => {
                    results.push(resumed);
                    results.extend(token);
                    let success = success(core.jid().as_str(), results);
                    // XEP-0198 §8.2: no features, the stream is as it was.
                    return Ok(Login::Established(self.settle(core, &success)));
                }
                Err(failed) => {
                    self.is_still_here(&identity)?;
                    results.push(failed)
                }
            }
        }
        let bound = match request.root.child("bind", ns::BIND2) {
            Some(wanted) => self
                .bind2(&identity, wanted, request.agent.as_deref())
                .await
                .map(Some),
            None => Ok(None),
        };
        match bound {
            Ok(Some((core, bound))) => {
                results.push(bound);
                results.extend(token);
                let success = success(core.jid().as_str(), results);
                let core = self.settle(core, &success);
                let features = self.features(true);
                Ok(Login::Established(self.settle(core, &features)))
            }
            // What was proven is void before it was said to be true.
            Err(bind::Refused::Void) => Err(bind::Refused::void().into()),
            refused => {
                if let Err(bind::Refused::Answer(error)) = refused {
                    // The client is who it says all the same. It may ask again by RFC 6120 §7 and is then told why not.
                    tracing::info!(
                        condition = error.condition.as_str(),
                        "no resource bound inline"
                    );
                }
                results.extend(token);
                self.send(&success(identity.account.as_str(), results))?;
                self.send(&self.features(false))?;
                Ok(Login::Authenticated(identity))
            }
        }
    }

    /// Binds a resource of our choice (XEP-0386 §4, §5), with what the session is to begin with.
    async fn bind2(
        &self,
        identity: &Identity,
        wanted: Node<'_>,
        agent: Option<&str>,
    ) -> Result<(Box<SessionCore>, Element), bind::Refused> {
        let client =
            agent.map(|agent| self.router.gate.pseudonym(identity.account.as_str(), agent));
        let name = client.clone().unwrap_or_else(random::token);
        let tag = wanted.child("tag", ns::BIND2);
        let resource = resource(
            &identity.account,
            tag.map(|tag| tag.text()).as_deref(),
            name,
        );
        let mut core =
            bind::bind(&self.router, identity, Some(&resource), client.as_deref()).await?;
        let mut bound = Element::new("bound", ns::BIND2);
        if wanted.child("enable", ns::CARBONS).is_some() {
            core.enable_carbons();
        }
        if wanted.child("inactive", ns::CSI).is_some() {
            core.set_inactive();
        }
        if let Some(enable) = wanted.child("enable", ns::SM) {
            let resume = matches!(enable.attr("resume").as_deref(), Some("true" | "1"));
            let max = enable.attr("max").and_then(|max| max.parse().ok());
            bound.push(core.enable_sm(resume, max));
        }
        if self.router.config.archive.enabled && !identity.is_anonymous() {
            // §4: what waits is read from the archive, as far as it is there; where that begins and ends is told last, so
            // that nothing comes between it and what the session gets itself.
            core.home.leave_to_archive(&self.router).await;
            let logs = &*self.router.stores.logs;
            match archive::metadata(logs, &identity.account).await {
                Ok(metadata) => bound.push(metadata),
                Err(error) => tracing::warn!(%error, "the archive is not described"),
            }
        }
        Ok((core, bound))
    }
}

/// `tag/name`: the same for the same client of the account each time, so that its new session replaces its old one.
fn resource(account: &BareJid, tag: Option<&str>, name: String) -> String {
    let tagged = tag
        .filter(|tag| !tag.is_empty())
        .map(|tag| format!("{tag}/{name}"));
    // A tag that no address can have is left out.
    tagged
        .filter(|resource| account.with_resource(resource).is_ok())
        .unwrap_or(name)
}

/// The last word of a mechanism.
pub(super) fn additional_data(data: &[u8]) -> Element {
    Element::new("additional-data", ns::SASL2).with_text(STANDARD.encode(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_uuids() {
        let check = |id: &str, expected: Option<&str>| {
            assert_eq!(parse_agent(id).as_deref(), expected, "{id}")
        };
        check(
            "d4565fa7-4d72-4749-b3d3-740edbf87770",
            Some("d4565fa7-4d72-4749-b3d3-740edbf87770"),
        );
        check(
            "D4565FA7-4D72-4749-B3D3-740EDBF87770",
            Some("d4565fa7-4d72-4749-b3d3-740edbf87770"),
        );
        check("", None);
        check("d4565fa7-4d72-4749-b3d3-740edbf8777", None);
        check("d4565fa7-4d72-4749-b3d3-740edbf87770a", None);
        check("d4565fa7x4d72-4749-b3d3-740edbf87770", None);
        check("g4565fa7-4d72-4749-b3d3-740edbf87770", None);
    }
}
