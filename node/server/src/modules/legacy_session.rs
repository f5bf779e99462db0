//! The session request of RFC 3921 §3, which RFC 6121 dropped and older clients still send: it does nothing.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{Element, StanzaError, ns};

use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Target};

/// The module.
pub struct LegacySession;

impl Module for LegacySession {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::SESSION, self.clone());
        registry.iq(Target::Server, ns::SESSION, self);
    }
}

#[async_trait]
impl IqHandler for LegacySession {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, _iq: &IqRequest, _cx: &Context) -> Result<Option<Element>, StanzaError> {
        Ok(None)
    }
}
