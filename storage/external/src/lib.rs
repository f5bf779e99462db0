//! Systems that fit no shape: LDAP directories and HTTPS services, as repositories.
//!
//! [`ldap`] reads accounts, vCards and shared groups from a directory (OpenLDAP, Active Directory); nothing is written.
//! [`http`] asks a service of the operator's own for accounts, rosters and logs, as `docs/backends/http-api.yaml` says.
//! Both tell an outage from an answer: what nobody could say is `Unavailable`, and never "wrong" or "absent".

mod breaker;
pub mod http;
pub mod ldap;
mod secret;
mod tls;

pub use secret::Secret;
pub use tls::TlsOptions;

use storage::{Error, ErrorKind};

/// An option that cannot be, for whoever reads the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The option, as it is called here.
    pub option: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl Mistake {
    fn new(option: &'static str, what: impl Into<String>) -> Self {
        Self {
            option,
            what: what.into(),
        }
    }
}

fn unavailable(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, context)
}

fn throttled(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Throttled, context)
}

fn corrupt(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, context)
}

fn not_allowed(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotAllowed, context)
}
