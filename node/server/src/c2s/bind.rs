//! Resource binding (RFC 6120 §7) and resumption (XEP-0198 §5), whichever profile asks for them.

use std::sync::{Arc, OnceLock, atomic::AtomicU32};

use cluster::directory::{Bound, Conflict, SessionRef};
use parking_lot::Mutex;
use storage::repository::Account;
use xmpp::{
    BareJid, Element, StanzaError, StanzaErrorCondition as Condition, StreamError,
    StreamErrorCondition, ns,
};

use super::{managed, parking::Taken, session::SessionCore};
use crate::{
    home,
    routing::{Mailbox, Order, Router, SessionHandle},
};

/// Who a stream was authenticated as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: BareJid,
    /// The account as it was when that was proven; `None`: it exists as long as its session (XEP-0175).
    pub proof: Option<Proof>,
}

/// What must still be so when a session begins that a proof was for: a minute may lie between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// When the account was made: a later one of its name is another's.
    pub created_ms: u64,
    /// The version of its credentials.
    pub version: u64,
}

impl Proof {
    /// Of an account.
    pub fn of(account: &Account) -> Self {
        Self {
            created_ms: account.created_ms,
            version: account.version,
        }
    }
}

impl Identity {
    /// Whether it exists as long as its session (XEP-0175).
    pub fn is_anonymous(&self) -> bool {
        self.proof.is_none()
    }

    /// Checks that its account is still the one that was proven, and may log in. Asked once others can see the session:
    /// whoever changes the account ends what it sees.
    async fn check(&self, router: &Router) -> Result<(), Refused> {
        let Some(proof) = self.proof else {
            return Ok(());
        };
        let found = router.stores.accounts.load(&self.account).await;
        let account = found.map_err(StanzaError::from)?;
        if account.is_some_and(|now| !now.disabled && Proof::of(&now) == proof) {
            return Ok(());
        }
        Err(Refused::Void)
    }
}

/// Why no session begins.
#[derive(Debug)]
pub enum Refused {
    /// The client is told, and may ask for something else.
    Answer(StanzaError),
    /// What it proved counts no longer: the account was locked or removed, or has other keys.
    Void,
}

impl From<StanzaError> for Refused {
    fn from(error: StanzaError) -> Self {
        Self::Answer(error)
    }
}

impl From<Condition> for Refused {
    fn from(condition: Condition) -> Self {
        Self::Answer(condition.into())
    }
}

impl Refused {
    /// The stream error for a proof that counts no longer (RFC 6120 §4.9.3.12).
    pub fn void() -> StreamError {
        StreamError::new(
            StreamErrorCondition::NotAuthorized,
            "the account has changed since",
        )
    }
}

/// A session that goes on over a new connection.
pub struct Resumed {
    /// The session.
    pub core: Box<SessionCore>,
    /// `<resumed/>`; what the client lacks is sent by the session itself once it runs.
    pub element: Element,
}

/// Binds a resource; made up if none is asked for. The session that had it ends, or this one is refused or renamed, as
/// configured. `client` is what the last part of a resource says of the client that asks (XEP-0386 §5): its own earlier
/// sessions end in any case, whatever their tags were.
///
/// # Errors
/// `conflict`, `resource-constraint` (too many sessions of the account), `bad-request` (no resourcepart), `wait` if the
/// account cannot be read; [`Refused::Void`] if it is not any more what was proven.
pub async fn bind(
    router: &Arc<Router>,
    identity: &Identity,
    resource: Option<&str>,
    client: Option<&str>,
) -> Result<Box<SessionCore>, Refused> {
    let account = &identity.account;
    let made_up = crate::random::token();
    let wanted = resource
        .filter(|resource| !resource.is_empty())
        .unwrap_or(&made_up);
    let bad = |_| StanzaError::new(Condition::BadRequest, "not a resourcepart");
    let full = account.with_resource(wanted).map_err(bad)?;
    let home = if identity.is_anonymous() {
        router.homes.passing(account)
    } else {
        router.homes.get(router, account)
    };
    if !home.exists().await? {
        return Err(Refused::Void);
    }
    let session = SessionRef {
        node: router.node,
        number: router.sessions.next_number(),
    };
    let limits = &router.config.limits;
    let alternative = format!("{wanted}-{}", &made_up[..8]);
    let bound = router.directory.bind(
        account.as_str(),
        full.resource(),
        &alternative,
        session,
        if client.is_some() {
            Conflict::Replace
        } else {
            limits.resource_conflict
        },
        limits.sessions_per_account,
    );
    let jid = match bound {
        Bound::As { resource, replaced } => {
            if let Some(old) = replaced.and_then(|old| router.sessions.get(old.number)) {
                end_replaced(router, &old);
            }
            account.with_resource(&resource).map_err(bad)?
        }
        Bound::Taken => return Err(Condition::Conflict.into()),
        Bound::TooMany => return Err(home::wait("the account has too many sessions").into()),
    };
    let handle = Arc::new(SessionHandle {
        session,
        jid,
        mailbox: Mailbox::default(),
        heard: AtomicU32::new(router.uptime()),
        ending: OnceLock::new(),
        directed: Mutex::default(),
        sm_id: OnceLock::new(),
    });
    router.sessions.insert(handle.clone());
    // Who took the name before this session could be found told nobody.
    let entries = router.entries(account.as_str());
    if !entries.iter().any(|entry| entry.session == session) {
        handle.mailbox.order(Order::End(SessionCore::conflict()));
    }
    if identity.is_anonymous() {
        router.set_flags(&handle, crate::routing::flags::ANONYMOUS, 0);
    }
    // A node that leaves counts what it has left after it has said so: what begins later would end with it.
    let leaving = home.is_leaving() || router.peers.is_leaving();
    let core = SessionCore::new(router.clone(), handle, home, identity.is_anonymous());
    let core = Box::new(core);
    if leaving {
        core.end(None);
        return Err(home::wait("the account is moving to another node").into());
    }
    if let Err(refused) = identity.check(router).await {
        core.end(None);
        return Err(refused);
    }
    if let Some(client) = client {
        end_earlier(router, &core.handle, client);
    }
    Ok(core)
}

