//! Channel binding: its types, what a connection can prove, what was offered.
//!
//! Source: RFC 9266 (tls-exporter), RFC 5929 §4 (tls-server-end-point), XEP-0440.
//! Left out: tls-unique, which TLS 1.3 does not have and no server of ours terminates.

/// A channel-binding type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingType {
    /// Keying material of the TLS session (RFC 9266).
    Exporter,
    /// Hash of the server's certificate (RFC 5929 §4).
    ServerEndPoint,
}

impl BindingType {
    /// Every type, strongest first.
    pub const ALL: [Self; 2] = [Self::Exporter, Self::ServerEndPoint];

    /// The registered unique prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exporter => "tls-exporter",
            Self::ServerEndPoint => "tls-server-end-point",
        }
    }

    /// From its registered unique prefix.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|binding| binding.as_str() == name)
    }
}

/// The channel-binding data of one connection.
///
/// ```
/// use xmpp::sasl::{BindingType, ChannelBindings};
/// let bindings = ChannelBindings { exporter: Some(vec![7; 32]), server_end_point: None };
/// assert_eq!(bindings.offer().types().collect::<Vec<_>>(), [BindingType::Exporter]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// tls-exporter: 32 bytes.
    pub exporter: Option<Vec<u8>>,
    /// tls-server-end-point.
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// The data of one type.
    pub fn get(&self, binding: BindingType) -> Option<&[u8]> {
        match binding {
            BindingType::Exporter => self.exporter.as_deref(),
            BindingType::ServerEndPoint => self.server_end_point.as_deref(),
        }
    }

    /// What may be offered on this connection.
    pub fn offer(&self) -> BindingOffer {
        BindingOffer {
            exporter: self.exporter.is_some(),
            server_end_point: self.server_end_point.is_some(),
        }
    }
}

/// The channel-binding types that were offered, and with them `-PLUS` mechanisms (XEP-0440).
///
/// An empty offer says that no `-PLUS` mechanism was offered either: a client that reports "I could, but you do not"
/// is then believed, and otherwise refused as a downgrade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BindingOffer {
    /// tls-exporter was offered.
    pub exporter: bool,
    /// tls-server-end-point was offered.
    pub server_end_point: bool,
}

impl BindingOffer {
    /// Whether this type was offered.
    pub fn contains(self, binding: BindingType) -> bool {
        match binding {
            BindingType::Exporter => self.exporter,
            BindingType::ServerEndPoint => self.server_end_point,
        }
    }

    /// Whether nothing was offered.
    pub fn is_empty(self) -> bool {
        self.types().next().is_none()
    }

    /// The offered types, strongest first: the list of XEP-0440.
    pub fn types(self) -> impl Iterator<Item = BindingType> {
        BindingType::ALL
            .into_iter()
            .filter(move |binding| self.contains(*binding))
    }
}
