//! Conformance: what every implementation of a shape or a repository must pass, as plain async functions that panic when
//! it does not.
//!
//! Each backend and each layer calls its suite in one line. The suites of shapes make names from the `run`, so that
//! they may be run again against a store that keeps what it is given; those of repositories want fresh stores.

mod account;
mod archive_preferences;
mod blobs;
mod cache;
mod control;
mod log;
mod log_contacts;
mod log_front;
mod mailbox;
mod privacy;
mod private_xml;
mod pubsub;
mod read_only;
mod room;
mod roster;
mod shared_groups;
mod table;
mod vcard;

pub use account::accounts;
pub use archive_preferences::archive_preferences;
pub use blobs::{blobs, blobs_with_segments};
pub use cache::cache;
pub use control::control;
pub use log::{logs, logs_at_rest};
pub use mailbox::mailboxes;
pub use privacy::privacy;
pub use private_xml::private_xml;
pub use pubsub::pubsub;
pub use read_only::{
    read_only_accounts, read_only_shared_groups, read_only_vcards, shared_group_pages,
};
pub use room::rooms;
pub use roster::rosters;
pub use shared_groups::shared_groups;
pub use table::{Subject, table};
pub use vcard::vcards;

use std::fmt::Debug;

use xmpp::BareJid;

use crate::{
    error::{ErrorKind, Result},
    stores::Stores,
};

/// Every repository of fresh stores.
pub async fn stores(stores: &Stores) {
    // Each is tried alone, without accounts that own what it keeps.
    let stores = stores.unguarded();
    accounts(&*stores.accounts).await;
    rosters(&*stores.rosters).await;
    logs(&*stores.logs).await;
    mailboxes(&*stores.mailboxes).await;
    privacy(&*stores.privacy).await;
    private_xml(&*stores.private).await;
    pubsub(&*stores.pubsub).await;
    vcards(&*stores.vcards).await;
    archive_preferences(&*stores.archive_preferences).await;
    rooms(&*stores.rooms).await;
    shared_groups(&*stores.groups).await;
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

#[track_caller]
fn refused<T: Debug>(result: Result<T>, kind: ErrorKind) {
    match result {
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
        Ok(value) => panic!("{kind:?} expected, {value:?} found"),
    }
}

#[track_caller]
fn done<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{:?}: {error}", error.kind()))
}

#[cfg(test)]
mod tests;
