//! Features: one module each.

pub mod admin;
pub mod answering;
pub mod archive;
pub mod blocking;
pub mod carbons;
pub mod disco;
pub mod groups;
pub mod info;
pub mod legacy_session;
pub mod muc;
pub mod presence;
pub mod presence_rules;
pub mod private;
pub mod pubsub;
#[cfg(test)]
pub(crate) mod recorder;
pub mod register;
pub mod roster;
pub mod vcard;
