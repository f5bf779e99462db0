//! Facts: what this node tells every other one when their link begins, beside what the links need themselves. Fields are
//! added, never changed: a node knows those of its version and skips the others.

use bytes::Bytes;
use minicbor::{Decode, Encode};

/// See the file's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Facts {
    /// Where clients reach this node and no other.
    #[n(0)]
    pub(super) client_address: Option<String>,
}

impl Facts {
    pub(super) fn to_bytes(&self) -> Bytes {
        // Into memory, which does not fail.
        minicbor::to_vec(self).unwrap_or_default().into()
    }

    /// What a node tells; of one that tells nothing, or nothing that is understood, nothing is known.
    pub(super) fn of(bytes: &[u8]) -> Self {
        minicbor::decode(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_read_as_they_were_written_and_older_ones_as_none() {
        let facts = Facts {
            client_address: Some("node1.example.org".to_owned()),
        };
        assert_eq!(Facts::of(&facts.to_bytes()), facts);
        assert_eq!(Facts::of(&[]), Facts::default());
        assert_eq!(Facts::of(&[0xff, 1]), Facts::default());
        // A field of a later version.
        let later = [0xa2, 0, 0x61, b'a', 7, 1];
        assert_eq!(Facts::of(&later).client_address.as_deref(), Some("a"));
    }
}
