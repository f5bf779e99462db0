//! What a repository of accounts can do: outside systems can do less than a table.
//!
//! Why here: what the server offers (mechanisms, registration) follows from it, before anybody has said who it is.

use super::ScramHash;

/// A set of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScramHashes(u8);

impl ScramHashes {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(0b111);

    const fn bit(hash: ScramHash) -> u8 {
        match hash {
            ScramHash::Sha1 => 1,
            ScramHash::Sha256 => 2,
            ScramHash::Sha512 => 4,
        }
    }
    /// Whether it is one of them.
    pub const fn contains(self, hash: ScramHash) -> bool {
        self.0 & Self::bit(hash) != 0
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<ScramHash> for ScramHashes {
    fn from_iter<I: IntoIterator<Item = ScramHash>>(hashes: I) -> Self {
        Self(hashes.into_iter().fold(0, |set, it| set | Self::bit(it)))
    }
}

/// What can be done with the accounts of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountCapabilities {
    /// Accounts can be made, removed and given another password here. Else that answers `NotAllowed`, and nothing that
    /// leads there is offered.
    pub writable: bool,
    /// For which hashes accounts have keys.
    pub scram: ScramHashes,
}

impl AccountCapabilities {
    /// What a table can do.
    pub const ALL: Self = Self {
        writable: true,
        scram: ScramHashes::ALL,
    };

    /// There are no keys: passwords are verified by
    /// [`check_password`](super::AccountRepository::check_password), and only a mechanism that tells the password can
    /// be offered, over TLS.
    pub const fn verifies_passwords(self) -> bool {
        self.scram.is_empty()
    }
}

/// What an outside system says of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// It is the account's.
    Right,
    /// It is not, or there is no such account.
    Wrong,
    /// It is, but the account may not log in.
    Disabled,
    /// It is, but it must be changed first.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_a_set() {
        use ScramHash::{Sha1, Sha256, Sha512};
        let check = |hashes: &[ScramHash]| {
            let set: ScramHashes = hashes.iter().copied().collect();
            for hash in [Sha1, Sha256, Sha512] {
                assert_eq!(set.contains(hash), hashes.contains(&hash), "{hashes:?}");
            }
            assert_eq!(set.is_empty(), hashes.is_empty());
        };
        check(&[]);
        check(&[Sha1]);
        check(&[Sha256, Sha256]);
        check(&[Sha1, Sha512]);
        let all: ScramHashes = [Sha1, Sha256, Sha512].into_iter().collect();
        assert_eq!(all, ScramHashes::ALL);
    }
}
