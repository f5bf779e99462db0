//! Held: a certificate that is no file. Whoever keeps it hands it over, now and when there is another one.
//!
//! Why here: TLS reads certificates where and when it likes, without waiting for anybody; what keeps them may be a store far
//! away. Stored: nothing.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;

/// A chain and behind it its key, as PEM. Clones are the same one: what one is given, all have.
#[derive(Clone)]
pub struct Held {
    name: Arc<str>,
    /// The domains it is shown for, also `*.example.org`. Empty: the DNS names in it.
    pub domains: Vec<String>,
    pem: Arc<ArcSwap<Bytes>>,
}

impl Held {
    /// A certificate that is called so.
    pub fn new(name: &str, domains: Vec<String>, pem: Bytes) -> Self {
        Self {
            name: name.into(),
            domains,
            pem: Arc::new(ArcSwap::from_pointee(pem)),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts another one in its place, for the next look at the certificates; whether it is another one.
    pub fn replace(&self, pem: Bytes) -> bool {
        let is_other = **self.pem.load() != pem;
        if is_other {
            self.pem.store(Arc::new(pem));
        }
        is_other
    }

    pub(super) fn pem(&self) -> Arc<Bytes> {
        self.pem.load_full()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("name", &self.name)
            .field("domains", &self.domains)
            .finish_non_exhaustive()
    }
}
