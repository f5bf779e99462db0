//! Rosters of a service: one value with a version, changed by compare-and-set.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use storage::{
    Result,
    repository::{Roster, RosterRepository},
};
use xmpp::BareJid;

use super::{
    Http,
    call::{Call, Condition},
    client::Client,
    wire::{RosterOf, Version},
};
use crate::not_allowed;

/// The rosters of a service.
pub struct HttpRosters {
    client: Arc<Client>,
    is_writable: bool,
}

impl HttpRosters {
    /// Of this service. Unless it is writable, every change answers `NotAllowed` here already.
    pub fn new(http: &Http, is_writable: bool) -> Self {
        Self {
            client: http.client.clone(),
            is_writable,
        }
    }
}

#[async_trait]
impl RosterRepository for HttpRosters {
    fn is_writable(&self, _: &str) -> bool {
        self.is_writable
    }

    /// One request.
    async fn load(&self, owner: &BareJid) -> Result<Roster> {
        let call = Call::get(&["rosters", owner.as_str()]);
        match self.client.find(call).await? {
            None => Ok(Roster::default()),
            Some(answer) => answer.json::<RosterOf>()?.roster(),
        }
    }

    /// One request.
    async fn store(&self, owner: &BareJid, roster: &Roster, seen_version: u64) -> Result<u64> {
        if !self.is_writable {
            return Err(not_allowed("rosters of this domain are kept by a service"));
        }
        let call = Call::new(Method::PUT, &["rosters", owner.as_str()])
            .if_seen(Condition::seen(seen_version))
            .with_body(&RosterOf::of(roster)?);
        let answer = self.client.change(call).await?;
        Ok(answer.json::<Version>()?.version)
    }
}
