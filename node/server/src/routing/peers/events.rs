//! Events between nodes: what was published for contacts of another node, and who came there that wants to know.
//!
//! One frame for each node, however many contacts it serves. Nobody answers: events are told at most once. A node of an earlier
//! version is told nothing: what was published does not reach its clients until they ask.
//! Stored: nothing. Bounds: [`MAX_CONTACTS`] in a frame.

use cluster::NodeId;
use minicbor::{Decode, Encode};
use xmpp::{BareJid, Jid, Stanza};

use super::{Kind, Peers};

/// Contacts that one frame names.
pub const MAX_CONTACTS: usize = 500;

/// Something was published.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Happened {
    /// Where: what clients have to be interested in.
    #[n(0)]
    node: String,
    /// Whose clients are told.
    #[n(1)]
    contacts: Vec<String>,
    /// What they are told, without `to`.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    stanza: Vec<u8>,
}

/// A client has come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Came {
    /// Its address.
    #[n(0)]
    client: String,
    /// Whose items it may be told.
    #[n(1)]
    contacts: Vec<String>,
    /// Of which nodes.
    #[n(2)]
    interest: Vec<String>,
}

fn names(contacts: &[&BareJid]) -> Vec<String> {
    contacts.iter().map(|jid| jid.as_str().to_owned()).collect()
}

fn jids(names: &[String]) -> Vec<BareJid> {
    let jids = names.iter().filter_map(|name| BareJid::parse(name).ok());
    jids.collect()
}

impl Happened {
    /// For these contacts.
    pub fn new(node: &str, contacts: &[&BareJid], stanza: &Stanza) -> Self {
        Self {
            node: node.to_owned(),
            contacts: names(contacts),
            stanza: stanza.raw().to_vec(),
        }
    }
}

impl Came {
    /// To be told of these contacts.
    pub fn new<'a>(
        client: &Jid,
        contacts: &[&BareJid],
        interest: impl Iterator<Item = &'a str>,
    ) -> Self {
        Self {
            client: client.as_str().to_owned(),
            contacts: names(contacts),
            interest: interest.map(str::to_owned).collect(),
        }
    }
}

impl Peers {
    /// Tells another node that something was published.
    pub fn happened(&self, to: NodeId, happened: &Happened) {
        self.tell(
            to,
            Kind::Happened,
            minicbor::to_vec(happened).unwrap_or_default(),
        );
    }

    /// Tells another node that a client has come.
    pub fn came(&self, to: NodeId, came: &Came) {
        self.tell(to, Kind::Came, minicbor::to_vec(came).unwrap_or_default());
    }

    /// Tells the node that serves an address, if it is another, that pubsub nodes of it were changed here.
    pub fn nodes_changed(&self, address: &BareJid) {
        if let Some(node) = self.elsewhere(address.as_str()) {
            self.tell(node, Kind::Changed, address.as_str().into());
        }
    }

    /// Tells all other nodes that the shared groups of a domain were changed.
    pub fn groups_changed(&self, domain: &str) {
        let view = self.view().clone();
        let me = self.me.get();
        let others = view.members.iter().map(|member| member.node);
        for node in others.filter(|node| Some(node) != me) {
            self.tell(node, Kind::Groups, domain.into());
        }
    }

    /// Tells a node what it can understand.
    fn tell(&self, to: NodeId, kind: Kind, body: Vec<u8>) {
        if self.is_known_to(to, kind) {
            self.send(to, kind, body.into());
        }
    }
}

/// Where something was published, whose clients are told, and what.
pub fn read_happened(body: &[u8]) -> Option<(String, Vec<BareJid>, Stanza)> {
    let happened: Happened = minicbor::decode(body).ok()?;
    let stanza = Stanza::parse(happened.stanza.into()).ok()?;
    Some((happened.node, jids(&happened.contacts), stanza))
}

/// Who came, whose items it may be told, and of which nodes.
pub fn read_came(body: &[u8]) -> Option<(Jid, Vec<BareJid>, Vec<String>)> {
    let came: Came = minicbor::decode(body).ok()?;
    let client = Jid::parse(&came.client).ok()?;
    Some((client, jids(&came.contacts), came.interest))
}

#[cfg(test)]
mod tests {
    use super::{Came, Happened};
    use crate::versions::check;

    #[test]
    fn an_earlier_version_reads_them_and_is_read() {
        // In node n a@b is told `<message/>`; a@b/c came and wants to know of node n of d@e.
        check::<Happened>("83616e81636140624a3c6d6573736167652f3e");
        check::<Came>(
            "8365614062 2f63 8163644065 81616e"
                .replace(' ', "")
                .as_str(),
        );
    }
}
