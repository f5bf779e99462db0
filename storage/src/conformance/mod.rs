//! What every implementation must pass, as plain async functions over a fresh store. They panic where it does not.

mod account;
mod archive_preferences;
mod log;
mod mailbox;
mod privacy;
mod private_xml;
mod roster;
mod vcard;

pub use account::accounts;
pub use archive_preferences::archive_preferences;
pub use log::logs;
pub use mailbox::mailboxes;
pub use privacy::privacy;
pub use private_xml::private_xml;
pub use roster::rosters;
pub use vcard::vcards;

use std::fmt::Debug;

use xmpp::BareJid;

use crate::{
    error::{ErrorKind, Result},
    stores::Stores,
};

/// Every repository of fresh stores.
pub async fn stores(stores: &Stores) {
    accounts(&*stores.accounts).await;
    rosters(&*stores.rosters).await;
    logs(&*stores.logs).await;
    mailboxes(&*stores.mailboxes).await;
    privacy(&*stores.privacy).await;
    private_xml(&*stores.private).await;
    vcards(&*stores.vcards).await;
    archive_preferences(&*stores.archive_preferences).await;
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
