//! In a build without directories and services: naming one is a mistake.

use super::{
    super::reader::{Section, Wrong},
    Feature,
};

/// Another system that keeps something: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum External {}

/// Which kinds there would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ldap,
    Https,
}

impl External {
    /// What it can keep.
    pub fn features(&self) -> &'static [Feature] {
        match *self {}
    }

    /// Whether it says which of its entries are groups.
    pub fn has_groups(&self) -> bool {
        match *self {}
    }

    /// Whether it has no keys: then who logs in must show it the password.
    pub fn verifies_passwords(&self) -> bool {
        match *self {}
    }
}

impl Kind {
    pub(super) fn features(self) -> &'static [Feature] {
        &[]
    }

    /// `None`: this build does not know it.
    pub(super) fn read(self, section: &mut Section<'_>) -> Option<External> {
        let wrong = "this starling was built without directories and services";
        let wrong = Wrong::new(wrong, "build it with `--features external`");
        section.mistake(None, "backend", wrong);
        section.ignore_rest();
        None
    }
}
