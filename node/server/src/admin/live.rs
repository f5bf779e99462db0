//! What administration needs of a node that runs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use xmpp::{BareJid, StanzaError, StreamError, StreamErrorCondition as Condition};

use crate::{
    c2s::parking::end_parked,
    module::{Context, Outlet},
    routing::Router,
};

/// Time for sessions to save what they hold.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether they are gone.
const LOOK: Duration = Duration::from_millis(20);

/// A node that runs.
#[async_trait]
pub trait Live: Send + Sync {
    /// Ends the sessions of an account, parked ones too, at the node that serves it; here it waits a moment for them to be gone.
    /// How many there were.
    ///
    /// # Errors
    /// That node does not answer: to be repeated.
    async fn end_sessions(&self, account: &BareJid, reason: &str) -> Result<usize, StanzaError>;
    /// What acts on accounts are given of it.
    fn context(&self) -> Context;
}

#[async_trait]
impl Live for Arc<Router> {
    async fn end_sessions(&self, account: &BareJid, reason: &str) -> Result<usize, StanzaError> {
        // RFC 6120 §4.9.3.12: what is allowed to this client has changed.
        let error = StreamError::new(Condition::NotAuthorized, reason);
        let entries = Outlet::entries(self, account);
        for entry in &*entries {
            self.end_session(entry.session, error.clone());
        }
        end_parked(self, account);
        let gone = async {
            while !Outlet::entries(self, account).is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, gone).await.is_err() {
            tracing::warn!("sessions of an account are slow to end");
        }
        Ok(entries.len() + Outlet::end_elsewhere(self, account, None, &error).await?)
    }

    fn context(&self) -> Context {
        Router::context(self)
    }
}
