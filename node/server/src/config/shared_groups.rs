//! The section `shared_groups`: contacts that an organisation gives to its people.

use std::time::Duration;

use super::reader::{Section, boolean, duration, number};

/// Shared groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedGroups {
    /// Whether there are any.
    pub enabled: bool,
    /// How often all are read anew, for changes that nobody told of.
    pub refresh: Duration,
    /// Contacts that one account is given at most.
    pub contacts: usize,
}

impl Default for SharedGroups {
    fn default() -> Self {
        Self {
            enabled: true,
            refresh: Duration::from_secs(60),
            contacts: 5_000,
        }
    }
}

impl SharedGroups {
    /// Those of these domains that have any.
    pub fn domains(&self, domains: &[String]) -> Vec<String> {
        match self.enabled {
            true => domains.to_vec(),
            false => Vec::new(),
        }
    }
}

pub(super) fn shared_groups(mut section: Section<'_>, groups: &mut SharedGroups) {
    section.read("enabled", &mut groups.enabled, boolean);
    section.read("refresh", &mut groups.refresh, duration("1s", "1d"));
    section.read("contacts", &mut groups.contacts, number(1, 100_000));
    section.finish();
}
