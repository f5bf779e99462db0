//! The mechanisms we know: their names and their order.
//!
//! Source: IANA's SASL mechanism registry; RFC 5802 §4; draft-schmaus-kitten-sasl-ht §2.
//! Why an enum: what is offered, parsed and stored is a closed set, and a name is never compared as text elsewhere.

use std::fmt;

use super::{
    Hash,
    binding::{BindingType, ChannelBindings},
};

/// What a hashed token is bound to (draft-schmaus-kitten-sasl-ht §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HtBinding {
    /// `NONE`: nothing.
    None,
    /// `UNIQ`: tls-unique. Parsed, but never satisfied: TLS 1.3 does not have it.
    Uniq,
    /// `ENDP`: tls-server-end-point.
    Endp,
    /// `EXPR`: tls-exporter.
    Expr,
}

impl HtBinding {
    /// The bytes to bind to: empty for `NONE`, `None` if the connection has none of this type.
    pub fn data(self, bindings: &ChannelBindings) -> Option<&[u8]> {
        match self {
            Self::None => Some(&[]),
            Self::Uniq => None,
            Self::Endp => bindings.get(BindingType::ServerEndPoint),
            Self::Expr => bindings.get(BindingType::Exporter),
        }
    }
}

/// A SASL mechanism.
///
/// ```
/// use xmpp::sasl::{Hash, Mechanism};
/// let mechanism = Mechanism::parse("SCRAM-SHA-256-PLUS").expect("a mechanism we know");
/// assert_eq!(mechanism, Mechanism::Scram { hash: Hash::Sha256, plus: true });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `PLAIN` (RFC 4616).
    Plain,
    /// `EXTERNAL` (RFC 4422 appendix A).
    External,
    /// `ANONYMOUS` (RFC 4505).
    Anonymous,
    /// `SCRAM-*` and `SCRAM-*-PLUS` (RFC 5802).
    Scram {
        /// The hash function.
        hash: Hash,
        /// With channel binding.
        plus: bool,
    },
    /// `HT-*-*` (XEP-0484), inside FAST only.
    Ht {
        /// The hash function.
        hash: Hash,
        /// What the token is bound to.
        binding: HtBinding,
    },
}

impl Mechanism {
    /// Every mechanism, in the order of preference in which they are offered.
    pub const ALL: [Self; 17] = [
        Self::External,
        Self::Ht {
            hash: Hash::Sha512,
            binding: HtBinding::Expr,
        },
        Self::Ht {
            hash: Hash::Sha256,
            binding: HtBinding::Expr,
        },
        Self::Ht {
            hash: Hash::Sha512,
            binding: HtBinding::Uniq,
        },
        Self::Ht {
            hash: Hash::Sha256,
            binding: HtBinding::Uniq,
        },
        Self::Ht {
            hash: Hash::Sha512,
            binding: HtBinding::Endp,
        },
        Self::Ht {
            hash: Hash::Sha256,
            binding: HtBinding::Endp,
        },
        Self::Ht {
            hash: Hash::Sha512,
            binding: HtBinding::None,
        },
        Self::Ht {
            hash: Hash::Sha256,
            binding: HtBinding::None,
        },
        Self::Scram {
            hash: Hash::Sha512,
            plus: true,
        },
        Self::Scram {
            hash: Hash::Sha256,
            plus: true,
        },
        Self::Scram {
            hash: Hash::Sha1,
            plus: true,
        },
        Self::Scram {
            hash: Hash::Sha512,
            plus: false,
        },
        Self::Scram {
            hash: Hash::Sha256,
            plus: false,
        },
        Self::Scram {
            hash: Hash::Sha1,
            plus: false,
        },
        Self::Plain,
        Self::Anonymous,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::External => "EXTERNAL",
            Self::Anonymous => "ANONYMOUS",
            Self::Scram {
                hash: Hash::Sha1,
                plus: false,
            } => "SCRAM-SHA-1",
            Self::Scram {
                hash: Hash::Sha1,
                plus: true,
            } => "SCRAM-SHA-1-PLUS",
            Self::Scram {
                hash: Hash::Sha256,
                plus: false,
            } => "SCRAM-SHA-256",
            Self::Scram {
                hash: Hash::Sha256,
                plus: true,
            } => "SCRAM-SHA-256-PLUS",
            Self::Scram {
                hash: Hash::Sha512,
                plus: false,
            } => "SCRAM-SHA-512",
            Self::Scram {
                hash: Hash::Sha512,
                plus: true,
            } => "SCRAM-SHA-512-PLUS",
            Self::Ht {
                hash: Hash::Sha1, ..
            } => "HT-SHA-1", // Not in `ALL`: no such mechanism.
            Self::Ht {
                hash: Hash::Sha256,
                binding,
            } => match binding {
                HtBinding::None => "HT-SHA-256-NONE",
                HtBinding::Uniq => "HT-SHA-256-UNIQ",
                HtBinding::Endp => "HT-SHA-256-ENDP",
                HtBinding::Expr => "HT-SHA-256-EXPR",
            },
            Self::Ht {
                hash: Hash::Sha512,
                binding,
            } => match binding {
                HtBinding::None => "HT-SHA-512-NONE",
                HtBinding::Uniq => "HT-SHA-512-UNIQ",
                HtBinding::Endp => "HT-SHA-512-ENDP",
                HtBinding::Expr => "HT-SHA-512-EXPR",
            },
        }
    }

    /// From its registered name; `None` for what we do not know.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.as_str() == name)
    }

    /// How strong it is: the greater, the earlier it is offered.
    pub fn strength(self) -> usize {
        Self::ALL
            .iter()
            .rev()
            .position(|mechanism| *mechanism == self)
            .map_or(0, |position| position + 1)
    }

    /// Whether the exchange is bound to the TLS channel.
    pub fn is_bound(self) -> bool {
        match self {
            Self::Scram { plus, .. } => plus,
            Self::Ht { binding, .. } => binding != HtBinding::None,
            Self::Plain | Self::External | Self::Anonymous => false,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
