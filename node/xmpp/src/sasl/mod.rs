//! SASL mechanisms as pure exchanges: bytes in, bytes or a failure out; nonces, salts and time come from outside.
//!
//! Source: RFC 4422 (SASL), 4616 (PLAIN), 4505 (ANONYMOUS), 5802 and 7677 (SCRAM), 9266 and 5929 (channel binding),
//! draft-schmaus-kitten-sasl-ht (HT); XEP-0440, 0474, 0480, 0484.
//! Why pure: the account repository is asked between the steps, by the caller, and a test needs neither socket nor
//! clock. Secrets are compared in constant time and none of these types prints one.
//!
//! | file | concern |
//! |---|---|
//! | [`mechanism`] | names, order of preference |
//! | [`hash`] | the hash functions |
//! | [`binding`] | channel-binding types, what a connection has, what was offered |
//! | [`simple`] | PLAIN, EXTERNAL, ANONYMOUS |
//! | [`keys`] | what is stored of a password |
//! | [`password`] | which passwords may be set |
//! | [`scram`] | the server's side of SCRAM |
//! | [`downgrade`] | the hash over what was offered (XEP-0474) |
//! | [`ht`] | hashed tokens (XEP-0484) |
//! | [`upgrade`] | keys for another hash, from the client (XEP-0480) |
//! | [`client`] | the client's side, for tests and the load program |

mod attributes;
pub mod binding;
pub mod client;
pub mod downgrade;
pub mod hash;
pub mod ht;
pub mod keys;
pub mod mechanism;
pub mod password;
pub mod scram;
pub mod simple;
#[cfg(test)]
mod tests;
pub mod upgrade;

pub use crate::error::SaslFailure;
pub use binding::{BindingOffer, BindingType, ChannelBindings};
pub use client::{ClientBinding, ClientError, ScramClient};
pub use downgrade::downgrade_hash;
pub use hash::Hash;
pub use ht::HtInitiator;
pub use keys::ScramKeys;
pub use mechanism::{HtBinding, Mechanism};
pub use password::{PasswordError, check_password};
pub use scram::{ClientFirst, ServerFirst};
pub use simple::{Plain, parse_anonymous, parse_external};
pub use upgrade::Upgrade;

/// Whether two byte strings are equal, in a time that depends on their lengths only.
fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
