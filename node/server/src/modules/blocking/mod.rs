//! Blocking and privacy lists (XEP-0191, XEP-0016): one list, two views.
//!
//! | file | concern |
//! |---|---|
//! | [`rules`] | may these two exchange this stanza; pure |
//! | [`judge`] | the same for an account as it is: which list counts, by which roster |
//! | [`active`] | the active list of each session |
//! | [`lists`] | loads and changes the lists; what contacts see of it |
//! | [`block`] | the blocking command |
//! | [`privacy`], [`privacy_xml`] | privacy lists |
//!
//! Stored: one record an account (`storage::repository::privacy`), changed by compare-and-set.

pub mod active;
pub mod block;
pub mod judge;
pub mod lists;
pub mod privacy;
pub mod privacy_xml;
pub mod rules;
#[cfg(test)]
mod tests;

pub use active::ActiveLists;
pub use block::Blocking;
pub use judge::Judge;
pub use lists::Lists;
pub use privacy::PrivacyLists;
pub use rules::Passing;
