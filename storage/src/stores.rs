//! Every repository of every domain, and what concerns them all: accounts are made and erased here.
//!
//! | file | what |
//! |---|---|
//! | `place` | where records and objects are kept together, and the repositories over it |
//! | `layout` | which place, or which system elsewhere, keeps what of a domain |
//! | `erasure` | what a name has is looked for and removed, wherever it is |

mod erasure;
mod layout;
mod place;

use std::{collections::HashMap, sync::Arc};

use xmpp::BareJid;

use crate::{
    error::{ErrorKind, Result},
    layer::Class,
    maintenance::{Maintenance, MaintenanceOptions, Owners},
    repository::{
        AccountRepository, ArchivePreferencesRepository, ByDomain, CertificateRepository,
        Credentials, LogRepository, MailboxRepository, Pages, PrivacyRepository,
        PrivateXmlRepository, PubsubRepository, RoomRepository, RosterRepository,
        SharedGroupRepository, VcardRepository,
    },
    shape::{Blobs, Table},
};

pub use layout::{Kept, Layout};
pub use place::{Expire, Place, StoreLimits};

use self::{erasure::Erasure, layout::Guarding};

/// The repositories.
#[derive(Clone)]
pub struct Stores {
    /// Accounts and tokens.
    pub accounts: Arc<dyn AccountRepository>,
    /// Rosters.
    pub rosters: Arc<dyn RosterRepository>,
    /// Logs, for messages on their way.
    pub logs: Arc<dyn LogRepository>,
    /// The same logs, for who pages through them: when a store asks for less, that waits first.
    pub archives: Arc<dyn LogRepository>,
    /// How far logs were handed over.
    pub mailboxes: Arc<dyn MailboxRepository>,
    /// Privacy and block lists.
    pub privacy: Arc<dyn PrivacyRepository>,
    /// Private XML.
    pub private: Arc<dyn PrivateXmlRepository>,
    /// Pubsub nodes, of accounts and of services.
    pub pubsub: Arc<dyn PubsubRepository>,
    /// vCards.
    pub vcards: Arc<dyn VcardRepository>,
    /// Archive preferences.
    pub archive_preferences: Arc<dyn ArchivePreferencesRepository>,
    /// Shared groups.
    pub groups: Arc<dyn SharedGroupRepository>,
    /// Rooms: those of all services where most domains are kept.
    pub rooms: Arc<dyn RoomRepository>,
    /// Certificates that nodes share: where the accounts of most domains are kept.
    pub certificates: Arc<dyn CertificateRepository>,
    /// What rooms publish: where rooms are.
    pub pages: Pages,
    layouts: Arc<Layouts>,
}

/// The layout of most domains, and of some.
struct Layouts {
    most: Layout,
    some: HashMap<String, Layout>,
}

impl Layouts {
    /// Every place, each once.
    fn places(&self) -> Vec<&Place> {
        let all = [&self.most].into_iter().chain(self.some.values());
        let mut places: Vec<&Place> = Vec::new();
        for place in all.flat_map(Layout::places) {
            if !places.iter().any(|known| known.is(place)) {
                places.push(place);
            }
        }
        places
    }

    fn of(&self, domain: &str) -> &Layout {
        self.some.get(domain).unwrap_or(&self.most)
    }
}