/// XEP-0386 §4: a client has one session. Those that it left behind, under other tags, end.
fn end_earlier(router: &Router, new: &SessionHandle, client: &str) {
    let of_client = |resource: &str| resource.rsplit('/').next() == Some(client);
    for entry in router.entries(new.jid.bare_str()).iter() {
        if entry.session != new.session
            && of_client(&entry.resource)
            && let Some(old) = router.sessions.get(entry.session.number)
        {
            end_replaced(router, &old);
        }
    }
}

fn end_replaced(router: &Router, old: &Arc<SessionHandle>) {
    if let Some(parked) = router.parked.take_parked(old) {
        parked.end(None);
    } else {
        old.mailbox.order(Order::End(SessionCore::conflict()));
    }
}

/// Resumes a session of this account by its SM id; `Err` is the `<failed/>` to answer with (with `h` if it is known).
pub async fn resume(
    router: &Arc<Router>,
    identity: &Identity,
    previd: &str,
    h: u32,
) -> Result<Resumed, Element> {
    let outcome = |label| router.metrics.resumptions.with_label_values(&[label]).inc();
    // The session is seen all the time: whoever changes the account after this ends it.
    if let Err(refused) = identity.check(router).await {
        outcome("refused");
        let condition = match refused {
            // It may ask for a resource now, and is told then.
            Refused::Void => "not-authorized",
            Refused::Answer(_) => "resource-constraint",
        };
        return Err(managed::failed(condition, None));
    }
    // A session that came with its account's home from another node is known when that is loaded.
    let home = router.homes.get(router, &identity.account);
    if home.exists().await.is_err() {
        outcome("refused");
        return Err(managed::failed("resource-constraint", None));
    }
    let mut core = match router.parked.take(previd, &identity.account).await {
        Taken::Session(core) => core,
        Taken::Absent => {
            outcome("not_found");
            let handled = router.parked.handled_by(previd, &identity.account);
            let cause = match handled {
                Some(_) => "ended",
                None => router.peers.missing(identity.account.as_str()),
            };
            let missed = &router.metrics.resumptions_missed;
            missed.with_label_values(&[cause]).inc();
            let account = &identity.account;
            tracing::info!(%account, cause, "a session to be resumed is not here");
            return Err(managed::failed("item-not-found", handled));
        }
        Taken::Busy => {
            outcome("busy");
            return Err(managed::failed("resource-constraint", None));
        }
    };
    // Whatever its former connection was about to bring comes over this one.
    core.carried = None;
    let handled = core.inbound.h();
    let Some(mut managed) = core.managed.take() else {
        core.end(None);
        return Err(managed::failed("item-not-found", None));
    };
    let acknowledged: Option<Vec<u64>> = managed
        .outbound
        .ack(h)
        .ok()
        .map(|acknowledged| acknowledged.filter_map(|(sent, _)| sent.number()).collect());
    let Some(acknowledged) = acknowledged else {
        core.managed = Some(managed);
        if core.is_unproven() {
            // Its home gave it more than it told. What is not known to be delivered is for its next session.
            outcome("outdated");
            core.end(None);
            return Err(managed::failed("item-not-found", None));
        }
        // The client is out of step. The session stays: it may come with the right count.
        outcome("too_high");
        super::parking::park(core).await;
        return Err(managed::failed("unexpected-request", Some(handled)));
    };
    if !acknowledged.is_empty() {
        core.home.acknowledge(router, &acknowledged);
    }
    // What it has not acknowledged is sent again, before what has come since, and counts from `h` on.
    let (managed, again) = managed.resumed(handled, router.config.stream_management.queue);
    // XEP-0352 §5.2: a client that resumes is active.
    core.set_active();
    for sent in again.into_iter().rev() {
        core.backlog.push_front(sent.into());
    }
    core.put_refusals_first();
    core.managed = Some(Box::new(managed));
    core.settled = handled;
    core.awaits_repeats();
    core.handle.mailbox.attach();
    router.parked.insert_live(&core.handle);
    router.heard(&core.handle);
    outcome("resumed");
    let element = Element::new("resumed", ns::SM)
        .with_attr("previd", previd)
        .with_attr("h", handled.to_string());
    Ok(Resumed { core, element })
}
