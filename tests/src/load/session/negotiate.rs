//! The way in: stream, TLS, SASL, bind, roster, presence, each step after the last one's answer.
//!
//! Source: RFC 6120 §4-7, RFC 6121 §2.2, §4.2, XEP-0198 §3.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::{Session, refused};
use crate::load::options::{Choice, Security, Target};
use crate::load::scanner::Scanner;
use crate::load::scram::{Exchange, Keys, Mechanism};
use crate::load::stanza::{attribute, contains, name, text};
use crate::load::tls;
use crate::load::wire::Wire;

/// The node whose items a client with [`Profile::caps`] wants to be told of.
pub const INTEREST: &str = "urn:load:pep";

/// What stands for the software in its capabilities.
const SOFTWARE: &str = "urn:load:client";

/// XEP-0115 §5.1: what a client can do, as it is hashed.
fn verified() -> String {
    format!("client/bot//load<http://jabber.org/protocol/disco#info<{INTEREST}+notify<")
}

fn available(with_caps: bool) -> String {
    if !with_caps {
        return "<presence/>".to_owned();
    }
    let version = BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, verified().as_bytes()));
    format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{SOFTWARE}' ver='{version}'/></presence>"
    )
}

/// What answers who asks what a client can do: all that [`verified`] has in it.
pub(super) fn info(request: &[u8]) -> String {
    let node = memchr::memmem::find(request, SOFTWARE.as_bytes()).map(|from| {
        let rest = &request[from..];
        let end = rest.iter().position(|byte| matches!(byte, b'\'' | b'"'));
        String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())])
    });
    let node = node.map_or(String::new(), |node| format!(" node='{node}'"));
    format!(
        "<query xmlns='http://jabber.org/protocol/disco#info'{node}>\
         <identity category='client' type='bot' name='load'/>\
         <feature var='http://jabber.org/protocol/disco#info'/><feature var='{INTEREST}+notify'/></query>"
    )
}

/// What all sessions of a run share.
pub struct World {
    /// The server and the accounts.
    pub target: Target,
    /// Derived SCRAM keys.
    pub keys: Keys,
    pub(super) tls: Arc<ClientConfig>,
}

impl World {
    /// Prepares TLS and reads the kept keys.
    ///
    /// # Errors
    /// What [`tls::client_config`] says.
    pub fn new(target: Target) -> io::Result<Arc<Self>> {
        let keys = Keys::open(target.keys.clone());
        let tls = tls::client_config(target.tls == Security::Direct)?;
        Ok(Arc::new(Self { target, keys, tls }))
    }
}

/// How far a login goes.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The resource to ask for.
    pub resource: String,
    /// Ask for the roster.
    pub roster: bool,
    /// Become available.
    pub presence: bool,
    /// Count stanzas (XEP-0198).
    pub acks: bool,
    /// Say with its presence what it can do: be told of [`INTEREST`] (XEP-0115).
    pub caps: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            resource: "load".to_owned(),
            roster: true,
            presence: true,
            acks: false,
            caps: false,
        }
    }
}

impl Session {
    /// Connects account `index` and opens a stream that is private as the target says; returns its features.
    ///
    /// # Errors
    /// The kernel's, TLS's or the server's refusal.
    pub async fn connect(world: &World, index: u32) -> io::Result<(Self, Vec<u8>)> {
        let target = &world.target;
        let mut session =
            Self::raw(Wire::connect(target.source(index), target.address(index)).await?);
        let host = || ServerName::try_from(target.domain.clone()).map_err(io::Error::other);
        if target.tls == Security::Direct {
            session.wire.secure(world.tls.clone(), host()?).await?;
        }
        let mut features = session.open(&target.domain).await?;
        if target.tls == Security::Starttls {
            session
                .send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                .await?;
            session.expect("proceed").await?;
            session.scanner = Scanner::default();
            session.wire.secure(world.tls.clone(), host()?).await?;
            features = session.open(&target.domain).await?;
        }
        Ok((session, features))
    }

