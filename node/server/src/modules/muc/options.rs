//! What an operator says of multi-user chat.

use std::time::Duration;

use xmpp::{BareJid, Jid};

use super::room::Policy;
use crate::config::Circle;

/// The options.
#[derive(Debug, Clone)]
pub struct Options {
    /// The services, each with a domain of its own.
    pub services: Vec<String>,
    /// The domains whose accounts are ours.
    pub domains: Vec<String>,
    /// Who administers the server.
    pub admins: Vec<BareJid>,
    /// Who may make rooms.
    pub create: Circle,
    /// Rooms that one account may have made at a time, administrators apart; 0: as many as it likes. Of two that are made at
    /// once both may be one too many.
    pub per_user: u32,
    /// What the services allow their rooms.
    pub policy: Policy,
    /// How long after something was said it is published; `None`: nothing is.
    pub pages: Option<Duration>,
    /// The URL below which pages can be read.
    pub pages_url: Option<String>,
    /// Rooms in memory at most.
    pub loaded: usize,
    /// Messages of one page of an archive.
    pub page: usize,
}

impl Options {
    /// Whether somebody may make a room.
    pub fn may_create(&self, who: &Jid) -> bool {
        self.create.has(who, &self.domains, &self.admins)
    }

    /// Whether somebody administers the server.
    pub fn is_admin(&self, who: &Jid) -> bool {
        let mut admins = self.admins.iter();
        admins.any(|admin| admin.as_str() == who.bare_str())
    }
}
