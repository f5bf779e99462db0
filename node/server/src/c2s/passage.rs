//! Passage: a client that has logged in here goes on at the home of its account, on another node.
//!
//! Why here: a session shares its account's state with it and nothing else, so it is where that is; this node keeps the
//! socket, TLS and the proof that the client is who it says. What follows the login (binding, resumption, features) is said
//! there, over a pipe that the session takes for its connection. So a client finds its session again whichever node it
//! comes to, and a session outlives the node of its client's socket.
//! Stored: nothing.

use std::{net::SocketAddr, sync::Arc};

use minicbor::{Decode, Encode};
use tracing::{Instrument as _, Span, field};
use xmpp::{BareJid, Element, Fragment, StreamError, StreamErrorCondition as Condition, ns};

use super::{
    bind::{Identity, Proof},
    front::Front,
    negotiation::{Client, Login},
    sasl2::Request,
    stream::{End, Stream},
};
use crate::{
    net::{Permit, Pipe, Transport},
    routing::{
        Router,
        peers::{Kind, frame},
    },
    shutdown::Stopping,
};

/// What the home of an account needs to know of a client that has logged in. No `Debug`: it holds a token.
#[derive(Encode, Decode)]
pub struct Passage {
    #[n(0)]
    account: String,
    /// When the account was made, and the version of its credentials; none for an anonymous one.
    #[n(1)]
    proof: Option<(u64, u64)>,
    /// The domain that its stream is for.
    #[n(2)]
    domain: String,
    /// The language of its stream.
    #[n(3)]
    lang: Option<String>,
    /// Where it is.
    #[n(4)]
    peer: String,
    /// What came in already.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    replay: Vec<u8>,
    /// How it logged in by SASL2; by RFC 6120's profile if this is missing, and then its stream begins again.
    #[n(6)]
    sasl2: Option<Sasl2>,
    /// Of the view by which its home was found.
    #[n(7)]
    pub epoch: u64,
}

/// What a client asked for with its login, and what it is to be told of that.
#[derive(Encode, Decode)]
struct Sasl2 {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    authenticate: Vec<u8>,
    /// The last word of the mechanism.
    #[n(1)]
    additional: Option<minicbor::bytes::ByteVec>,
    /// The token that it gets.
    #[n(2)]
    token: Option<minicbor::bytes::ByteVec>,
}

impl Passage {
    /// Of a client whose stream begins again.
    pub(super) fn classic(identity: &Identity) -> Self {
        Self {
            account: identity.account.as_str().to_owned(),
            proof: identity.proof.map(|it| (it.created_ms, it.version)),
            domain: String::new(),
            lang: None,
            peer: String::new(),
            replay: Vec::new(),
            sasl2: None,
            epoch: 0,
        }
    }

    /// Whose client it is.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Of a client whose stream goes on.
    pub(super) fn sasl2(
        identity: &Identity,
        authenticate: xmpp::Node<'_>,
        additional: Option<Vec<u8>>,
        token: Option<&Element>,
    ) -> Self {
        let bytes = |element: &Element| element.to_bytes(ns::CLIENT);
        // The proof stays where it was given.
        let mut asked = Element::new("authenticate", ns::SASL2);
        let mechanism = authenticate.attr("mechanism");
        asked.set_attr("mechanism", mechanism.unwrap_or_default());
        let proof = |child: &xmpp::Node<'_>| child.is("initial-response", ns::SASL2);
        let children = authenticate.children().filter(|child| !proof(child));
        let asked = asked.with_children(children.map(|child| child.to_element()));
        Self {
            sasl2: Some(Sasl2 {
                authenticate: bytes(&asked),
                additional: additional.map(Into::into),
                token: token.map(|token| bytes(token).into()),
            }),
            ..Self::classic(identity)
        }
    }

    fn identity(&self) -> Option<Identity> {
        let proof = self.proof.map(|(created_ms, version)| Proof {
            created_ms,
            version,
        });
        let account = BareJid::parse(&self.account).ok()?;
        Some(Identity { account, proof })
    }
}

