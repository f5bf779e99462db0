//! Resource binding (RFC 6120 §7) and resumption (XEP-0198 §5), whichever profile asks for them.

use std::sync::Arc;

use xmpp::{BareJid, Element, StanzaError};

use super::session::SessionCore;
use crate::routing::Router;

/// Who a stream was authenticated as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: BareJid,
    /// It exists as long as its session (XEP-0175).
    pub anonymous: bool,
}

/// A session that goes on over a new connection.
pub struct Resumed {
    /// The session.
    pub core: Box<SessionCore>,
    /// `<resumed/>`; what the client lacks is sent by the session itself once it runs.
    pub element: Element,
}

/// Binds a resource; made up if none is asked for. The session that had it ends, or this one is refused or renamed, as
/// configured.
///
/// # Errors
/// `conflict`, `resource-constraint` (too many sessions of the account), `bad-request` (no resourcepart), `wait` if the
/// account cannot be read.
pub async fn bind(router: &Arc<Router>, identity: &Identity, resource: Option<&str>) -> Result<Box<SessionCore>, StanzaError> {
    let _ = (router, identity, resource);
    todo!()
}

/// Resumes a session of this account by its SM id; `Err` is the `<failed/>` to answer with (with `h` if it is known).
pub async fn resume(router: &Arc<Router>, identity: &Identity, previd: &str, h: u32) -> Result<Resumed, Element> {
    let _ = (router, identity, previd, h);
    todo!()
}