    /// Logs account `index` in, within the target's patience.
    ///
    /// # Errors
    /// `TimedOut`, or what refused.
    pub async fn login(world: &World, index: u32, profile: &Profile) -> io::Result<Self> {
        let attempt = Box::pin(Self::negotiate(world, index, profile));
        let result = timeout(world.target.patience(), attempt)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        result.map_err(|error| {
            io::Error::new(error.kind(), format!("login of account {index}: {error}"))
        })
    }

    async fn negotiate(world: &World, index: u32, profile: &Profile) -> io::Result<Self> {
        let (mut session, features) = Self::connect(world, index).await?;
        session.authenticate(world, index, &features).await?;
        session.scanner.restart();
        let features = session.open(&world.target.domain).await?;

        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{}</resource></bind></iq>",
            profile.resource
        );
        let bound = session.request(&bind, "bind").await?;
        let jid = text(&bound, "<jid>").ok_or_else(|| refused("bind", &bound))?;
        session.jid = String::from_utf8_lossy(jid).into_owned();
        // RFC 3921 §3; optional since RFC 6121.
        if contains(&features, "urn:ietf:params:xml:ns:xmpp-session")
            && !contains(&features, "<optional")
        {
            let establish = "<iq type='set' id='sess'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
            session.request(establish, "sess").await?;
        }
        if profile.acks {
            session.send(b"<enable xmlns='urn:xmpp:sm:3'/>").await?;
            session.expect("enabled").await?;
            session.handled = Some(0);
        }
        if profile.roster {
            let roster = session
                .request(
                    "<iq type='get' id='rost'><query xmlns='jabber:iq:roster'/></iq>",
                    "rost",
                )
                .await?;
            session.mutual = mutual(&roster);
        }
        if profile.presence {
            session.send(available(profile.caps).as_bytes()).await?;
            session.own_presence().await?;
        }
        Ok(session)
    }

    /// RFC 6121 §4.4.2: the server shows the resource its own presence.
    async fn own_presence(&mut self) -> io::Result<()> {
        loop {
            let stanza = self.next().await?;
            if name(&stanza) == b"presence"
                && attribute(&stanza, "from") == Some(self.jid.as_bytes())
            {
                return Ok(());
            }
        }
    }

    async fn authenticate(&mut self, world: &World, index: u32, features: &[u8]) -> io::Result<()> {
        let target = &world.target;
        let offered =
            |mechanism: &Mechanism| contains(features, &format!(">{}<", mechanism.name()));
        let mechanism = match target.mechanism {
            Choice::Only(mechanism) => mechanism,
            Choice::Best => Mechanism::ALL
                .into_iter()
                .find(offered)
                .ok_or_else(|| refused("no mechanism in", features))?,
        };
        let user = target.users.localpart(index);
        let mut exchange = Exchange::new(&world.keys, mechanism, &user, &target.users.password)?;
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>",
            mechanism.name(),
            exchange.initial()
        );
        self.send(auth.as_bytes()).await?;
        loop {
            let answer = self.next().await?;
            let payload = text(&answer, ">").unwrap_or_default();
            match name(&answer) {
                b"success" => return exchange.finish(payload),
                b"challenge" => {
                    let response = exchange.respond(payload)?;
                    let response = format!(
                        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{response}</response>"
                    );
                    self.send(response.as_bytes()).await?;
                }
                _ => return Err(refused("authentication", &answer)),
            }
        }
    }

    /// Opens a stream and waits for its features.
    async fn open(&mut self, domain: &str) -> io::Result<Vec<u8>> {
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
        );
        self.send(header.as_bytes()).await?;
        self.expect("stream:features").await
    }
}

fn mutual(roster: &[u8]) -> usize {
    memchr::memmem::find_iter(roster, b"subscription='both'").count()
        + memchr::memmem::find_iter(roster, b"subscription=\"both\"").count()
}
