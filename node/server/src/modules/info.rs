//! Info: what is running here, since when, what time it is, whether anybody is there.
//!
//! Source: XEP-0012 v2.0 (last activity), XEP-0092 v1.1 (version), XEP-0199 v2.0.1 (ping), XEP-0202 v2.0 (time), and the
//! features of what has no module: XEP-0160 §4. Left out: XEP-0012 §4 for a full address, which is the client's answer.
//! Why here: each is a payload and a line or two. An account answers a ping and tells its last activity only to those
//! who see its presence; others cannot even tell whether there is such an account.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{Element, StanzaError, StanzaErrorCondition as Condition, ns, payload::delay::stamp};

use super::{disco::NAME, roster::Rosters};
use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target};

/// The feature of a server that keeps messages for those who are away (XEP-0160).
const OFFLINE: &str = "msgoffline";

/// The module.
pub struct InfoModule {
    rosters: Arc<Rosters>,
    os: Option<String>,
}

impl InfoModule {
    /// Over the rosters; `os` is what is told about the operating system, if anything shall be (XEP-0092 §4).
    pub fn new(rosters: Arc<Rosters>, os: Option<String>) -> Self {
        Self { rosters, os }
    }
}

impl Module for InfoModule {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        let both = [Target::Server, Target::Account];
        for target in both {
            registry.iq(target, ns::PING, Arc::new(Ping(self.rosters.clone())));
            registry.disco(target, ns::PING);
            registry.disco(target, ns::LAST);
        }
        registry.iq(Target::Server, ns::LAST, Arc::new(Uptime));
        registry.iq(
            Target::Account,
            ns::LAST,
            Arc::new(Last(self.rosters.clone())),
        );
        registry.iq(Target::Server, ns::TIME, Arc::new(Time));
        registry.disco(Target::Server, ns::TIME);
        registry.iq(Target::Server, ns::VERSION, self);
        registry.disco(Target::Server, ns::VERSION);
        registry.disco(Target::Server, OFFLINE);
        for (xep, version) in [
            (12, "2.0"),
            (92, "1.1"),
            (160, "1.0.1"),
            (199, "2.0.1"),
            (202, "2.0"),
        ] {
            registry.spec(Spec {
                xep,
                version,
                status: Status::Complete,
            });
        }
    }
}

/// XEP-0092.
#[async_trait]
impl IqHandler for InfoModule {
    async fn handle(&self, iq: &IqRequest, _: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        let child =
            |name: &'static str, text: &str| Element::new(name, ns::VERSION).with_text(text);
        let version = Element::new("query", ns::VERSION)
            .with_child(child("name", NAME))
            .with_child(child("version", env!("CARGO_PKG_VERSION")))
            .with_children(self.os.as_deref().map(|os| child("os", os)));
        Ok(Some(version))
    }
}

/// XEP-0199.
struct Ping(Arc<Rosters>);

#[async_trait]
impl IqHandler for Ping {
    async fn handle(&self, iq: &IqRequest, _: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("ping")?;
        match iq.to.local().is_none() || self.0.shows_presence(&iq.to, &iq.from).await? {
            true => Ok(None),
            false => Err(Condition::ServiceUnavailable.into()),
        }
    }
}

/// XEP-0202.
struct Time;

#[async_trait]
impl IqHandler for Time {
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("time")?;
        let child = |name: &'static str, text: String| Element::new(name, ns::TIME).with_text(text);
        let now = i64::try_from(cx.now_ms()).unwrap_or(i64::MAX);
        let time = Element::new("time", ns::TIME).with_child(child("tzo", "+00:00".to_owned()));
        Ok(Some(time.with_child(child("utc", stamp(now)))))
    }
}

/// XEP-0012 §5: how long the server has been up.
struct Uptime;

#[async_trait]
impl IqHandler for Uptime {
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        Ok(Some(last(u64::from(cx.uptime()))))
    }
}

/// XEP-0012 §3: how long an account has been away, and what it said when it went.
struct Last(Arc<Rosters>);

#[async_trait]
impl IqHandler for Last {
    /// The answer to a stranger, so that it does not tell whether there is such an account.
    fn absent(&self, iq: &IqRequest) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        Err(Condition::Forbidden.into())
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        if !self.0.shows_presence(&iq.to, &iq.from).await? {
            return self.absent(iq);
        }
        if !cx.entries(&iq.to).is_empty() {
            return Ok(Some(last(0)));
        }
        match cx.last_activity(&iq.to).await? {
            Some((since_ms @ 1.., status)) => {
                let away = last(cx.now_ms().saturating_sub(since_ms) / 1_000);
                Ok(Some(away.with_text(status.unwrap_or_default())))
            }
            _ => Err(StanzaError::new(Condition::ItemNotFound, "never seen")),
        }
    }
}

fn last(seconds: u64) -> Element {
    Element::new("query", ns::LAST).with_attr("seconds", seconds.to_string())
}
