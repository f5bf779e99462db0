//! Outside systems: directories, services over HTTPS.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use storage::{Error, ErrorKind, Kept, Layout, Result, SystemClock};
use storage_external::{
    http::{Http, HttpAccounts, HttpLogs, HttpRosters},
    ldap::{Ldap, LdapAccounts, LdapGroups, LdapVcards},
};
use tokio::runtime::Handle;

use crate::config::{External, Feature, HttpsStore, LdapStore, Storage};

/// The outside systems that are opened, by the name of the store: all domains share the connections of one.
#[derive(Default)]
pub(super) struct Systems {
    directories: HashMap<String, Ldap>,
    services: HashMap<String, Http>,
}

impl Systems {
    /// Puts into the layout of a domain what such systems keep of it.
    ///
    /// # Errors
    /// `Unavailable`: a file of theirs cannot be read. That a system does not answer stops nothing.
    pub(super) fn lay_out(
        &mut self,
        layout: &mut Layout,
        storage: &Storage,
        domain: &str,
    ) -> Result<()> {
        for feature in Feature::ALL {
            match storage.kept_by(feature, domain) {
                None => {}
                Some((name, External::Ldap(store))) => {
                    let ldap = self.directory(name, store, domain)?;
                    of_directory(layout, feature, &ldap, store)?;
                }
                Some((name, External::Https(store))) => {
                    let http = self.service(name, store)?;
                    of_service(layout, feature, &http, store)?;
                }
            }
        }
        Ok(())
    }

    /// A directory as a domain sees it.
    fn directory(&mut self, name: &str, store: &LdapStore, domain: &str) -> Result<Ldap> {
        let options = store.options();
        let ldap = match self.directories.get(name) {
            Some(known) => known.of_domain(&options, domain)?,
            None => Ldap::new(&options, domain)?,
        };
        self.directories.insert(name.to_owned(), ldap.clone());
        Ok(ldap)
    }

    fn service(&mut self, name: &str, store: &HttpsStore) -> Result<Http> {
        match self.services.entry(name.to_owned()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(free) => Ok(free.insert(Http::new(&store.options())?).clone()),
        }
    }
}

fn of_directory(
    layout: &mut Layout,
    feature: Feature,
    ldap: &Ldap,
    store: &LdapStore,
) -> Result<()> {
    match feature {
        Feature::Accounts => {
            let accounts = LdapAccounts::new(ldap, Arc::new(SystemClock));
            layout.authority = Some(Arc::new(accounts));
        }
        Feature::Vcards => {
            let vcards = LdapVcards::new(ldap, store.vcards.clone());
            layout.vcards = Kept::By(Arc::new(vcards));
        }
        Feature::Groups => {
            let groups = LdapGroups::new(ldap, store.groups.clone())?;
            layout.groups = Kept::By(Arc::new(groups));
        }
        other => return Err(not_kept(other)),
    }
    Ok(())
}

fn of_service(
    layout: &mut Layout,
    feature: Feature,
    http: &Http,
    store: &HttpsStore,
) -> Result<()> {
    match feature {
        Feature::Accounts => {
            layout.authority = Some(Arc::new(HttpAccounts::new(http, store.accounts)));
        }
        Feature::Rosters => {
            let rosters = HttpRosters::new(http, store.rosters_writable);
            layout.rosters = Kept::By(Arc::new(rosters));
        }
        Feature::Messages => {
            let logs = HttpLogs::new(http, Handle::current());
            layout.messages = Kept::By(Arc::new(logs));
        }
        other => return Err(not_kept(other)),
    }
    Ok(())
}

/// Reading the configuration refuses it before.
fn not_kept(feature: Feature) -> Error {
    let context = format!("such a system keeps no {}", feature.name());
    Error::new(ErrorKind::NotAllowed, context)
}