impl Client {
    /// Leaves the client to the home of its account and carries its bytes there and back until either side ends.
    pub(super) async fn carry(mut self, permit: Option<Permit>, passage: Passage) {
        let account = passage.account.clone();
        let view = self.router.peers.view().clone();
        let home = view.home(&account);
        let Some(node) = home.filter(|node| *node != self.router.node) else {
            // The view has changed since: the client comes again.
            return self.close(unreachable().into()).await;
        };
        let domain = std::mem::take(&mut self.domain);
        let lang = self.lang.take().map(String::from);
        let peer = self.stream.peer;
        let router = self.router.clone();
        let stream = self.into_stream();
        let Some(replay) = stream.replay() else {
            let fault = stream.fault();
            return stream.close(fault.as_ref(), &domain).await;
        };
        let passage = Passage {
            domain: domain.clone(),
            lang,
            peer: peer.to_string(),
            replay,
            epoch: view.epoch,
            ..passage
        };
        let (pipe, number) = router.peers.open(node);
        let encoded = minicbor::to_vec(&passage).unwrap_or_default();
        let body = frame::numbered(number, &encoded);
        if !router.peers.send(node, Kind::Passage, body) {
            return stream.close(Some(&unreachable()), &domain).await;
        }
        tracing::debug!(account, node = node.0, "session served elsewhere");
        let (transport, ..) = stream.into_parts();
        let Ok(account) = BareJid::parse(&account) else {
            return;
        };
        let front = Front {
            router,
            account,
            client: transport,
            peer,
            permit,
        };
        Box::pin(front.carry(Transport::piped(pipe, peer))).await;
    }
}

fn unreachable() -> StreamError {
    StreamError::new(
        Condition::RemoteConnectionFailed,
        "the node that serves the account cannot be reached now",
    )
}

/// Goes on with a client whose socket is at another node, over a pipe to it.
pub async fn receive(router: Arc<Router>, stopping: Stopping, passage: Passage, pipe: Pipe) {
    let id = format!("{:016x}", crate::random::number());
    let span = tracing::info_span!(
        "connection",
        session.id = id,
        peer = passage.peer,
        jid = field::Empty
    );
    go_on(router, stopping, passage, pipe)
        .instrument(span)
        .await;
}

async fn go_on(router: Arc<Router>, stopping: Stopping, passage: Passage, pipe: Pipe) {
    let (Some(identity), Ok(peer)) = (passage.identity(), passage.peer.parse::<SocketAddr>())
    else {
        return tracing::warn!("a client passed on in a way that is not understood");
    };
    Span::current().record("jid", field::display(&identity.account));
    let transport = Transport::piped(pipe, peer);
    let limits = router.config.limits.after_auth;
    let opened = passage.sasl2.is_some();
    let stream = Stream::replayed(transport, peer, limits, &passage.replay, opened);
    let mut client = Client::passed(router, stream, stopping);
    client.domain = passage.domain;
    client.lang = passage.lang.map(Into::into);
    client.from = Some(identity.account.clone());
    if client.router.served_elsewhere(&identity.account).is_some() {
        // Who sent it may know a later view.
        client.router.peers.reached(passage.epoch).await;
    }
    if client.router.served_elsewhere(&identity.account).is_some() {
        return client.close(super::moving::farewell().into()).await;
    }
    let established = match passage.sasl2 {
        None => client.restarted(&identity).await,
        Some(login) => client.welcomed(identity, &login).await,
    };
    match established {
        Ok(core) => client.start(None, core),
        Err(end) => client.close(end).await,
    }
}

impl Client {
    async fn restarted(
        &mut self,
        identity: &Identity,
    ) -> Result<Box<super::session::SessionCore>, End> {
        self.restart(identity).await?;
        self.establish(identity).await
    }

    async fn welcomed(
        &mut self,
        identity: Identity,
        login: &Sasl2,
    ) -> Result<Box<super::session::SessionCore>, End> {
        let bad = |_| Condition::InternalServerError;
        let authenticate = Fragment::parse(login.authenticate.clone().into(), ns::CLIENT);
        let authenticate = authenticate.map_err(bad)?;
        let request = Request::parse(authenticate.root()).map_err(|_| Condition::BadFormat)?;
        let token = login.token.as_deref();
        let token = token.map(|token| Element::parse(token, ns::CLIENT));
        let token = token.transpose().map_err(bad)?;
        let additional = login.additional.clone().map(Vec::from);
        match self.welcome(&request, identity, additional, token).await? {
            Login::Established(core) => Ok(core),
            Login::Authenticated(identity) => self.establish(&identity).await,
            // It is here that its account is served.
            Login::Elsewhere(_) => Err(Condition::InternalServerError.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Passage;
    use crate::versions::check;

    #[test]
    fn an_earlier_version_reads_it_and_is_read() {
        check::<Passage>(
            "886f616461406578616d706c652e6f7267821b0000018bcfe56800036b6578616d706c652e6f726762656e6e3139322e302e\
         322e313a35323232443c782f3e834f3c61757468656e7469636174652f3e446d6f7265483c746f6b656e2f3e09",
        );
        // By RFC 6120's profile.
        check::<Passage>(
            "886f616461406578616d706c652e6f7267f66b6578616d706c652e6f7267f66e3139322e302e322e313a3532323240f609",
        );
    }
}
