//! Negotiation: a client from the accepted connection to a bound or resumed session, one step after the other.
//!
//! Source: RFC 6120 §4 to §7; XEP-0368, 0388. The steps: PROXY header, TLS, stream header, features, STARTTLS,
//! authentication (`authenticate`, `sasl2`, `fast`), registration (`register`), binding or resumption.
//! Why one deadline: it bounds every wait for the client, not the work that we do for it, so that nothing half-done (a
//! session taken over, a token counted) is dropped with a cancelled future.
//! Stored: nothing of its own; see `gate`.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use rustls::pki_types::UnixTime;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, Span, field};
use xmpp::{
    BareJid, Element, Fragment, StreamErrorCondition as Condition, codec::StreamHeader, ns,
    sasl::ChannelBindings,
};

use super::{
    bind::Identity,
    establish::refuse,
    features::{self, Offer},
    header,
    passage::Passage,
    session::{self, SessionCore},
    stream::{End, Stream},
};
use crate::{
    config::Security,
    modules::disco::caps::server_caps,
    net::{Accepted, Acceptor, Permit, Pipe, Transport},
    random,
    routing::Router,
    shutdown::Stopping,
};

/// What connections of one listener share.
pub struct ListenerContext {
    /// How they begin.
    pub security: Security,
    /// TLS by STARTTLS.
    pub starttls: Option<Arc<Acceptor>>,
    /// TLS from the first byte.
    pub direct: Option<Arc<Acceptor>>,
}

/// A client while it is negotiated with.
pub(super) struct Client {
    pub(super) router: Arc<Router>,
    listener: Arc<ListenerContext>,
    pub(super) stream: Stream,
    pub(super) stopping: Stopping,
    deadline: Instant,
    /// The domain it speaks to; empty before its first header.
    pub(super) domain: String,
    /// Who it says it is.
    pub(super) from: Option<BareJid>,
    /// The language of its stream, if it names one.
    pub(super) lang: Option<Box<str>>,
    /// What its TLS connection can be bound to.
    pub(super) bindings: ChannelBindings,
    /// Whom its certificate vouches for.
    pub(super) external: Vec<BareJid>,
    /// What it may choose from.
    pub(super) offer: Offer,
    /// Logins that failed on this connection.
    pub(super) failed: u32,
    /// Requests to make an account on this connection.
    pub(super) registrations: u32,
    /// One of them made one.
    pub(super) registered: bool,
}

/// What negotiation came to.
enum Step {
    /// STARTTLS was agreed on.
    Secure,
    /// A session.
    Established(Box<SessionCore>),
    /// A login; another node serves the account.
    Elsewhere(Box<Passage>),
}

/// What SASL2 came to.
pub(super) enum Login {
    /// A resource is still to be bound.
    Authenticated(Identity),
    /// A resource was bound, or a session resumed, in the same step.
    Established(Box<SessionCore>),
    /// Another node serves the account.
    Elsewhere(Box<Passage>),
}

/// Serves one connection until it has a session, which goes on by itself. To be spawned, boxed.
pub async fn serve(
    router: Arc<Router>,
    accepted: Accepted,
    listener: Arc<ListenerContext>,
    stopping: Stopping,
) {
    let id = format!("{:016x}", random::number());
    let span = tracing::info_span!(
        "connection",
        session.id = id,
        peer = field::Empty,
        jid = field::Empty
    );
    run(router, accepted, listener, stopping)
        .instrument(span)
        .await;
}

/// The same for a connection that another task holds; it has no TLS.
pub async fn serve_pipe(router: Arc<Router>, pipe: Pipe, peer: SocketAddr, stopping: Stopping) {
    let listener = Arc::new(ListenerContext {
        security: Security::StartTls { required: false },
        starttls: None,
        direct: None,
    });
    let deadline = Instant::now() + router.config.auth.negotiation_timeout;
    let opened = (Transport::piped(pipe, peer), peer, None);
    talk(router, opened, listener, stopping, deadline).await;
}

async fn run(
    router: Arc<Router>,
    accepted: Accepted,
    listener: Arc<ListenerContext>,
    stopping: Stopping,
) {
    let deadline = Instant::now() + router.config.auth.negotiation_timeout;
    let (transport, peer, permit) = match timeout_at(deadline, open(accepted, &listener)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return tracing::debug!(%error, "connection refused"),
        Err(_) => return tracing::debug!("no connection within the time"),
    };
    let opened = (transport, peer, Some(permit));
    talk(router, opened, listener, stopping, deadline).await;
}

