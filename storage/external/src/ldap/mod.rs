//! LDAP directories (RFC 4510), Active Directory among them: accounts, vCards and shared groups, read only.
//!
//! Options have the names and meanings that users know from ejabberd. A directory serves one domain.
//! Layers: [`LdapOptions`] says how it is reached; `pool` keeps connections; `directory` searches and binds, and tells
//! outages from answers; `users` finds the entry of an account; the repositories are over those.
//!
//! What counts as the same name: a directory compares loosely (case, spaces, in Active Directory also accents). An entry
//! is an account's only if the value that it was found by makes that very address, so nobody gets a second account by
//! writing his name in another way. Two entries that make one address are nobody's: `Corrupt`.

mod accounts;
mod address;
mod answer;
mod directory;
mod entry;
mod expiring;
mod groups;
mod options;
mod pool;
mod template;
mod users;
mod vcards;

pub use accounts::LdapAccounts;
pub use groups::{LdapGroupOptions, LdapGroups, LdapMembers};
pub use options::{LdapDeref, LdapDnFilter, LdapEncrypt, LdapOptions};
pub use vcards::{LdapVcardField, LdapVcardOptions, LdapVcards};

use std::sync::Arc;

use ldap3::LdapResult;
use storage::Result;

use self::{directory::Directory, users::Users};
use crate::unavailable;

/// A directory as one domain sees it: what the repositories are made from, which share its connections.
#[derive(Clone)]
pub struct Ldap {
    directory: Arc<Directory>,
    users: Arc<Users>,
}

impl Ldap {
    /// Opens no connection yet: a directory that is down does not stop a start.
    ///
    /// # Errors
    /// `Unavailable`: an option cannot be (see [`LdapOptions::mistakes`]), or a file of TLS cannot be read.
    pub fn new(options: &LdapOptions, domain: &str) -> Result<Self> {
        if let Some(mistake) = options.mistakes().first() {
            return Err(unavailable(format!("{}: {}", mistake.option, mistake.what)));
        }
        if options.encrypt == LdapEncrypt::None {
            tracing::warn!(
                domain,
                "passwords cross the wire to the directory as they are; set ldap_encrypt"
            );
        }
        Self::over(Directory::new(options)?, options, domain)
    }

    /// The same as another domain sees it: over the same connections, which these options made.
    ///
    /// # Errors
    /// `Unavailable`: an option cannot be.
    pub fn of_domain(&self, options: &LdapOptions, domain: &str) -> Result<Self> {
        if self.users.domain == domain {
            return Ok(self.clone());
        }
        Self::over(self.directory.clone(), options, domain)
    }

    fn over(directory: Arc<Directory>, options: &LdapOptions, domain: &str) -> Result<Self> {
        let users = Arc::new(Users::new(directory.clone(), options, domain)?);
        Ok(Self { directory, users })
    }
}

/// A result as a sentence.
fn told(answer: &LdapResult) -> String {
    format!("result {} {}", answer.rc, answer.text)
        .trim_end()
        .to_owned()
}
