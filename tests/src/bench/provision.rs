//! Which accounts and rosters exist before a measurement.
//!
//! The rivals get them as data, written the way they store it, because in-band registration and real subscriptions take
//! them minutes. All accounts share password and salt, so that the load program derives one key and not thousands.

use std::num::NonZeroU32;

use crate::load::scram::{Mechanism, stored};

/// Password of all accounts.
pub const PASSWORD: &str = "secret";
/// Prefix of all accounts.
pub const PREFIX: &str = "user";
/// Salt of all provisioned accounts.
pub const SALT: &str = "one salt for all";
/// Rounds of the key derivation; a server that stores the derived key does not pay for them at login.
pub const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");
/// Domain of all accounts.
pub const DOMAIN: &str = "localhost";

/// Accounts, and a ring of contacts among some of them.
#[derive(Clone, Copy, Debug)]
pub struct Provision {
    /// How many accounts.
    pub accounts: u32,
    /// First account of the ring.
    pub ring_first: u32,
    /// How many accounts stand in the ring; 0 is no ring.
    pub ring: u32,
    /// Contacts of each in the ring.
    pub contacts: u32,
}

impl Provision {
    /// The localparts of all accounts.
    pub fn localparts(&self) -> impl Iterator<Item = String> {
        (0..self.accounts).map(localpart)
    }

    /// The accounts of the ring, each with its contacts.
    pub fn rosters(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        let (first, ring, half) = (self.ring_first, self.ring, self.contacts / 2);
        (0..ring).map(move |place| {
            let neighbour = move |distance| localpart(first + (place + distance) % ring);
            let ahead = (1..=half).map(neighbour);
            (
                localpart(first + place),
                ahead
                    .chain((1..=half).map(|back| neighbour(ring - back)))
                    .collect(),
            )
        })
    }
}

fn localpart(index: u32) -> String {
    format!("{PREFIX}{index:05}")
}

/// `StoredKey` and `ServerKey` of the shared password for SCRAM-SHA-1.
#[must_use]
pub fn keys() -> (Vec<u8>, Vec<u8>) {
    stored(Mechanism::ScramSha1, PASSWORD, SALT.as_bytes(), ROUNDS)
}

#[cfg(test)]
mod tests {
    use super::Provision;

    #[test]
    fn contacts_of_the_ring_are_mutual() {
        let provision = Provision {
            accounts: 20,
            ring_first: 5,
            ring: 10,
            contacts: 4,
        };
        let rosters: std::collections::HashMap<_, _> = provision.rosters().collect();
        assert_eq!(rosters.len(), 10);
        for (owner, contacts) in &rosters {
            assert_eq!(contacts.len(), 4);
            assert!(
                contacts
                    .iter()
                    .all(|contact| rosters[contact].contains(owner)),
                "{owner}"
            );
        }
    }
}