/// Negotiates over a connection that is usable.
async fn talk(
    router: Arc<Router>,
    (transport, peer, permit): (Transport, SocketAddr, Option<Permit>),
    listener: Arc<ListenerContext>,
    stopping: Stopping,
    deadline: Instant,
) {
    Span::current().record("peer", field::display(peer));
    router.metrics.connections.inc();
    let stream = Stream::new(transport, peer, router.config.limits.before_auth);
    let mut client = Client::new(router, listener, stream, stopping, deadline);
    loop {
        match client.negotiate().await {
            Ok(Step::Established(core)) => return client.start(permit, core),
            Ok(Step::Elsewhere(passage)) => {
                return Box::pin(client.carry(permit, *passage)).await;
            }
            Ok(Step::Secure) => match client.secure().await {
                Ok(secured) => client = secured,
                Err(error) => return tracing::debug!(%error, "no TLS"),
            },
            Err(end) => return client.close(end).await,
        }
    }
}

/// Makes the connection usable: the address of the client is known, and TLS speaks if it is to from the first byte.
async fn open(
    accepted: Accepted,
    listener: &ListenerContext,
) -> io::Result<(Transport, SocketAddr, Permit)> {
    let (transport, peer, permit) = accepted.open().await?;
    let transport = match (listener.security, &listener.direct) {
        (Security::StartTls { .. }, _) => transport,
        (Security::Direct, Some(acceptor)) => transport.accept_tls(acceptor, None, b"").await?,
        (Security::Direct, None) => {
            return Err(io::Error::other("a listener for TLS without certificates"));
        }
    };
    Ok((transport, peer, permit))
}

/// Waits for the client: until the deadline, or until the server stops.
async fn patiently<T>(
    deadline: Instant,
    stopping: &mut Stopping,
    next: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    tokio::select! {
        biased;
        () = stopping.wait() => Err(Condition::SystemShutdown.into()),
        next = timeout_at(deadline, next) => next.unwrap_or_else(|_| Err(Condition::ConnectionTimeout.into())),
    }
}

impl Client {
    fn new(
        router: Arc<Router>,
        listener: Arc<ListenerContext>,
        stream: Stream,
        stopping: Stopping,
        deadline: Instant,
    ) -> Self {
        Self {
            router,
            listener,
            stream,
            stopping,
            deadline,
            domain: String::new(),
            from: None,
            lang: None,
            bindings: ChannelBindings::default(),
            external: Vec::new(),
            offer: Offer::default(),
            failed: 0,
            registrations: 0,
            registered: false,
        }
    }

