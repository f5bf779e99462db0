//! The layout of a domain: which place, or which system elsewhere, keeps what.
//!
//! Accounts always have a record in a place: accounts of another system have a shadow there
//! ([`ShadowedAccounts`]), which says when they were first seen, holds their tokens and bears the mark of their erasure.
//! What is kept beside that record is guarded by it; what is kept in another place, by the mark that an erasure puts there.

use std::{sync::Arc, time::Duration};

use super::place::Place;
use crate::{
    clock::SystemClock,
    layer::{Class, Guarded},
    repository::{
        AccountRepository, ArchivePreferencesRepository, BlobCertificates, CertificateRepository,
        LogRepository, MailboxRepository, Pages, PrivacyRepository, PrivateXmlRepository,
        PubsubRepository, RoomRepository, RosterRepository, ShadowedAccounts, TableAccounts,
        TableArchivePreferences, TableMailboxes, TablePrivacy, TableRooms, VcardRepository,
    },
    shape::Table,
    sweep::Sweep,
};

/// Who keeps something.
pub enum Kept<R: ?Sized> {
    /// A place.
    In(Place),
    /// A system that fits no shape.
    By(Arc<R>),
}

impl<R: ?Sized> Clone for Kept<R> {
    fn clone(&self) -> Self {
        match self {
            Self::In(place) => Self::In(place.clone()),
            Self::By(repository) => Self::By(repository.clone()),
        }
    }
}

impl<R: ?Sized> Kept<R> {
    /// The place, if it is one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::In(place) => Some(place),
            Self::By(_) => None,
        }
    }
}

/// Who keeps what of a domain.
#[derive(Clone)]
pub struct Layout {
    /// The records of accounts, and tokens.
    pub accounts: Place,
    /// Who knows the accounts, if it is not those records.
    pub authority: Option<Arc<dyn AccountRepository>>,
    /// Rosters.
    pub rosters: Kept<dyn RosterRepository>,
    /// Logs.
    pub messages: Kept<dyn LogRepository>,
    /// How far logs were handed over, and archive preferences: with the logs if these are in a place.
    pub mailboxes: Place,
    /// Privacy and block lists.
    pub privacy: Place,
    /// Private XML, and pubsub nodes.
    pub private_xml: Place,
    /// vCards.
    pub vcards: Kept<dyn VcardRepository>,
}

/// Whether writes ask if there is the account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarding {
    On,
    Off,
}

/// The repositories of a domain.
pub(super) struct Repositories {
    pub(super) accounts: Arc<dyn AccountRepository>,
    pub(super) rosters: Arc<dyn RosterRepository>,
    pub(super) logs: Arc<dyn LogRepository>,
    pub(super) archives: Arc<dyn LogRepository>,
    pub(super) mailboxes: Arc<dyn MailboxRepository>,
    pub(super) privacy: Arc<dyn PrivacyRepository>,
    pub(super) private: Arc<dyn PrivateXmlRepository>,
    pub(super) pubsub: Arc<dyn PubsubRepository>,
    pub(super) vcards: Arc<dyn VcardRepository>,
    pub(super) archive_preferences: Arc<dyn ArchivePreferencesRepository>,
}

impl Layout {
    /// Everything in one place.
    pub fn all_in(place: Place) -> Self {
        Self {
            authority: None,
            rosters: Kept::In(place.clone()),
            messages: Kept::In(place.clone()),
            mailboxes: place.clone(),
            privacy: place.clone(),
            private_xml: place.clone(),
            vcards: Kept::In(place.clone()),
            accounts: place,
        }
    }

    /// Every place that keeps something, that of the accounts first, each once.
    pub(super) fn places(&self) -> Vec<&Place> {
        let kept = [
            Some(&self.accounts),
            self.rosters.place(),
            self.messages.place(),
            Some(&self.mailboxes),
            Some(&self.privacy),
            Some(&self.private_xml),
            self.vcards.place(),
        ];
        let mut places: Vec<&Place> = Vec::new();
        for place in kept.into_iter().flatten() {
            if !places.iter().any(|known| known.is(place)) {
                places.push(place);
            }
        }
        places
    }

    /// The sweep of the objects in a place. What other records of it point at is looked at only if all are there.
    pub(super) fn sweep(&self, place: &Place, domains: Vec<String>, grace: Duration) -> Sweep {
        let sweep = Sweep::new(place.table.clone(), place.blobs.clone(), domains, grace);
        if self.places().len() == 1 {
            sweep
        } else {
            sweep.of_logs()
        }
    }

    /// Not guarded: who appends was ended before anything is erased.
    fn logs(&self, class: Class) -> Arc<dyn LogRepository> {
        match &self.messages {
            Kept::In(place) => Arc::new(place.logs(place.table_for(class))),
            Kept::By(repository) => repository.clone(),
        }
    }

    /// Rooms of services that have no layout of their own.
    pub(super) fn rooms(&self) -> Arc<dyn RoomRepository> {
        Arc::new(TableRooms::new(self.accounts.table_for(Class::Bind)))
    }

    /// Certificates that nodes share.
    pub(super) fn certificates(&self) -> Arc<dyn CertificateRepository> {
        Arc::new(BlobCertificates::new(self.accounts.blobs.clone()))
    }

    /// What rooms publish.
    pub(super) fn pages(&self) -> Pages {
        Pages::new(self.accounts.blobs.clone())
    }

    pub(super) fn repositories(&self, guarding: Guarding) -> Repositories {
        let guarded = |place: &Place, class| -> Arc<dyn Table> {
            let table = place.table_for(class);
            match guarding {
                Guarding::Off => table,
                Guarding::On if place.is(&self.accounts) => Arc::new(Guarded::by_owner(table)),
                Guarding::On => Arc::new(Guarded::unless_erased(table)),
            }
        };
        let records = Arc::new(TableAccounts::new(guarded(&self.accounts, Class::Bind)));
        Repositories {
            accounts: match &self.authority {
                None => records,
                Some(authority) => Arc::new(ShadowedAccounts::new(
                    authority.clone(),
                    records,
                    Arc::new(SystemClock),
                )),
            },
            rosters: match &self.rosters {
                Kept::In(place) => Arc::new(place.rosters(guarded(place, Class::Roster))),
                Kept::By(repository) => repository.clone(),
            },
            logs: self.logs(Class::Message),
            archives: self.logs(Class::Archive),
            mailboxes: Arc::new(TableMailboxes::new(guarded(&self.mailboxes, Class::Bind))),
            privacy: Arc::new(TablePrivacy::new(guarded(&self.privacy, Class::Bind))),
            private: Arc::new(
                self.private_xml
                    .private_xml(guarded(&self.private_xml, Class::Roster)),
            ),
            // Beside private XML: both are what clients keep for their own use.
            pubsub: Arc::new(
                self.private_xml
                    .pubsub(guarded(&self.private_xml, Class::Roster)),
            ),
            vcards: match &self.vcards {
                Kept::In(place) => Arc::new(place.vcards(guarded(place, Class::Roster))),
                Kept::By(repository) => repository.clone(),
            },
            archive_preferences: Arc::new(TableArchivePreferences::new(guarded(
                &self.mailboxes,
                Class::Bind,
            ))),
        }
    }
}
