//! Systems that keep some features and are no stores of records: directories, services of the operator's own.

mod https;
mod keys;
mod ldap;

pub use https::HttpsStore;
pub use ldap::LdapStore;

use super::{super::reader::Section, Feature};

/// Another system that keeps something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum External {
    /// A directory.
    Ldap(Box<LdapStore>),
    /// A service over HTTPS.
    Https(Box<HttpsStore>),
}

/// Which kinds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ldap,
    Https,
}

impl External {
    /// What it can keep.
    pub fn features(&self) -> &'static [Feature] {
        match self {
            Self::Ldap(_) => Kind::Ldap.features(),
            Self::Https(_) => Kind::Https.features(),
        }
    }

    /// Whether it says which of its entries are groups.
    pub fn has_groups(&self) -> bool {
        match self {
            Self::Ldap(store) => !store.groups.roster_filter.is_empty(),
            Self::Https(_) => false,
        }
    }

    /// Whether it has no keys: then who logs in must show it the password.
    pub fn verifies_passwords(&self) -> bool {
        match self {
            Self::Ldap(_) => true,
            Self::Https(store) => store.accounts.scram.is_empty(),
        }
    }
}

impl Kind {
    pub(super) fn features(self) -> &'static [Feature] {
        match self {
            Self::Ldap => &[Feature::Accounts, Feature::Vcards, Feature::Groups],
            Self::Https => &[Feature::Accounts, Feature::Rosters, Feature::Messages],
        }
    }

    /// Reads the keys of such a system. `None`: this build does not know it.
    pub(super) fn read(self, section: &mut Section<'_>) -> Option<External> {
        Some(match self {
            Self::Ldap => External::Ldap(Box::new(ldap::read(section))),
            Self::Https => External::Https(Box::new(https::read(section))),
        })
    }
}