    /// One that has logged in at another node: nothing is left to be offered or secured.
    pub(super) fn passed(router: Arc<Router>, stream: Stream, stopping: Stopping) -> Self {
        let deadline = Instant::now() + router.config.auth.negotiation_timeout;
        let listener = Arc::new(ListenerContext {
            security: Security::Direct,
            starttls: None,
            direct: None,
        });
        Self::new(router, listener, stream, stopping, deadline)
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The next element of the client, once it has taken what we sent: who does not read cannot ask for more.
    pub(super) async fn element(&mut self) -> Result<Fragment, End> {
        let Self {
            stream,
            stopping,
            deadline,
            ..
        } = self;
        let next = async {
            stream.flush().await?;
            stream.element().await
        };
        patiently(*deadline, stopping, next).await
    }

    async fn header(&mut self) -> Result<StreamHeader, End> {
        let Self {
            stream,
            stopping,
            deadline,
            ..
        } = self;
        let next = async {
            stream.flush().await?;
            stream.header().await
        };
        patiently(*deadline, stopping, next).await
    }

    pub(super) fn send(&mut self, element: &Element) -> Result<(), End> {
        Ok(self.stream.send(element)?)
    }

    /// From a stream header to STARTTLS or a session.
    async fn negotiate(&mut self) -> Result<Step, End> {
        self.greet(None).await?;
        self.prepare_offer()?;
        let limits = features::limits(&self.router.config.limits, false);
        self.send(&self.offer.element(limits))?;
        let identity = loop {
            let element = self.element().await?;
            let root = element.root();
            match (root.ns(), root.name()) {
                (ns::TLS, "starttls") => return self.proceed(),
                (ns::SASL, "auth") => {
                    if let Some(identity) = self.classic(root).await? {
                        if self.router.served_elsewhere(&identity.account).is_some() {
                            self.stream.restart();
                            return Ok(Step::Elsewhere(Box::new(Passage::classic(&identity))));
                        }
                        self.restart(&identity).await?;
                        break identity;
                    }
                }
                (ns::SASL2, "authenticate") if self.offer.encrypted => {
                    match self.sasl2(root).await? {
                        Some(Login::Established(core)) => return Ok(Step::Established(core)),
                        Some(Login::Authenticated(identity)) => break identity,
                        Some(Login::Elsewhere(passage)) => return Ok(Step::Elsewhere(passage)),
                        None => {}
                    }
                }
                (ns::CLIENT, "iq")
                    if root.child("query", ns::REGISTER).is_some()
                        && self.offer.starttls != Some(true) =>
                {
                    self.register(root).await?;
                }
                _ => return Err(refuse(root)),
            }
        };
        self.establish(&identity).await.map(Step::Established)
    }

    /// Stream headers both ways (RFC 6120 §4.7); `identity` is who has logged in already.
    async fn greet(&mut self, identity: Option<&Identity>) -> Result<(), End> {
        let header = self.header().await?;
        let greeting = header::check(&header, |domain| self.router.serves(domain))?;
        if let Some(identity) = identity {
            // RFC 6120 §4.9.3.9: it is no longer free to say who it is, or whom it speaks to.
            let other = greeting
                .from
                .as_ref()
                .is_some_and(|from| *from != identity.account);
            if greeting.domain != self.domain || other && !identity.is_anonymous() {
                return Err(Condition::InvalidFrom.into());
            }
        }
        self.domain = greeting.domain;
        self.from = greeting.from;
        self.lang = greeting.lang;
        let to = self.from.as_ref().map(BareJid::as_str);
        self.stream
            .open(&random::token(), &self.domain, to, header::LANGUAGE);
        Ok(())
    }

    fn prepare_offer(&mut self) -> Result<(), End> {
        let config = &self.router.config;
        let (auth, registration) = (&config.auth, config.registration.enabled);
        let accounts = self.router.stores.accounts.capabilities(&self.domain);
        let Some(tls) = self.stream.transport.tls() else {
            let starttls = match self.listener.security {
                Security::StartTls { required } if self.listener.starttls.is_some() => {
                    Some(required)
                }
                Security::StartTls { required: false } => None,
                // Fail closed: TLS is demanded, and there is none.
                _ => return Err(Condition::InternalServerError.into()),
            };
            self.offer = Offer::plain(auth, accounts, starttls, registration);
            return Ok(());
        };
        if let Some(authority) = &self.router.gate.authority {
            self.external = authority.accounts(tls.peer_certificates, UnixTime::now());
            self.external
                .retain(|account| account.domain() == self.domain);
        }
        if let Some(bindings) = self.stream.transport.take_channel_bindings() {
            self.bindings = ChannelBindings {
                exporter: bindings.exporter.map(Into::into),
                server_end_point: bindings.server_end_point,
            };
        }
        self.offer = Offer::encrypted(
            auth,
            accounts,
            &self.bindings,
            !self.external.is_empty(),
            registration,
        );
        Ok(())
    }

    /// STARTTLS (RFC 6120 §5.4.2).
    fn proceed(&mut self) -> Result<Step, End> {
        if self.offer.starttls.is_none() {
            self.send(&Element::new("failure", ns::TLS))?;
            return Err(End::Closed);
        }
        self.send(&Element::new("proceed", ns::TLS))?;
        Ok(Step::Secure)
    }

    async fn secure(self) -> io::Result<Self> {
        let Self {
            listener,
            stream,
            deadline,
            domain,
            ..
        } = self;
        let acceptor = listener
            .starttls
            .as_ref()
            .ok_or_else(|| io::Error::other("no certificates"))?;
        let secured = timeout_at(deadline, stream.secure(acceptor, Some(&domain))).await;
        // What was said before TLS counts no longer (RFC 6120 §5.4.3.3).
        let Ok(stream) = secured else {
            return Err(io::ErrorKind::TimedOut.into());
        };
        Ok(Self {
            stream: stream?,
            listener,
            deadline,
            domain,
            ..self
        })
    }

    /// The stream begins again for whom it now belongs to.
    pub(super) async fn restart(&mut self, identity: &Identity) -> Result<(), End> {
        self.stream.restart();
        self.greet(Some(identity)).await?;
        self.send(&self.features(false))
    }

    /// What is offered once the client is who it says.
    pub(super) fn features(&self, bound: bool) -> Element {
        let limits = features::limits(&self.router.config.limits, true);
        features::authenticated(bound, limits)
            .with_child(server_caps(self.router.registry(), &self.domain))
    }

    pub(super) fn start(self, permit: Option<Permit>, core: Box<SessionCore>) {
        Span::current().record("jid", field::display(core.jid()));
        tracing::debug!("session established");
        session::start(self.router, self.stream, permit, core);
    }

    pub(super) async fn close(self, end: End) {
        // Before the first header it is the main domain that answers (RFC 6120 §4.9.1.2).
        let main = self
            .router
            .config
            .domains
            .first()
            .map_or("", String::as_str);
        let from = if self.domain.is_empty() {
            main
        } else {
            &self.domain
        };
        match end {
            End::Closed => self.stream.close(None, from).await,
            End::Io(error) => tracing::debug!(%error, "connection broken"),
            End::Error(error) => {
                tracing::debug!(%error, "stream refused");
                self.router
                    .metrics
                    .stream_errors
                    .with_label_values(&[error.condition.as_str()])
                    .inc();
                self.stream.close(Some(&error), from).await;
            }
        }
    }
}
