//! The message archive: an account reads back what it sent and received.
//!
//! Source: XEP-0313 v1.1.3 (queries, metadata), XEP-0441 v0.2.0 (preferences), XEP-0424 v0.4.2 (tombstones). What is
//! archived says `pipeline::archive_rule`; the account's home writes it.
//! The archive is the account's log (`storage::repository::log`): an id is the log's number in decimal, so it is unique,
//! never reused, ordered as the account saw the messages, and a page is one read. It can be guessed, which XEP-0313 §3
//! would rather not have; it tells nothing that the archive's owner, the only one who may ask, does not know.
//! Left out: archives of pubsub nodes (XEP-0442), pages by position.

pub mod preferences;
pub mod preferences_xml;
pub mod query;
pub mod retraction;
pub mod scan;
#[cfg(test)]
mod tests;
pub mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use storage::{
    ErrorKind,
    repository::{ArchivePreferences, ArchivePreferencesRepository, LogRepository},
};
use xmpp::{BareJid, Element, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

pub use retraction::{Retraction, apply_retraction};

use self::{query::Query, scan::Scan};
use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target};

const SPECS: [Spec; 3] = [
    Spec {
        xep: 313,
        version: "1.1.3",
        status: Status::Partial("archives of accounts and of rooms"),
    },
    Spec {
        xep: 424,
        version: "0.4.2",
        status: Status::Complete,
    },
    Spec {
        xep: 441,
        version: "0.2.0",
        status: Status::Complete,
    },
];
/// Attempts of a change of preferences against others.
const MAX_ATTEMPTS: usize = 8;

/// The module.
pub struct Archive {
    logs: Arc<dyn LogRepository>,
    preferences: Arc<dyn ArchivePreferencesRepository>,
    page: usize,
}

impl Archive {
    /// Over the logs and the preferences; a page has at most `page` messages, and as many if a client says nothing.
    pub fn new(
        logs: Arc<dyn LogRepository>,
        preferences: Arc<dyn ArchivePreferencesRepository>,
        page: usize,
    ) -> Self {
        Self {
            logs,
            preferences,
            page: page.max(1),
        }
    }

    async fn query(&self, iq: &IqRequest, cx: &Context) -> Result<Element, StanzaError> {
        let query = Query::parse(&iq.payload)?;
        let scan = Scan {
            logs: &*self.logs,
            archive: &iq.to,
            query: &query,
        };
        let page = scan.page(self.page).await?;
        let send = |entry| {
            let bytes = xml::result(entry, &iq.to, iq.from.as_str(), query.queryid.as_deref());
            match &iq.session {
                // The reply goes the same way, behind them.
                Some(handle) => cx.push(handle.session, bytes),
                None => {
                    if let Ok(stanza) = Stanza::parse(bytes) {
                        cx.route(stanza);
                    }
                }
            }
        };
        if query.flipped {
            page.entries.iter().rev().for_each(send);
        } else {
            page.entries.iter().for_each(send);
        }
        Ok(xml::fin_element(&page))
    }

    async fn prefs(&self, owner: &BareJid) -> Result<Element, StanzaError> {
        let preferences = self
            .preferences
            .load(owner)
            .await?
            .unwrap_or_else(preferences_xml::unsaid);
        Ok(preferences_xml::prefs_element(&preferences))
    }

    async fn set_prefs(
        &self,
        owner: &BareJid,
        prefs: &Element,
        cx: &Context,
    ) -> Result<Element, StanzaError> {
        let wanted = preferences_xml::parse_prefs(prefs)?;
        for _ in 0..MAX_ATTEMPTS {
            let seen = self
                .preferences
                .load(owner)
                .await?
                .map_or(0, |known| known.version);
            match self.preferences.store(owner, &wanted, seen).await {
                Ok(version) => {
                    let result = preferences_xml::prefs_element(&wanted);
                    cx.preferences_changed(
                        owner,
                        Arc::new(ArchivePreferences { version, ..wanted }),
                    );
                    return Ok(result);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(crate::home::wait(
            "the preferences are being changed by others",
        ))
    }
}

/// The two ends of an archive (XEP-0313 §5.2).
///
/// # Errors
/// The store did not answer.
pub async fn metadata(logs: &dyn LogRepository, archive: &BareJid) -> Result<Element, StanzaError> {
    let query = Query::default();
    let scan = Scan {
        logs,
        archive,
        query: &query,
    };
    Ok(xml::metadata_element(scan.ends().await?))
}

impl Module for Archive {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::MAM, self);
        // XEP-0313 §7: the archive announces itself; XEP-0424 §2 asks it of the server as well.
        for feature in [
            ns::MAM,
            ns::MAM_EXTENDED,
            ns::MAM_GROUPCHAT_FIELD,
            ns::SID,
            ns::RETRACT,
            ns::RETRACT_TOMBSTONE,
        ] {
            registry.disco(Target::Account, feature);
        }
        registry.disco(Target::Server, ns::RETRACT);
        registry.disco(Target::Server, ns::RETRACT_TOMBSTONE);
        for spec in SPECS {
            registry.spec(spec);
        }
    }
}

#[async_trait]
impl IqHandler for Archive {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        let answer = match (iq.payload.name(), iq.is_set()) {
            ("query", true) => self.query(iq, cx).await?,
            ("query", false) => query::fields_element(),
            ("metadata", false) => metadata(&*self.logs, &iq.to).await?,
            ("prefs", false) => self.prefs(&iq.to).await?,
            ("prefs", true) => self.set_prefs(&iq.to, &iq.payload, cx).await?,
            _ => return Err(Condition::BadRequest.into()),
        };
        Ok(Some(answer))
    }
}