impl Stores {
    /// Every repository over the same table and blobs, with the default limits.
    pub fn over(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> Self {
        Self::with_limits(table, blobs, StoreLimits::default())
    }

    /// Every repository over the same table and blobs.
    pub fn with_limits(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, limits: StoreLimits) -> Self {
        let place = Place {
            limits,
            ..Place::new(table, blobs)
        };
        Self::new(Layout::all_in(place), HashMap::new())
    }

    /// `most` for every domain that is not among `some`. What an account owns is written only while there is the account
    /// (`NotAllowed` otherwise), appends to logs apart; what is not kept beside its account, only while its name is not
    /// being erased.
    pub fn new(most: Layout, some: HashMap<String, Layout>) -> Self {
        Self::build(Arc::new(Layouts { most, some }), Guarding::On)
    }

    /// The same without asking whether there is the account: for an import, which makes it last.
    pub fn unguarded(&self) -> Self {
        Self::build(self.layouts.clone(), Guarding::Off)
    }

    fn build(layouts: Arc<Layouts>, guarding: Guarding) -> Self {
        let most = layouts.most.repositories(guarding);
        let some: HashMap<_, _> = layouts
            .some
            .iter()
            .map(|(domain, layout)| (domain.clone(), layout.repositories(guarding)))
            .collect();
        macro_rules! repository {
            ($field:ident) => {
                if some.is_empty() {
                    most.$field.clone()
                } else {
                    let of_some = some.iter().map(|(domain, repositories)| {
                        (domain.clone(), repositories.$field.clone())
                    });
                    Arc::new(ByDomain::new(of_some, most.$field.clone()))
                }
            };
        }
        Self {
            accounts: repository!(accounts),
            rosters: repository!(rosters),
            logs: repository!(logs),
            archives: repository!(archives),
            mailboxes: repository!(mailboxes),
            privacy: repository!(privacy),
            private: repository!(private),
            pubsub: repository!(pubsub),
            vcards: repository!(vcards),
            archive_preferences: repository!(archive_preferences),
            groups: repository!(groups),
            rooms: layouts.most.rooms(),
            certificates: layouts.most.certificates(),
            pages: layouts.most.pages(),
            layouts,
        }
    }

    /// Makes an account. What is left of a former owner of its name is erased before, so that nobody inherits anything.
    /// One batch, and a look at everything that may be left.
    ///
    /// # Errors
    /// `Conflict` if it exists; of two racing creations one wins. `NotAllowed` for an address without localpart.
    pub async fn create(
        &self,
        account: &BareJid,
        credentials: Credentials,
        now_ms: u64,
    ) -> Result<()> {
        if !self.erasure(account)?.is_clean().await? {
            self.accounts.begin_erasure(account).await?;
            self.erase_rest(account).await?;
        }
        self.accounts.create(account, credentials, now_ms).await
    }

    /// Removes everything an account has: first the account itself, from when on nothing is written for it, in the end the
    /// mark that its name bears meanwhile. Repeatable after dying anywhere. End its sessions before.
    ///
    /// # Errors
    /// Any; what was removed until then is gone, and another call goes on, as the next creation does.
    pub async fn erase(&self, account: &BareJid) -> Result<()> {
        if !self.accounts.remove(account).await? {
            match self.accounts.begin_erasure(account).await {
                // Somebody has just made it: it is none of the former owner's.
                Err(error) if error.kind() == ErrorKind::Conflict => return Ok(()),
                begun => begun?,
            }
        }
        self.erase_rest(account).await?;
        self.accounts.end_erasure(account).await
    }

    /// Makes way for an import: as [`Stores::erase`], but the name stays marked until the account is made, so that what an
    /// import wrote that died is erased.
    ///
    /// # Errors
    /// `Conflict` if there is such an account.
    pub async fn begin_import(&self, account: &BareJid) -> Result<()> {
        self.accounts.begin_erasure(account).await?;
        self.erase_rest(account).await
    }

    /// Erases what a marked name has, wherever it is.
    pub(crate) async fn erase_rest(&self, account: &BareJid) -> Result<()> {
        self.groups.leave(account).await?;
        self.rooms.forget(account).await?;
        self.erasure(account)?.run().await
    }

    fn erasure<'a>(&'a self, account: &'a BareJid) -> Result<Erasure<'a>> {
        Erasure::new(account, self.layouts.of(account.domain()))
    }

    /// The maintenance of a domain: to be stepped now and then, on any node. `swept` names the domains whose objects are
    /// swept: those whose records are in the same place. `None`: its logs are another system's.
    pub fn maintenance(
        &self,
        domain: &str,
        swept: &[&str],
        options: MaintenanceOptions,
    ) -> Option<Maintenance> {
        let layout = self.layouts.of(domain);
        let place = layout.messages.place()?;
        let sweep = options.sweep.map(|grace| {
            let domains = swept.iter().map(|domain| (*domain).to_owned()).collect();
            layout.sweep(place, domains, grace)
        });
        let owners = Owners::Accounts {
            accounts: self.accounts.clone(),
            mailboxes: self.mailboxes.clone(),
            beside: place.is(&layout.accounts),
        };
        let logs = place.logs(place.table_for(Class::Compaction));
        let domain = domain.to_owned();
        Some(Maintenance::new(domain, owners, logs, sweep, options))
    }

    /// The same for the rooms of a service; `None` if their logs are not beside what else is kept of them.
    pub fn room_maintenance(
        &self,
        service: &str,
        swept: &[&str],
        options: MaintenanceOptions,
    ) -> Option<Maintenance> {
        let (layout, of_rooms) = (self.layouts.of(service), &self.layouts.most.accounts);
        let place = layout.messages.place().filter(|it| it.is(of_rooms))?;
        let sweep = options.sweep.map(|grace| {
            let domains = swept.iter().map(|domain| (*domain).to_owned()).collect();
            layout.sweep(place, domains, grace)
        });
        let logs = place.logs(place.table_for(Class::Compaction));
        let owners = Owners::Rooms(self.rooms.clone());
        let service = service.to_owned();
        Some(Maintenance::new(service, owners, logs, sweep, options))
    }

    /// Those that remove expired records of stores that do not by themselves: to be called now and then, on any node.
    pub fn expiring(&self) -> Vec<Arc<dyn Expire>> {
        let places = self.layouts.places().into_iter();
        places.filter_map(|place| place.expire.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
